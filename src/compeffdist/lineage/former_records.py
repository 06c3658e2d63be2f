"""Files of records as git's history holds them: no purge reaches these, so a withdrawal names them."""

from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from compeffdist.git import Git, NoRepository
from compeffdist.teacher.recorded import ANSWERS, AnswerRecord, keys_in


def former_records(records: Sequence[AnswerRecord], keys: Set[str]) -> Iterator[str]:
    """`FILE of commit HASH` for each committed file of a record that holds one of these answers, the newest first. A
    record may lie beside the project, or in a repository of its own.

    Raises:
        UserError: as `git.run_git`, but for a record that lies in no repository.
    """
    for record in records if keys else ():
        folder = Path(record.folder).absolute()
        history = Git(folder)
        try:
            commits = [commit for commit, _ in history.commits_of(ANSWERS)] if folder.is_dir() else []
        except NoRepository:
            continue
        for (commit, _), content in history.files_at((commit, ANSWERS) for commit in commits).items():
            if content is not None and keys_in(content) & keys:
                yield f"{record.folder / ANSWERS} of commit {commit[:10]}"
