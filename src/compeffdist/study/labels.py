"""Human judgement: a sheet of rows a person labels, read back and correlated with the score.

The sheet is stratified over deciles and, within a decile, over task types, as evenly as the rows allow; it
does not say how a row was scored, and its order says nothing either.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from compeffdist.arrays import Floats, Integers
from compeffdist.columns import read_columns
from compeffdist.difficulty.sampling import uniform_draws
from compeffdist.errors import UserError, one_line
from compeffdist.records import Triplet
from compeffdist.study.measures import Scores
from compeffdist.study.sheets import read_column, write_rows

LABEL = "difficulty"
COLUMNS = ("triplet_id", "task_type", "task", "prompt", "response", LABEL)
SCALE = (1, 2, 3, 4, 5)
"""1: anyone would answer so at once, to 5: an expert would have to think."""
FEWEST = 10
"""Labelled rows a correlation needs: with fewer, resamples are mostly ties."""
RESAMPLES = 2000
CONFIDENCE = 0.95


def choose_rows(scores: Scores, task_types: Sequence[str], count: int, seed: int) -> Integers:
    """Places of `count` rows for a sheet (all, if there are fewer), in the order they stand in it.

    Rows go round: the first of every decile, the second of every decile, …; within a decile likewise over its
    task types. Which rows of a type, and the order of the sheet, are drawn by seed.
    """
    draws = uniform_draws(scores.triplet_ids, seed)
    types = np.unique(np.asarray(task_types), return_inverse=True)[1]
    turn_in_type = _turns([scores.decile, types], draws)
    turn_in_decile = _turns([scores.decile], types, turn_in_type)
    chosen = np.lexsort((draws, scores.decile, turn_in_decile))[:count]
    shuffled = uniform_draws(scores.triplet_ids, seed + 1)
    return chosen[np.argsort(shuffled[chosen], kind="stable")]


def _turns(groups: Sequence[Integers], *orders: Floats | Integers) -> Integers:
    """Each row's 0-based place in its group, by the last of `orders` first."""
    order = np.lexsort((*orders, *groups))
    new = np.zeros(len(order), dtype=bool)
    for group in groups:
        sorted_group = group[order]
        new[1:] |= sorted_group[1:] != sorted_group[:-1]
    starts = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    turns = np.empty(len(order), dtype=np.int64)
    turns[order] = np.arange(len(order)) - starts
    return turns


def task_types_of(scores: Scores, triplets: Path) -> list[str]:
    """The task type of every scored row. Raises UserError if the triplets cannot be read, or lack one that has a
    score."""
    import pyarrow.compute as pc

    table = read_columns(triplets, Triplet, ["id", "task_type"], ["task_type"])
    places = pc.index_in(scores.triplet_ids, value_set=table["id"].combine_chunks())
    if places.null_count:
        lost = scores.triplet_ids.filter(pc.is_null(places))[0]
        raise UserError(f"{triplets}: {lost} has a score but is not there; scores and triplets are of two runs")
    return table["task_type"].take(places).to_pylist()


def write_sheet(target: Path, triplets: Iterable[Triplet]) -> None:
    """Write the sheet, as `write_rows`."""
    write_rows(
        target,
        COLUMNS,
        ((one.id, one.task_type, one.task_name, one.prompt, one.response) for one in triplets),
    )


def read_labels(source: Path) -> dict[str, int]:
    """Labels by triplet id; rows left blank are not in it. Raises UserError as `read_column`."""
    return read_column(source, "triplet_id", LABEL, "--sheet", _label)


def _label(text: str, where: str) -> int:
    try:
        value = float(text.replace(",", "."))  # spreadsheets write 3 as 3.0 or 3,0
    except ValueError:
        value = float("nan")
    if value not in SCALE:
        raise UserError(f"{where}: {LABEL} is {one_line(text, 40)!r}, expected {SCALE[0]} to {SCALE[-1]} or nothing")
    return int(value)


@dataclass(frozen=True)
class Judgement:
    """Spearman correlation of one measure with what a person said."""

    measure: str
    labelled: int
    spearman: float | None
    """Null where the measure is constant over the labelled rows."""
    low: float | None
    high: float | None
    """Of the percentile bootstrap interval over labelled rows."""
    undefined_resamples: int
    """Resamples in which label or measure was constant; they are not in the interval."""


def judge_scores(scores: Scores, labels: Mapping[str, int], source: Path, seed: int) -> list[Judgement]:
    """The ranking score and every measure against labels, ranking score first. Raises UserError if a label is of no
    scored row, there are fewer than FEWEST, or all say the same."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = list(labels)
    places = pc.index_in(pa.array(ids, pa.string()), value_set=scores.triplet_ids.combine_chunks())
    if places.null_count:
        stranger = ids[int(np.argmax(places.is_null()))]
        raise UserError(f"{source}: {one_line(stranger, 80)} is not among the scores in {scores.name}")
    if len(ids) < FEWEST:
        raise UserError(f"{source}: {len(ids)} rows are labelled; a correlation needs at least {FEWEST}")
    given = np.array(list(labels.values()), dtype=np.float64)
    if (given == given[0]).all():
        raise UserError(f"{source}: every label is {int(given[0])}; there is nothing to correlate")
    rows = places.to_numpy()
    measures = {"ranking": scores.ranking, **scores.measures}
    return [_judgement(name, column[rows], given, seed) for name, column in measures.items()]


def _judgement(measure: str, values: Floats, labels: Floats, seed: int) -> Judgement:
    there = np.isfinite(values)
    values, labels = values[there], labels[there]
    estimate = _spearman(values[None], labels[None])[0] if len(values) else np.nan
    if not np.isfinite(estimate):
        return Judgement(measure, len(values), None, None, None, RESAMPLES)
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    resampled = _spearman(values[draws], labels[draws])
    defined = resampled[np.isfinite(resampled)]
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Judgement(measure, len(values), float(estimate), float(low), float(high), RESAMPLES - len(defined))


def _spearman(ones: Floats, others: Floats) -> Floats:
    """Row by row of two (k, n): the correlation of mean ranks; NaN where one is constant."""
    from scipy.stats import rankdata

    one, other = (rankdata(rows, axis=1) - (rows.shape[1] + 1) / 2 for rows in (ones, others))
    with np.errstate(invalid="ignore"):
        correlation: Floats = (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return correlation
