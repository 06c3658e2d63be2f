"""Difficulty predicted from instruction and text, without the teacher's response.

The student that scores difficulty reads the prompt (`prompt_features`). For a row of instruction c:

    predicted = level_c + slope * (expected - mean_c expected + r(x)) / 2,   cut to [0, 1]

    x          what the student shows: its last state and how unsure it is, in a few numbers (`inputs`)
    expected   ranking score of the opening of the answer the teacher is likely to give (`openings`)
    r          ridge on score - level_c, with slopes of the instruction's own beside shared ones (`mixed_ridge`)
    level_c    mean score of the instruction's scored rows, drawn towards the mean of all the more the fewer rows it has
    slope      least squares of score - level on what is predicted of rows held out: calibrates to the scale of direct
               scores, so that scored and predicted rows can be ranked together

The mean of two predictors that err differently selects better than either; docs/performance.md compares inputs and
heads on the same rows. Means over an instruction's prompts take in all of
them, scored or not: they cost no answer. Sampling ranks within an instruction, so inputs are centred and levels
taken apart: what only tells instructions apart cannot pass for skill. The fit draws nothing by chance and does not
depend on the order of rows.

What is said of rows held out comes from FOLDS fits that each leave a part out; all scored rows are reported on.
For order within an instruction the levels are those of all rows: one that left a row out would be lower the
harder the row, which orders rows the wrong way round, and one that did not cannot order them at all. For order
over all instructions they are held out, too: of few rows an instruction, the level that a row went into tells
most of its score.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.errors import UserError
from compeffdist.files import atomic_folder, hash_file, read_json, write_json
from compeffdist.proxy.inputs import Rows, View, fit_view, means_by_instruction, rows_through
from compeffdist.proxy.mixed_ridge import MixedRidge, fit_mixed_ridge
from compeffdist.proxy.openings import OpeningModel, fit_openings
from compeffdist.proxy.prompt_features import PromptFeatures
from compeffdist.records import content_id

FOLDS = 5
FEWEST_ROWS = 50
"""Scored rows, beyond the first of each instruction, below which nothing can be fitted, let alone held out: one row
says nothing of the order within its instruction, nor of how far rows lie apart there."""
VIEW, OPENINGS = (tuple(field.name for field in dataclasses.fields(kind)) for kind in (View, OpeningModel))
DESCRIPTION, ARRAYS = "proxy.json", "proxy.safetensors"


@dataclass(frozen=True)
class Heads:
    """What is learnt from scored rows, by instruction."""

    levels: Floats
    """(instructions,)"""
    ridge: MixedRidge
    openings: OpeningModel
    mean_expected: Floats
    """(instructions,): mean of `expected` over the instruction's prompts."""

    def shown(self, rows: Rows) -> Floats:
        """The mean of both predictors, on the scale of scores and 0 at the instruction's level, (n,)."""
        expected = expected_scores(self.openings, rows) - self.mean_expected[rows.codes]
        return (expected + self.ridge.predict(rows.x, rows.codes)) / 2


def expected_scores(openings: OpeningModel, rows: Rows) -> Floats:
    """Expected ranking score of the answer's opening, (n,)."""
    shares = openings.shares(rows.x, rows.beliefs, rows.codes)
    return np.einsum("na,na->n", shares, rows.scores)


@dataclass(frozen=True)
class Proxy:
    """A fitted proxy."""

    instruction_ids: Sequence[str]
    """Sorted; arrays by instruction are in their order."""
    view: View
    heads: Heads
    slope: float

    def predict(self, prompts: PromptFeatures, instruction_ids: Sequence[str]) -> Floats:
        """Predicted scores in [0, 1], (n,), of prompts read with the openings that the proxy was fitted with (in its
        description, if it is saved); it must know all their instructions."""
        place = {key: number for number, key in enumerate(self.instruction_ids)}
        codes = np.array([place[key] for key in instruction_ids], dtype=np.int64)
        shown = self.heads.shown(rows_through(self.view, prompts, codes))
        return np.clip(self.heads.levels[codes] + self.slope * shown, 0.0, 1.0)


@dataclass(frozen=True)
class Fit:
    """A proxy, and what fits without them say of its rows: (n,) each, in their order, NaN where there is no score."""

    proxy: Proxy
    held_out: Floats
    """Predictions by heads that had not seen the row: for order within an instruction."""
    unseen: Floats
    """The same by levels that had not seen it either: for order over all instructions."""


