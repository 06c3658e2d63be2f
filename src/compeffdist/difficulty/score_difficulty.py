"""Triplets in, scored triplets out: formatted, tokenised and scored, every row accounted for."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from compeffdist.difficulty.label_ranks import further_rows, log_probabilities, with_choices
from compeffdist.difficulty.passes import Passes
from compeffdist.difficulty.spread import Source
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.labels import LabelTrie
from compeffdist.measures.measure import Observed
from compeffdist.measures.ranking import RANKING_ALL, RANKING_EXCLUDING_ZERO
from compeffdist.measures.registry import MEASURES
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.records import Reject, ScoredTriplet, Triplet, by_id, content_id
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import label_trie

STAGE = "score_difficulty"
Values = dict[str, float | None]
"""Measure -> its value for one row; None where the row has none."""


def scorer_identity(weights: str, params: DifficultyParams, system: str) -> str:
    """What the values of a record depend on. `weights` is a hash over model weights, tokenizer and chat template."""
    settings = params.model_dump(exclude={"mode", "proxy", "max_length"})  # they decide what is scored, not how
    return content_id("scorer", {"weights": weights, "system": system, "settings": settings})


def score_triplets(
    triplets: Sequence[Triplet],
    model_folder: Path,
    params: DifficultyParams,
    runtime: RuntimeParams,
    *,
    weights: str,
    system: str,
    base_folder: Path | None = None,
    choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[list[ScoredTriplet], list[Reject]]:
    """`score_in_blocks` with all triplets in one."""
    count = len(triplets)
    [whole] = score_in_blocks(
        [triplets],
        count,
        model_folder,
        params,
        runtime,
        weights=weights,
        system=system,
        base_folder=base_folder,
        choices=choices,
    )
    return whole


def score_in_blocks(
    blocks: Iterable[Sequence[Triplet]],
    count: int,
    model_folder: Path,
    params: DifficultyParams,
    runtime: RuntimeParams,
    *,
    weights: str,
    system: str,
    base_folder: Path | None = None,
    choices: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[tuple[list[ScoredTriplet], list[Reject]]]:
    """Score triplets (with unique ids) under the warmed-up student, in the chat format it was trained in.

    Args:
        blocks: triplets that are scored in batches with each other alone.
        count: how many there are in all of them.
        model_folder: a model folder, or an adapter folder whose base is in `base_folder`.
        weights: as in `scorer_identity`, which becomes part of every record's id.
        choices: instruction id -> its labels, of those whose answers are one of few; such a triplet is ranked among
            them as well (`label_ranks`).

    Returns:
        For each block scores in the order of its triplets, and a reject for each triplet without one. The end of the
        turn is not scored, as in the official code.

    Raises:
        UserError: as `load_student` and `score_rows` do.
    """
    model, tokenizer = load_student(model_folder, runtime.device, base=base_folder)
    bare_prompt = encode_prompt(tokenizer, system, "")
    tries = {key: label_trie(tokenizer, labels) for key, labels in choices.items()}
    scorer_id, source = scorer_identity(weights, params, system), Source(model_folder, base_folder)
    with Passes(model, source, params, runtime, weights=weights, rows=count * passes_of(params)) as passes:
        for triplets in blocks:
            rows = [
                TokenRow(
                    t.id, encode_prompt(tokenizer, system, t.prompt), encode_response(tokenizer, t.response, end=False)
                )
                for t in triplets
            ]
            labelled = {
                t.id: (t.response, tries[t.instruction_id])
                for t in triplets
                if t.response in choices.get(t.instruction_id, ())
            }
            values, reasons = measure_rows(passes, rows, bare_prompt, labelled)
            parents = by_id(triplets)
            scored = [
                ScoredTriplet(
                    triplet_id=row_id,
                    pair_id=parents[row_id].pair_id,
                    instruction_id=parents[row_id].instruction_id,
                    scorer_id=scorer_id,
                    ranking=chosen_ranking(measures, params),
                    measures=measures,
                )
                for row_id, measures in values.items()
            ]
            rejects = [Reject(stage=STAGE, record_id=row_id, reason=reason) for row_id, reason in reasons.items()]
            assert len(triplets) == len(scored) + len(rejects)
            yield scored, rejects


def passes_of(params: DifficultyParams) -> int:
    """How many passes see every row."""
    return 2 if params.ifd else 1


def measure_rows(
    passes: Passes,
    rows: Sequence[TokenRow],
    bare_prompt: Sequence[int],
    labelled: Mapping[str, tuple[str, LabelTrie]] = MappingProxyType({}),
) -> tuple[dict[str, Values], dict[str, str]]:
    """Every measure of every row.

    Args:
        bare_prompt: the format around nothing, which takes the place of each prompt in the pass for `difficulty.ifd`.
        labelled: row id -> the row's label and the trie of its instruction's labels.

    Returns:
        By row id the measures of each row that was scored, and the reason of every other row. A row whose pass
        without its prompt fails is rejected, not left without a value.
    """
    rows = [with_choices(row, labelled[row.id][1]) if row.id in labelled else row for row in rows]
    bare_rows = [TokenRow(row.id, bare_prompt, row.response_ids) for row in rows] if passes.params.ifd else []
    (seen, reasons), (bare, bare_reasons) = passes.see(rows, bare_rows)
    reasons = bare_reasons | reasons
    looked_at = dict(seen)
    if passes.params.label_ranks:
        branched = [row for row in rows if row.id in labelled and row.id not in reasons]
        further = [more for row in branched for more in further_rows(row, labelled[row.id][1])]
        passes.progress.total += len(further)
        looked_at |= passes.see(further)[0][0]
    values: dict[str, Values] = {}
    for row in rows:
        if row.id not in reasons:
            label, trie = labelled.get(row.id, ("", None))
            logprobs = log_probabilities(row.id, trie, looked_at) if trie else None
            observed = Observed(seen[row.id], bare.get(row.id), label, logprobs)
            measures = {name: measure.of(observed) for name, measure in MEASURES.items()}
            odd = [name for name, value in measures.items() if value is not None and not math.isfinite(value)]
            if odd:
                reasons[row.id] = f"non_finite_{odd[0]}"
            else:
                values[row.id] = measures
    return values, {row.id: reasons[row.id] for row in rows if row.id in reasons}


def chosen_ranking(measures: Values, params: DifficultyParams) -> float:
    """The variant of the ranking score that `params.exclude_zero` chooses."""
    value = measures[(RANKING_EXCLUDING_ZERO if params.exclude_zero else RANKING_ALL).name]
    assert value is not None
    return value
