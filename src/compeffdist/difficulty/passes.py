"""Scoring passes whose figures are kept: what a scorer's model sees of rows, computed or found again."""

import importlib.metadata
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from compeffdist.difficulty.scorer import score_rows
from compeffdist.difficulty.shards import RowFigures, ScoreShards
from compeffdist.difficulty.spread import Source, Spread
from compeffdist.fingerprints import code_hash
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.progress import Progress
from compeffdist.records import content_id
from compeffdist.student.batching import TokenRow

OWN_CODE = ("student/batching.py", "student/head.py", "difficulty/scorer.py")
"""From the tokens of a row to its figures; how texts become tokens shows in the tokens."""


class Passes:
    """Passes of one model, whose figures are kept in `runtime.scores`. Use as a context.

    >>> with Passes(model, source, params, runtime, weights="sha256…", rows=len(rows)) as passes:  # doctest: +SKIP
    ...     [(figures, reasons)] = passes.see(rows)
    """

    def __init__(
        self, model: Any, source: Source, params: DifficultyParams, runtime: RuntimeParams, *, weights: str, rows: int
    ) -> None:
        """`source` is what `model` was loaded from, for replicas of it (`runtime.executor`); `weights` are as in
        `scorer_identity`; `rows` are those that will be seen, of all passes. Raises UserError as ScoreShards."""
        self.model, self.params, self.runtime, code = model, params, runtime, code_versions()
        # No knob but top_p changes a row's figures. Device, dtype and code are not in scorer_id: they change the last
        # bits of a score, not what it is a score of.
        place = {
            "weights": weights,
            "top_p": params.top_p,
            "device": str(model.device),
            "dtype": str(model.dtype),
            "code": code,
        }
        self.shards = ScoreShards(Path(runtime.scores) / content_id("scores", place))
        self.spread = Spread(self.shards, model, source, params, runtime, code)
        self.progress = Progress("difficulty", total=rows)

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            for each in (self.shards, self.spread, self.progress):
                opened.enter_context(each)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._opened.__exit__(*raised)

    def see(self, *passes: Sequence[TokenRow]) -> list[tuple[dict[str, RowFigures], dict[str, str]]]:
        """For each pass the figures, and the reasons of its other rows, by id. Raises UserError as `score_rows` and
        `Spread.fill`."""
        if self.runtime.executor == "ray":
            self.spread.fill(passes)
        results = []
        for rows in passes:
            figures, reasons = score_rows(
                self.model,
                rows,
                top_p=self.params.top_p,
                max_length=self.params.max_length,
                token_budget=self.runtime.token_budget,
                workspace_bytes=self.runtime.scoring_workspace_mib << 20,
                shards=self.shards,
                progress=self.progress,
            )
            results.append(({row.id: row for row in figures}, dict(reasons)))
        return results


def code_versions() -> dict[str, str]:
    """Of what computes a score: another version may round otherwise, or mend a fault, whose scores must not live on."""
    own = {name: code_hash(Path(__file__).parents[1] / name) for name in OWN_CODE}
    return own | {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
