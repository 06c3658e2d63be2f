"""Every answer that need not be bought: those of the response store, then those of the records, only looked at."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compeffdist.errors import UserError
from compeffdist.files import home_path
from compeffdist.params import RuntimeParams
from compeffdist.teacher.recorded import AnswerRecord, RecordedAnswer, open_records
from compeffdist.teacher.store import stored_answers, stored_keys


@dataclass(frozen=True)
class KnownAnswer:
    """An answer and where it is."""

    row: RecordedAnswer
    place: Path
    """The store or record."""
    request: str
    """Canonical JSON of its question; empty in a record."""


@dataclass(frozen=True)
class KnownAnswers:
    """A store, which need not be there, and records."""

    store: Path | None
    records: Sequence[AnswerRecord]

    def keys(self) -> set[str]:
        """The keys of all answers. Raises UserError if the store or a record cannot be read."""
        in_store = stored_keys(self.store) if self.store and self.store.exists() else set[str]()
        return in_store.union(*(record.keys for record in self.records))

    def rows(self, keys: Iterable[str]) -> dict[str, RecordedAnswer]:
        """What is known of those keys that are there; each row is checked. Raises UserError if one was altered."""
        return {key: found.row for key, found in self.find(keys).items()}

    def find(self, keys: Iterable[str]) -> dict[str, KnownAnswer]:
        """The same, each with where it is: the first place that has it."""
        wanted = set(keys)
        rows: dict[str, KnownAnswer] = {}
        if self.store and self.store.exists():
            for key, stored in stored_answers(self.store, wanted).items():
                try:
                    rows[key] = KnownAnswer(RecordedAnswer.of(stored), self.store, stored.request)
                except ValueError as error:
                    raise UserError(f"{self.store}: {error}") from None
        for record in self.records:
            for key, row in record.rows(wanted - rows.keys()).items():
                rows[key] = KnownAnswer(row, record.folder, "")
        return rows


def known_answers(runtime: RuntimeParams) -> KnownAnswers:
    """Those of `runtime.store` and `runtime.recorded`. Raises UserError if a record is not there."""
    return KnownAnswers(home_path(runtime.store), open_records(runtime))
