"""Answers that others bought enter the response store: from their records, or from their stores."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.teacher.recorded import AnswerRecord, RecordedAnswer
from compeffdist.teacher.store import ResponseStore, StoredAnswer, stored_rows


@dataclass(frozen=True)
class Imported:
    """What came of one record or store. found = added + there + each of the rejected."""

    source: Path
    found: int
    added: int
    there: int
    """Answers to questions that the store has an answer to: the first stays."""
    differing: int
    """Those among them where the answer to be imported says something else."""
    rejected: dict[str, int]
    """By reason: `altered` since it was written, `unreadable` to this version, or `repeated` in the source."""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {**vars(self), "source": str(self.source)}


def import_answers(source: Path, store: ResponseStore) -> Imported:
    """Put the answers of a record (a folder) or of a response store (a file) into a store. A record has no questions:
    the store keeps such an answer under its key without one. Raises UserError if the source is neither, or cannot be
    read."""
    found, rejected = 0, Counter[str]()
    fresh: dict[str, StoredAnswer] = {}
    for row, sound in _rows(source, store.path):
        found += 1
        fault = _fault(row) if sound else "altered"
        if fault or row.key in fresh:
            rejected[fault or "repeated"] += 1
        else:
            fresh[row.key] = row
    present = store.rows(fresh)
    store.put_many(row for key, row in fresh.items() if key not in present)
    return Imported(
        source=source,
        found=found,
        added=len(fresh) - len(present),
        there=len(present),
        differing=sum(row.answer != fresh[key].answer for key, row in present.items()),
        rejected=dict(sorted(rejected.items())),
    )


def _rows(source: Path, store: Path) -> Iterator[tuple[StoredAnswer, bool]]:
    """Each row as the store is to have it, and whether it is as it was written."""
    if source.is_dir():
        for row, sound in AnswerRecord(source).checked():
            yield StoredAnswer(row.key, row.teacher_id, "", row.answer, row.engine, row.bought), sound
    elif not source.is_file():
        raise UserError(f"{source}: no such record or response store")
    elif source.resolve() == store.resolve():
        raise UserError(f"{source}: is the response store of this checkout (runtime.store) itself")
    else:
        yield from stored_rows(source)


def _fault(row: StoredAnswer) -> str:
    try:
        RecordedAnswer.of(row)
    except ValueError:
        return "unreadable"
    return ""
