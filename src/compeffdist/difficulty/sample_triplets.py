"""Difficulties in, draws out, column by column: a million rows take seconds, ten million a few GiB.

`sampling.py` decides; here the columns it needs are read, checked and written. Scored triplets and pairs whose
difficulty was predicted are ranked together and drawn by pair id, so a pair's draw is the same before it is answered as
after. The file of draws has the rows of the file of scores in their order, then those of the file of predictions.
"""

from collections.abc import Collection, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from compeffdist.arrays import Booleans, Integers
from compeffdist.columns import BATCH_ROWS, read_columns, write_columns
from compeffdist.difficulty.confidence import below_floor, margins
from compeffdist.difficulty.sampling import CONTROL, Floats, Sample, not_drawn, sample_rows, uniform_draws
from compeffdist.errors import UserError
from compeffdist.measures.registry import COLUMNS, MEASURES, RANDOM, RANKING
from compeffdist.params import SamplingParams
from compeffdist.records import Draw, PredictedDifficulty, ScoredTriplet, Triplet

IDS = ["pair_id", "triplet_id", "instruction_id"]


def sample_triplets(
    scored: Path,
    predicted: Path,
    triplets: Path,
    sampled: Path,
    params: SamplingParams,
    seed: int,
    own: Collection[str] = (),
) -> dict[str, Any]:
    """Decide on every row of two files and write the draws; returns counts for the stage's metrics.

    Args:
        scored: scored triplets.
        predicted: pairs not answered yet, with their predicted difficulty, on the scale of `sampling.metric`.
        triplets: what was scored, of which scope `answer` takes the answers.
        own: ids of the instructions that `sampling.own_rate` is for.

    Raises:
        UserError: if a file cannot be read, a row of it has no `sampling.metric`, two rows are of one pair, or, under
            scope `answer` or with a confidence floor, a row has no triplet.
    """
    wanted = [params.metric] if params.metric in MEASURES else []
    table = read_columns(scored, ScoredTriplet, [*IDS, RANKING, *wanted], ["instruction_id"], COLUMNS)
    ids = ["pair_id", "instruction_id"]
    more = read_columns(predicted, PredictedDifficulty, [*ids, "difficulty"], ["instruction_id"])
    difficulty = np.concatenate([_difficulty(table, scored, params.metric, seed), more["difficulty"].to_numpy()])
    # a pair that was only predicted has no triplet
    more = more.append_column("triplet_id", pa.repeat("", len(more)))
    table = pa.concat_tables([table.select(IDS), more.select(IDS)]).unify_dictionaries()
    _check_pairs(table, scored, predicted)
    groups = _answers(table, triplets) if params.scope == "answer" else table["instruction_id"]
    unsure = _below_floor(table, triplets, params.confidence_floor)
    sample = _drawn(table, groups, difficulty, unsure, params, seed, own)
    write_columns(sampled, Draw, _batches(table, difficulty, sample))
    return sample_metrics(table["instruction_id"], sample)


def _below_floor(table: pa.Table, triplets: Path, share: float) -> Booleans:
    """Of each row, whether its answer is one of those that the teacher was least sure of."""
    if not share:
        return np.zeros(len(table), np.bool_)
    answers = read_columns(triplets, Triplet, ["id", "probabilities"])
    needed = "sampling.confidence_floor needs its answer", "sampling.confidence_floor: 0"
    places = _places(table, answers, triplets, *needed)
    margin = margins(answers["probabilities"].combine_chunks())[places.to_numpy()]
    return below_floor(table["pair_id"], _codes(table["instruction_id"]), margin, share)


def _drawn(
    table: pa.Table,
    groups: pa.ChunkedArray,
    difficulty: Floats,
    unsure: Booleans,
    params: SamplingParams,
    seed: int,
    own: Collection[str],
) -> Sample:
    """`sample_rows` of the rows above the confidence floor, those of the user's own tasks at a rate of their own."""
    ids = table["pair_id"]
    names = pa.array(sorted(own) if params.own_rate is not None else [], "string")
    is_own = pc.is_in(table["instruction_id"].cast("string"), value_set=names).to_numpy()
    rates = ((is_own & ~unsure, params.own_rate or params.rate), (~is_own & ~unsure, params.rate))
    places = [np.flatnonzero(rows) for rows, _ in rates]
    samples = [
        sample_rows(ids.take(rows), groups.take(rows), difficulty[rows], params.model_copy(update={"rate": rate}), seed)
        for rows, (_, rate) in zip(places, rates, strict=True)
    ]
    places.append(np.flatnonzero(unsure))
    samples.append(not_drawn(ids.take(places[-1]), seed))
    order = np.argsort(np.concatenate(places))
    columns = [[getattr(sample, each.name) for sample in samples] for each in fields(Sample)]
    return Sample(*(np.concatenate(parts)[order] for parts in columns))


