"""The rank of a label among its instruction's is that of the likelihoods of whole labels, however they branch."""

from pathlib import Path

import numpy as np
import pytest

from compeffdist.difficulty.label_ranks import further_rows, log_probabilities, with_choices
from compeffdist.difficulty.score_difficulty import score_triplets
from compeffdist.difficulty.shards import RowFigures
from compeffdist.labels import LabelTrie, build_trie
from compeffdist.measures.label_ranks import LABEL_RANK, LABEL_SURPRISE
from compeffdist.measures.measure import Observed
from compeffdist.params import DifficultyParams
from compeffdist.records import ScoredTriplet, Triplet
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import label_logprobs, label_trie
from tests.factories import make_triplet

from .test_score_difficulty import SYSTEM, folder, fp32, runtime_of

__all__ = ["folder", "fp32"]

PROMPTS = ("the film was great", "a bore", "nothing to say", "the film was dreadful")
APART = ["up", "down", "level"]
"""Their first tokens differ."""
ALIKE = ["up", "upper", "upper still", "down"]
"""Labels that begin alike, one the beginning of another."""
END = 99
NOTHING = (np.array([0]), np.array([0.0]), np.array([0.0]))


def scores_of(
    folder: Path, labels: list[str], label_ranks: bool = False, told: bool = True
) -> tuple[list[Triplet], list[ScoredTriplet]]:
    triplets = [
        make_triplet(text_id=prompt, prompt=prompt, response=labels[place % len(labels)])
        for place, prompt in enumerate(PROMPTS)
    ]
    scored, rejects = score_triplets(
        triplets,
        folder,
        DifficultyParams(label_ranks=label_ranks),
        runtime_of(folder),
        weights="weights",
        system=SYSTEM,
        choices={triplets[0].instruction_id: labels} if told else {},
    )
    assert rejects == []
    return triplets, scored


def ranks(scored: list[ScoredTriplet]) -> list[float | None]:
    return [record.measures["label_rank"] for record in scored]


@pytest.mark.usefixtures("fp32")
@pytest.mark.parametrize("labels", [APART, ALIKE, [str(score) for score in range(1, 11)]])
def test_ranks_and_surprises_are_those_of_the_likelihoods_of_whole_labels(folder: Path, labels: list[str]) -> None:
    import math

    triplets, scored = scores_of(folder, labels, label_ranks=True)
    model, tokenizer = load_student(folder, "cpu")
    truth = label_logprobs(model, tokenizer, list(PROMPTS), labels, system=SYSTEM)
    for triplet, record, logprobs in zip(triplets, scored, truth, strict=True):
        own = logprobs[triplet.response]
        rank = sum(other > own for other in logprobs.values())
        assert record.measures["label_surprise"] == pytest.approx(1 - math.exp(own), abs=1e-5)
        assert record.measures["label_rank"] == pytest.approx((rank + 1 - math.exp(own)) / len(labels), abs=1e-5)


@pytest.mark.usefixtures("fp32")
def test_first_tokens_that_tell_labels_apart_cost_nothing_and_others_are_left_out_unless_asked_for(
    folder: Path,
) -> None:
    _, tokenizer = load_student(folder, "cpu")
    apart, alike = label_trie(tokenizer, APART), label_trie(tokenizer, ALIKE)
    row = TokenRow("row", [1, 2], [3])
    assert further_rows(row, apart) == [] and len(further_rows(row, alike)) >= 1
    assert ranks(scores_of(folder, ALIKE)[1]) == [None] * len(PROMPTS)
    free, asked = (ranks(scores_of(folder, APART, label_ranks)[1]) for label_ranks in (False, True))
    assert free == asked != [None] * len(PROMPTS)


@pytest.mark.usefixtures("fp32")
def test_the_published_scores_are_the_same_beside_label_ranks_and_without(folder: Path) -> None:
    def published(scored: list[ScoredTriplet]) -> list[tuple[str, float, float, float]]:
        return [
            (row.triplet_id, row.ranking, row.measures["ranking_all"], row.measures["perplexity"]) for row in scored
        ]

    told, untold = (scores_of(folder, ALIKE, True, told)[1] for told in (True, False))
    assert published(told) == published(untold)
    assert [row.measures["label_surprise"] for row in untold] == [None] * len(PROMPTS)


def test_an_answer_outside_the_labels_and_a_free_one_have_no_rank(folder: Path) -> None:
    triplets = [make_triplet(prompt="the film was great", response="sideways")]
    scored, _ = score_triplets(
        triplets, folder, DifficultyParams(), runtime_of(folder), weights="w", system=SYSTEM,
        choices={triplets[0].instruction_id: APART},
    )  # fmt: skip
    assert (scored[0].measures["label_rank"], scored[0].measures["label_surprise"]) == (None, None)


def looked_at(trie: LabelTrie, *logits: list[float]) -> dict[str, RowFigures]:
    row = TokenRow("row", [1, 2], [10])
    ids = [with_choices(row, trie).id, *(more.id for more in further_rows(row, trie))]
    return {key: RowFigures(*NOTHING, key, values) for key, values in zip(ids, logits, strict=True)}


def difficulty(label: str, trie: LabelTrie, seen: dict[str, RowFigures]) -> tuple[float, float]:
    observed = Observed(seen["row"], label=label, label_logprobs=log_probabilities("row", trie, seen))
    return LABEL_RANK.compute(observed), LABEL_SURPRISE.compute(observed)


def test_rows_of_one_rank_are_ordered_by_surprise_and_a_tie_counts_for_the_true_label() -> None:
    trie = build_trie({"a": [10], "b": [11], "c": [12]}, END)
    sure, unsure, second = (
        difficulty("a", trie, looked_at(trie, logits)) for logits in ([5.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.1, 0.0])
    )
    tied = difficulty("a", trie, looked_at(trie, [1.0, 1.0, 1.0]))
    assert sure[0] < unsure[0] < tied[0] < 1 / 3 < second[0] < 2 / 3
    assert tied == pytest.approx(((2 / 3) / 3, 2 / 3))


def test_a_branching_that_was_not_looked_at_leaves_no_rank() -> None:
    trie = build_trie({"a": [10], "ab": [10, 11], "c": [12]}, END)
    both = looked_at(trie, [1.0, 0.0], [0.5, 0.0])
    assert log_probabilities("row", trie, both) is not None
    assert log_probabilities("row", trie, {"row": both["row"]}) is None
