"""Difficulty predicted from instruction and text, without the teacher's response.

The student that scores difficulty reads the prompt (`prompt_features`), and a ridge regression maps what it
shows to the score its row is likely to get. For a row of instruction c with features x:

    predicted = level_c + slope * w . (x - centre_c) / scale,   cut to [0, 1]

    centre_c   mean features of the instruction's prompts, scored or not: they cost no answer
    scale      standard deviation of centred features over scored rows
    level_c    mean score of the instruction's scored rows, drawn towards the mean of all the more the fewer
               rows it has
    w          ridge on (score - level_c), its penalty by leave-one-out error
    slope      least squares of score - level on what is predicted of rows held out: calibrates to the scale of
               direct scores, so that scored and predicted rows can be ranked together

Everything is a closed form: no training run, no seed in the fit, the same bytes on the same machine. Sampling
ranks within an instruction, so features are centred and levels taken apart: what only tells instructions apart
cannot pass for skill. docs/method.md compares inputs and heads on the same rows: of those in a closed form with one
set of weights this does best, and heads told the instruction do better.

What is said of rows held out comes from FOLDS fits that each leave a part out; all scored rows are reported on.
For order within an instruction the levels are those of all rows: one that left a row out would be lower the
harder the row, which orders rows the wrong way round, and one that did not cannot order them at all. For order
over all instructions they are held out, too: of few rows an instruction, the level that a row went into tells
most of its score.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compeffdist.errors import UserError
from compeffdist.files import atomic_folder, hash_file, read_json, write_json
from compeffdist.records import content_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Features = NDArray[np.float32]
    Integers = NDArray[np.int64]

FOLDS = 5
PENALTIES = np.logspace(0, 6, 19)
FEWEST_ROWS = 50
"""Scored rows, beyond the first of each instruction, below which nothing can be fitted, let alone held out: one row
says nothing of the order within its instruction, nor of how far rows lie apart there."""
CARD, ARRAYS = "proxy.json", "proxy.safetensors"


@dataclass(frozen=True)
class Proxy:
    """A fitted proxy. `instruction_ids` are sorted; arrays by instruction are in their order."""

    instruction_ids: Sequence[str]
    centres: "Features"
    """(instructions, features)"""
    levels: "Floats"
    """(instructions,)"""
    scale: "Floats"
    """(features,)"""
    weights: "Floats"
    """(features,)"""
    slope: float

    def predict(self, features: "Features", instruction_ids: Sequence[str]) -> "Floats":
        """Predicted scores in [0, 1], (n,).

        Args:
            features: (n, features), from `read_prompts`.
            instruction_ids: of each row; all known to the proxy.
        """
        place = {key: number for number, key in enumerate(self.instruction_ids)}
        codes = np.array([place[key] for key in instruction_ids], dtype=np.int64)
        slopes = self.slope * self.weights / self.scale
        shown = features @ slopes.astype(np.float32) - (self.centres @ slopes.astype(np.float32))[codes]
        return np.clip(self.levels[codes] + shown, 0.0, 1.0)


@dataclass(frozen=True)
class Fit:
    """A proxy, and what fits without them say of its rows."""

    proxy: Proxy
    held_out: "Floats"
    """Predictions of the scored rows, in the order given, each by weights that had not seen the row: for order within
    an instruction."""
    unseen: "Floats"
    """The same by levels that had not seen it either: for order over all instructions."""
    penalty: float


def fit_proxy(features: "Features", instruction_ids: Sequence[str], ids: Sequence[str], difficulty: "Floats") -> Fit:
    """Fit on the rows that have a score.

    Args:
        features: (n, features), finite, of all rows, scored or not.
        instruction_ids, ids: of each row; `ids` decide the folds.
        difficulty: (n,), NaN where there is no score.

    Raises:
        UserError: if there are too few scored rows for the instructions they are of, or they all have one score.
    """
    scored = np.flatnonzero(np.isfinite(difficulty))
    names, codes = np.unique(np.asarray(instruction_ids), return_inverse=True)
    _check_enough(codes[scored])
    if np.ptp(difficulty[scored]) == 0:
        raise UserError(
            "all scored rows are equally hard, nothing can be learnt from them: see metrics/score_difficulty.json"
        )
    centres = _means(features, codes, len(names))
    centred = features[scored] - centres[codes[scored]]
    target, groups = difficulty[scored], codes[scored]
    folds = np.array([_fold(ids[index]) for index in scored])
    raw, unseen = np.empty(len(scored)), np.empty(len(scored))
    for fold in range(FOLDS):
        seen, left = folds != fold, folds == fold
        if left.any():
            levels, scale, weights, _ = _solve(centred[seen], groups[seen], target[seen], len(names))
            raw[left] = (centred[left] / scale) @ weights
            unseen[left] = levels[groups[left]]
    levels, scale, weights, penalty = _solve(centred, groups, target, len(names))
    base = levels[groups]
    slope = max(float(raw @ (target - base) / (raw @ raw)), 0.0) if raw.any() else 0.0
    proxy = Proxy(names.tolist(), centres, levels, scale, weights, slope)
    held_out, unseen = (np.clip(level + slope * raw, 0.0, 1.0) for level in (base, unseen))
    return Fit(proxy, held_out, unseen, penalty)


def _check_enough(groups: "Integers") -> None:
    rows, instructions = len(groups), len(np.unique(groups))
    if rows - instructions < FEWEST_ROWS:
        raise UserError(
            f"{rows} scored rows of {instructions} instructions are too few to learn from, at least {FEWEST_ROWS} more "
            "rows than instructions are needed: raise difficulty.proxy.rows, or use difficulty.mode: direct"
        )


def _solve(
    centred: "Features", groups: "Integers", target: "Floats", instructions: int
) -> "tuple[Floats, Floats, Floats, float]":
    """levels, scale, weights and the penalty chosen, from scored rows."""
    from sklearn.linear_model import RidgeCV

    levels = _levels(groups, target, instructions)
    scale = centred.std(axis=0, dtype=np.float64)
    scale[scale == 0.0] = 1.0
    ridge = RidgeCV(PENALTIES, fit_intercept=False).fit(centred / scale, target - levels[groups])
    return levels, scale, ridge.coef_.astype(np.float64), float(ridge.alpha_)


def _levels(groups: "Integers", target: "Floats", instructions: int) -> "Floats":
    """Mean score of each instruction, drawn towards that of all as the variances within and between say (the
    random-effects mean, variances by moments); the mean of all where an instruction has no row."""
    counts = np.bincount(groups, minlength=instructions)
    there = counts > 0
    means = np.full(instructions, target.mean())
    means[there] = np.bincount(groups, target, instructions)[there] / counts[there]
    inside = float(((target - means[groups]) ** 2).sum() / max(len(target) - there.sum(), 1))
    between = float(means[there].var() - (inside / counts[there]).mean())
    if between <= 0.0:
        return np.full(instructions, target.mean())
    # 1 where all rows of an instruction are alike
    trust = np.divide(counts * between, counts * between + inside, out=np.zeros(instructions), where=there)
    levels: Floats = target.mean() + trust * (means - target.mean())
    return levels


def _means(features: "Features", codes: "Integers", groups: int) -> "Features":
    """Mean features of each group, (groups, features)."""
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(codes, minlength=groups))[:-1])
    return np.array([features[rows].mean(axis=0, dtype=np.float64) for rows in members], dtype=np.float32)


def _fold(row_id: str) -> int:
    return hashlib.sha256(row_id.encode()).digest()[0] % FOLDS


def save_proxy(proxy: Proxy, card: dict[str, Any], folder: Path) -> None:
    """Write a proxy as safetensors and JSON, atomically; `card` says what it was made from."""
    from safetensors.numpy import save_file

    arrays: dict[str, NDArray[Any]] = {
        "centres": proxy.centres,
        "levels": proxy.levels,
        "scale": proxy.scale,
        "weights": proxy.weights,
        "slope": np.array([proxy.slope]),
    }
    with atomic_folder(folder) as target:
        save_file(arrays, target / ARRAYS)
        write_json(target / CARD, {**card, "instruction_ids": list(proxy.instruction_ids)})


def save_nothing(folder: Path) -> None:
    """Write that no proxy was fitted, because no pair was to be predicted."""
    with atomic_folder(folder) as target:
        write_json(target / CARD, {"instruction_ids": []})


def load_proxy(folder: Path) -> Proxy:
    """The proxy that `save_proxy` wrote. Raises UserError if there is none."""
    from safetensors.numpy import load_file

    card = read_json(folder / CARD)
    if not (folder / ARRAYS).is_file():
        raise UserError(f"{folder}: holds no proxy; it is trained under difficulty.mode: proxy")
    arrays = load_file(folder / ARRAYS)
    return Proxy(
        card["instruction_ids"],
        arrays["centres"],
        arrays["levels"],
        arrays["scale"],
        arrays["weights"],
        float(arrays["slope"][0]),
    )


def proxy_id(folder: Path) -> str:
    """Hash over a proxy's folder: what it predicts depends on nothing else but the prompts."""
    return content_id("proxy", {path.name: hash_file(path) for path in sorted(folder.iterdir())})