def _check_pairs(table: pa.Table, scored: Path, predicted: Path) -> None:
    if pc.count_distinct(table["pair_id"]).as_py() != len(table):
        counts = pc.value_counts(table["pair_id"])
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"]
        raise UserError(
            f"{scored}, {predicted}: {twice} has two difficulties, which cannot be compared; score with one scorer, "
            "and predict only what is not scored"
        )


def _answers(table: pa.Table, triplets: Path) -> pa.ChunkedArray:
    """Of each row its instruction and, where that has labels, its answer."""
    answers = read_columns(triplets, Triplet, ["id", "response", "labels"], ["response"])
    needed = "sampling.scope 'answer' needs its answer", "sampling.scope: instruction"
    places = _places(table, answers, triplets, *needed)
    labelled = pc.greater(pc.list_value_length(answers["labels"]), 0)
    among = pc.if_else(labelled, answers["response"].cast("string"), "").take(places)
    instructions = table["instruction_id"].cast("string")
    return pc.binary_join_element_wise(instructions, among, "\n")


def _places(table: pa.Table, answers: pa.Table, triplets: Path, needed: str, instead: str) -> pa.ChunkedArray:
    """Where the answer of each row is. Raises UserError naming the first row without one."""
    places = pc.index_in(table["triplet_id"], value_set=answers["id"])
    if places.null_count:
        row = table.slice(pc.index(places.is_null(), True).as_py(), 1).to_pylist()[0]
        raise UserError(
            f"{triplets}: no triplet of pair {row['pair_id']}, and {needed}; score the triplets again "
            f"(dvc repro -f score_difficulty), or set {instead}"
        )
    return places


def _difficulty(table: pa.Table, scored: Path, metric: str, seed: int) -> Floats:
    """(n,), finite, larger is harder. Raises UserError naming the first row without a value."""
    if metric == RANDOM:
        return uniform_draws(table["pair_id"], seed, CONTROL)
    values: Floats = table[metric].to_numpy().astype(np.float64)  # a missing value is NaN
    if metric in MEASURES:
        measure = MEASURES[metric]
        values = -values if measure.harder == "low" else values
        if measure.needs == "label_logprobs":
            # all rows of an instruction have a rank among its labels or none has, and ranks are within an instruction
            values = np.where(np.isnan(values), table[RANKING].to_numpy(), values)
    holes = np.flatnonzero(~np.isfinite(values))
    if len(holes):
        raise UserError(
            f"{scored}: {len(holes)} of {len(values)} rows have no {metric}, the first that of "
            f"{table['triplet_id'][int(holes[0])]}; choose another sampling.metric, or score with it"
        )
    return values


def _batches(table: pa.Table, difficulty: Floats, sample: Sample) -> Iterator[dict[str, pa.Array]]:
    """Draws without their ids, as columns of a few rows at a time."""
    for start in range(0, len(table), BATCH_ROWS):
        rows = slice(start, start + BATCH_ROWS)
        ids = table.slice(start, BATCH_ROWS).combine_chunks()
        yield {
            "pair_id": ids["pair_id"].chunk(0),
            "triplet_id": ids["triplet_id"].chunk(0),
            "instruction_id": ids["instruction_id"].chunk(0).dictionary_decode(),
            "difficulty": pa.array(difficulty[rows]),
            **{each.name: pa.array(getattr(sample, each.name)[rows]) for each in fields(Sample)},
        }


def _codes(names: pa.ChunkedArray) -> Integers:
    """Of each row of a dictionary-encoded column, of one dictionary, the place of its value there."""
    chunks = [chunk.indices.to_numpy().astype(np.int64) for chunk in names.chunks]
    return np.concatenate([np.empty(0, np.int64), *chunks])


def sample_metrics(instructions: pa.ChunkedArray, sample: Sample) -> dict[str, Any]:
    """Counts of a sample, in all and by instruction (of each row, dictionary-encoded), for the stage's metrics file."""
    codes = _codes(instructions)
    names = instructions.chunk(0).dictionary.to_pylist() if instructions.num_chunks else []
    rows = np.bincount(codes, minlength=len(names)).tolist()
    kept = np.bincount(codes[sample.kept], minlength=len(names)).tolist()
    return {
        "rows": len(codes),
        "kept": sum(kept),
        "kept_share": sum(kept) / len(codes) if len(codes) else 0.0,
        "below_confidence_floor": int((sample.rank == 0).sum()),
        "expected_kept": float(sample.inclusion_probability.sum()),
        "instructions": len(names),
        "instructions_represented": sum(count > 0 for count in kept),
        "by_instruction": {
            name: {"rows": of_it, "kept": kept_of_it}
            for name, of_it, kept_of_it in sorted(zip(names, rows, kept, strict=True))
        },
    }