def fit_proxy(
    prompts: PromptFeatures, instruction_ids: Sequence[str], ids: Sequence[str], given: Integers, difficulty: Floats
) -> Fit:
    """Fit on the rows that have a score.

    Args:
        prompts: finite features of n rows, scored or not.
        instruction_ids, ids: of each row; `ids` decide the folds.
        given: (n,), the place of the answer's opening among its instruction's, -1 where it is none of them.
        difficulty: (n,), NaN where there is no score.

    Raises:
        UserError: if there are too few scored rows for the instructions they are of, or they all have one score.
    """
    # sums are taken in the order of ids, so that their last bits do not depend on that of rows
    order = np.argsort(np.asarray(ids), kind="stable")
    names, codes = np.unique(np.asarray(instruction_ids)[order], return_inverse=True)
    given, difficulty, prompts = given[order], difficulty[order], prompts.rows(order)
    scored = np.flatnonzero(np.isfinite(difficulty))
    _check_enough(codes[scored])
    if np.ptp(difficulty[scored]) == 0:
        raise UserError(
            "all scored rows are equally hard, nothing can be learnt from them: see metrics/score_difficulty.json"
        )
    view = fit_view(prompts, codes, len(names))
    rows = rows_through(view, prompts, codes)
    folds = np.array([hashlib.sha256(ids[place].encode()).digest()[0] % FOLDS for place in order])
    shown, unseen_levels = np.full(len(order), np.nan), np.full(len(order), np.nan)
    for fold in range(FOLDS):
        left = scored[folds[scored] == fold]
        if len(left):
            heads = _fit_heads(rows, scored[folds[scored] != fold], given, difficulty, len(names))
            shown[left] = heads.shown(rows)[left]
            unseen_levels[left] = heads.levels[codes[left]]
    heads = _fit_heads(rows, scored, given, difficulty, len(names))
    levels, known = heads.levels[codes], shown[scored]
    slope = max(float(known @ (difficulty - levels)[scored] / (known @ known)), 0.0) if known.any() else 0.0
    back = np.argsort(order)
    held_out = np.clip(levels + slope * shown, 0.0, 1.0)[back]
    unseen = np.clip(unseen_levels + slope * shown, 0.0, 1.0)[back]
    return Fit(Proxy(names.tolist(), view, heads, slope), held_out, unseen)


def _check_enough(groups: Integers) -> None:
    rows, instructions = len(groups), len(np.unique(groups))
    if rows - instructions < FEWEST_ROWS:
        raise UserError(
            f"{rows} scored rows of {instructions} instructions are too few to learn from, at least {FEWEST_ROWS} more "
            "rows than instructions are needed: raise difficulty.proxy.rows, or use difficulty.mode: direct"
        )


def _fit_heads(rows: Rows, seen: Integers, given: Integers, difficulty: Floats, instructions: int) -> Heads:
    """Heads from the rows `seen`."""
    levels = _levels(rows.codes[seen], difficulty[seen], instructions)
    rest = difficulty[seen] - levels[rows.codes[seen]]
    known = seen[given[seen] >= 0]
    openings = fit_openings(rows.x[known], rows.beliefs[known], rows.codes[known], given[known], instructions)
    mean_expected = means_by_instruction(expected_scores(openings, rows)[:, None], rows.codes, instructions)[:, 0]
    ridge = fit_mixed_ridge(rows.x[seen], rows.codes[seen], rest, instructions)
    return Heads(levels, ridge, openings, mean_expected)


def _levels(groups: Integers, target: Floats, instructions: int) -> Floats:
    """Mean score of each instruction, drawn towards that of all as the variances within and between say (the
    random-effects mean, variances by moments); the mean of all where an instruction has no row."""
    counts = np.bincount(groups, minlength=instructions)
    there = counts > 0
    means = np.full(instructions, target.mean())
    means[there] = np.bincount(groups, target, instructions)[there] / counts[there]
    inside = float(((target - means[groups]) ** 2).sum() / max(len(target) - there.sum(), 1))
    between = float(means[there].var(ddof=1) - (inside / counts[there]).mean()) if there.sum() > 1 else 0.0
    if between <= 0.0:
        return np.full(instructions, target.mean())
    # 1 where all rows of an instruction are alike
    trust = np.divide(counts * between, counts * between + inside, out=np.zeros(instructions), where=there)
    return target.mean() + trust * (means - target.mean())


def save_proxy(proxy: Proxy, description: dict[str, Any], folder: Path) -> None:
    """Write a proxy as safetensors and JSON, atomically; `description` says what it was made from."""
    from safetensors.numpy import save_file

    view, heads = proxy.view, proxy.heads
    arrays = {
        **{f"view.{name}": getattr(view, name) for name in VIEW},
        "levels": heads.levels,
        "ridge.shared": heads.ridge.shared,
        "ridge.own": heads.ridge.own,
        **{f"openings.{name}": getattr(heads.openings, name) for name in OPENINGS},
        "openings.mean_expected": heads.mean_expected,
    }
    with atomic_folder(folder) as target:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, target / ARRAYS)
        write_json(
            target / DESCRIPTION,
            {
                **description,
                "instruction_ids": list(proxy.instruction_ids),
                "slope": proxy.slope,
                "penalty": heads.ridge.penalty,
            },
        )


def save_nothing(folder: Path) -> None:
    """Write that no proxy was fitted, because no pair was to be predicted."""
    with atomic_folder(folder) as target:
        write_json(target / DESCRIPTION, {"instruction_ids": []})


def load_proxy(folder: Path) -> Proxy:
    """The proxy that `save_proxy` wrote. Raises UserError if there is none."""
    from safetensors.numpy import load_file

    description = read_json(folder / DESCRIPTION)
    if not (folder / ARRAYS).is_file():
        raise UserError(f"{folder}: holds no proxy; it is trained under difficulty.mode: proxy")
    arrays = load_file(folder / ARRAYS)
    view = View(*(arrays[f"view.{name}"] for name in VIEW))
    heads = Heads(
        arrays["levels"],
        MixedRidge(arrays["ridge.shared"], arrays["ridge.own"], description["penalty"]),
        OpeningModel(*(arrays[f"openings.{name}"] for name in OPENINGS)),
        arrays["openings.mean_expected"],
    )
    return Proxy(description["instruction_ids"], view, heads, description["slope"])


def proxy_id(folder: Path) -> str:
    """Hash over a proxy's folder: what it predicts depends on nothing else but the prompts."""
    return content_id("proxy", {path.name: hash_file(path) for path in sorted(folder.iterdir())})
