"""Files of records as git's history holds them: no purge reaches these, so a withdrawal names them."""

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from compeffdist.lineage.repository import Repository
from compeffdist.teacher.recorded import ANSWERS, AnswerRecord, keys_in


def former_records(repository: Repository, records: Sequence[AnswerRecord], keys: Set[str]) -> Iterator[str]:
    """`FILE of commit HASH` for each committed file of a record that holds one of these answers, the newest first."""
    if not keys:
        return
    root = repository.root.absolute()
    for record in records:
        file = (Path.cwd() / record.folder / ANSWERS).absolute()
        if not file.is_relative_to(root):
            continue
        place = file.relative_to(root).as_posix()
        commits = repository.git("log", "--all", "--format=%H", "--", place).split()
        contents = repository.files_at((commit, place) for commit in commits)
        for (commit, _), content in contents.items():
            if content is not None and keys_in(content) & keys:
                yield f"{place} of commit {commit[:10]}"
