"""What a scoring pass saw, kept as it is computed, outside DVC's outs, so that a killed run resumes and a repeated one
costs nothing.

A folder for each scorer (model, tokenizer, template, top-p, device, precision, code) holds shards, each written whole
by rename and named by the hash of its bytes: a damaged one is known at once, and several processes may add to one
folder. What is kept is a whole batch, under a key over its rows' ids and tokens and the prefix they share (rows without
their prompts, for instruction-following difficulty, are batches of their own): the last bits of a score depend on the
batch it was computed in, so a row is only taken from a batch of the same make-up, and the result has the same bytes
whether it was resumed or not. The price: after rows were added or the token budget changed, batches that came out
differently are computed again.

Kept are the figures of every response token (about 40 bytes each as JSON), not the measures made of them: a measure
that is added or mended needs no pass of its own.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from compeffdist.canonical import canonical_json, hash_text
from compeffdist.errors import UserError
from compeffdist.files import atomic_file, read_jsonl
from compeffdist.measures.measure import TokenFigures
from compeffdist.records import content_id
from compeffdist.student.batching import TokenRow

WRITE_EVERY_SECONDS = 20.0
"""At most this much scoring is lost when a run is killed."""


@dataclass(frozen=True, eq=False)
class RowFigures(TokenFigures):
    """What a pass saw of one row."""

    id: str
    choice_logits: Sequence[float] = ()
    """Of the row's `choices`, at its first response position."""

    def to_json(self) -> dict[str, Any]:
        """As it is kept: every number to its last bit."""
        arrays = {name: getattr(self, name).tolist() for name in ("ranks", "scores", "losses")}
        return {"id": self.id, **arrays, "choice_logits": list(self.choice_logits)}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The inverse of `to_json`. Raises TypeError or KeyError if it is of another form."""
        ranks, scores, losses = (np.array(kept.pop(name)) for name in ("ranks", "scores", "losses"))
        return cls(ranks.astype(np.int64), scores.astype(np.float64), losses.astype(np.float64), **kept)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowFigures) and self.to_json() == other.to_json()


class ScoreShards:
    """Scored batches of one scorer in a folder. Use as a context: what is left is written on leaving. Opening
    it raises UserError if a shard is not what was written, or of another version."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.batches: dict[str, list[RowFigures | None]] = {}
        self.unwritten: list[dict[str, Any]] = []
        self.written_at = time.monotonic()
        self.reused = 0
        for shard in sorted(self.folder.glob("*.jsonl")):
            self.batches.update(_read_shard(shard))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._write()

    def get(self, key: str) -> list[RowFigures | None] | None:
        """Figures of a batch that was kept, in order of its rows; None in place of a row that has none."""
        found = self.batches.get(key)
        self.reused += len(found or ())
        return found

    def put(self, key: str, rows: Sequence[RowFigures | None]) -> None:
        """Keep a batch; it is on the disk within WRITE_EVERY_SECONDS of further batches."""
        self.unwritten.append({"batch": key, "rows": [row and row.to_json() for row in rows]})
        if time.monotonic() - self.written_at > WRITE_EVERY_SECONDS:
            self._write()

    def _write(self) -> None:
        if self.unwritten:
            text = "".join(canonical_json(line) + "\n" for line in self.unwritten)
            with atomic_file(self.folder / f"{hash_text(text)}.jsonl") as path:
                path.write_text(text, encoding="utf-8")
        self.unwritten = []
        self.written_at = time.monotonic()


def batch_key(rows: Sequence[TokenRow], prefix: int) -> str:
    """Content id of a batch: its rows in order, and how many tokens they shared."""
    tokens = [[row.id, list(row.prompt_ids), list(row.response_ids), list(row.choices)] for row in rows]
    return content_id("batch", {"rows": tokens, "prefix": prefix})


def _read_shard(shard: Path) -> dict[str, list[RowFigures | None]]:
    if hash_text(shard.read_text(encoding="utf-8", errors="replace")) != shard.stem:
        raise UserError(f"{shard}: a damaged shard of scores; delete it, and its rows are scored again")
    try:
        return {
            line["batch"]: [row and RowFigures.from_json(row) for row in line["rows"]] for line in read_jsonl(shard)
        }
    except (KeyError, TypeError):
        raise UserError(f"{shard}: scores of another version; delete it, and its rows are scored again") from None
