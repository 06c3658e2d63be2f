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

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from compeffdist.canonical import canonical_json, hash_bytes
from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.measures.measure import TokenFigures
from compeffdist.records import content_id
from compeffdist.student.batching import TokenRow

WRITE_EVERY_SECONDS = 20.0
"""At most this much scoring is lost when a run is killed."""
BEGINNING = b'{"batch":"'
"""Of a line of a shard, before the batch's key."""
OTHER_VERSION = "scores of another version; delete it, and its rows are scored again"


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


class Place(NamedTuple):
    """Where a batch lies on the disk: a line of a shard."""

    shard: Path
    start: int
    """In bytes."""
    length: int


class ScoreShards:
    """Scored batches of one scorer in a folder. Use as a context: what is left is written on leaving. Opening it raises
    UserError if a shard is not what was written, or of another version. What a shard holds is read when it is asked
    for: here are only the places."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.batches: dict[str, Place] = {}
        """Where each batch that is on the disk lies."""
        self.unwritten: list[dict[str, Any]] = []
        self.written_at = time.monotonic()
        self.reused = 0
        for shard in sorted(self.folder.glob("*.jsonl")):
            self.batches.update(_read_places(shard))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.write()

    def get(self, key: str) -> list[RowFigures | None] | None:
        """Figures of a batch that is on the disk, in order of its rows; None in place of a row that has none. Raises
        UserError if the shard is not any more what it was when this was opened."""
        place = self.batches.get(key)
        if place is None:
            return None
        try:
            with place.shard.open("rb") as stream:
                stream.seek(place.start)
                line = stream.read(place.length)
        except OSError as error:
            raise UserError(f"{place.shard}: a shard of scores in use was lost ({error}); run again") from None
        found, rows = _batch(line, place.shard)
        if found != key:
            raise UserError(f"{place.shard}: a shard of scores in use was changed; run again")
        self.reused += len(rows)
        return rows

    def put(self, key: str, rows: Sequence[RowFigures | None]) -> None:
        """Keep a batch; it is on the disk within WRITE_EVERY_SECONDS of further batches."""
        self.unwritten.append({"batch": key, "rows": [row and row.to_json() for row in rows]})
        if time.monotonic() - self.written_at > WRITE_EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Put on the disk what is not there yet."""
        if self.unwritten:
            content = "".join(canonical_json(line) + "\n" for line in self.unwritten).encode()
            shard = self.folder / f"{hash_bytes(content)}.jsonl"
            with atomic_file(shard) as path:
                path.write_bytes(content)
            self.batches.update(_places(shard, content))
        self.unwritten = []
        self.written_at = time.monotonic()


def batch_key(rows: Sequence[TokenRow], prefix: int) -> str:
    """Content id of a batch: its rows in order, and how many tokens they shared."""
    tokens = [[row.id, list(row.prompt_ids), list(row.response_ids), list(row.choices)] for row in rows]
    return content_id("batch", {"rows": tokens, "prefix": prefix})


def _places(shard: Path, content: bytes) -> dict[str, Place]:
    """Where the batches of a shard's bytes lie. Raises UserError if it is of another version, by its first batch."""
    places, start = dict[str, Place](), 0
    for line in content.splitlines(keepends=True):
        if not line.startswith(BEGINNING):
            raise UserError(f"{shard}: {OTHER_VERSION}")
        key = line[len(BEGINNING) : line.index(b'"', len(BEGINNING))].decode()
        places[key] = Place(shard, start, len(line))
        if not start:
            _batch(line, shard)
        start += len(line)
    return places


def _read_places(shard: Path) -> dict[str, Place]:
    """The same of a shard on the disk, whose bytes must be those that were written."""
    content = shard.read_bytes()
    if hash_bytes(content) != shard.stem:
        raise UserError(f"{shard}: a damaged shard of scores; delete it, and its rows are scored again")
    return _places(shard, content)


def _batch(line: bytes, shard: Path) -> tuple[str, list[RowFigures | None]]:
    """A batch's key and figures."""
    try:
        kept = json.loads(line)
        return kept["batch"], [row and RowFigures.from_json(row) for row in kept["rows"]]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{shard}: {OTHER_VERSION}") from None
