"""Signs of tasks by hand, and what they say where there is nothing to say."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from compeffdist.records import Reject, Triplet
from compeffdist.study.signs import SIGNS
from compeffdist.study.specificity import draw_swaps
from compeffdist.study.task_quality import judged
from compeffdist.study.task_signs import (
    Signs,
    of_answers,
    of_demonstrations,
    of_labels,
    of_neighbours,
    of_overlap,
)
from tests.factories import make_demonstration, make_instruction, make_task, make_text, make_triplet

LABELS = ["calm", "angry", "sad", "glad"]


def signs(type: str = "closed_classification", **fields: Any) -> Signs:
    known = {"labels": LABELS} if type == "closed_classification" else {}
    return Signs(make_instruction(make_task(type, **(known | fields))), rows=0)


def answers(own: Signs, responses: list[str], **fields: Any) -> list[Triplet]:
    return [
        make_triplet(own.instruction, make_text(f"t{n}"), response=said, **fields) for n, said in enumerate(responses)
    ]


def test_entropy_and_the_largest_answer_by_hand() -> None:
    own = signs()
    of_answers(own, answers(own, ["calm"] * 6 + ["angry"] * 2))
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(4)
    assert own.values["entropy"] == pytest.approx(expected)
    assert (own.values["largest_answer"], own.notes["largest_answer"]) == (0.75, "calm")
    assert own.values["second_label"] is None  # no label was weighed


def test_one_answer_to_all_has_no_entropy_and_free_answers_have_no_possible_ones() -> None:
    own, free = signs(), signs("extraction")
    of_answers(own, answers(own, ["calm"] * 5))
    assert (own.values["entropy"], own.values["largest_answer"]) == (0.0, 1.0)
    of_answers(free, answers(free, ["[]"] * 4 + ['["x"]']))
    assert (free.values["entropy"], free.values["largest_answer"]) == (None, 0.8)


def test_of_too_few_answers_nothing_is_said() -> None:
    own = signs()
    of_answers(own, answers(own, ["calm"] * 4, labels=LABELS, probabilities=[0.4, 0.3, 0.2, 0.1]))
    assert set(own.values.values()) == {None}


def test_the_second_label_is_the_mean_over_weighed_answers_and_names_the_usual_pair() -> None:
    own = signs()
    weighed = answers(own, ["calm"] * 4, labels=LABELS, probabilities=[0.5, 0.1, 0.4, 0.0])
    other = make_triplet(
        own.instruction, make_text("o"), response="angry", labels=LABELS, probabilities=[0.2, 0.8, 0.0, 0.0]
    )
    chosen = make_triplet(own.instruction, make_text("c"), response="angry")
    of_answers(own, [*weighed, other, chosen])
    assert own.values["second_label"] == pytest.approx((4 * 0.4 + 0.2) / 5)
    assert own.notes["second_label"] == "calm / sad"


def test_the_most_similar_labels_are_found_among_all_pairs() -> None:
    own = signs()
    vectors = {label: np.eye(3)[n % 3] for n, label in enumerate(LABELS)}
    vectors["sad"] = np.array([0.0, 0.6, 0.8])
    of_labels(own, vectors)
    assert (own.values["label_cosine"], own.notes["label_cosine"]) == (1.0, "calm / glad")
    vectors["glad"] = np.array([-1.0, 0.0, 0.0])
    of_labels(own, vectors)
    assert own.values["label_cosine"] == pytest.approx(0.6) and own.notes["label_cosine"] == "angry / sad"


def test_upheld_counts_what_was_asked_about_blind() -> None:
    half, none, unasked, free = (signs(name=name) for name in ("half", "none", "unasked", "free"))
    free.instruction = signs("extraction", name="free").instruction
    by_task = {own.instruction.task_id: own for own in (half, none, unasked, free)}
    kept = [make_demonstration(input="One day.", task_id=half.instruction.task_id)]
    kept.append(make_demonstration(input="One day.", task_id=free.instruction.task_id))

    def reject(own: Signs, reason: str, detail: str) -> Reject:
        return Reject(stage="write_demonstrations", record_id=own.instruction.task_id, reason=reason, detail=detail)

    told = [reject(half, "not_upheld", "a"), reject(half, "truncated", "b"), reject(half, "over_per_task", "c")]
    of_demonstrations(by_task, kept, [*told, reject(none, "not_upheld", "d"), reject(unasked, "truncated", "e")])
    assert half.values["upheld"] == pytest.approx(2 / 3) and half.notes["upheld"] == "2 of 3"
    assert none.values["upheld"] == 0.0
    assert unasked.values["upheld"] is None and free.values["upheld"] is None


def test_the_nearest_task_is_another_one() -> None:
    those = [signs(name=name) for name in ("a", "b", "c")]
    of_neighbours(those, np.array([[1.0, 0.3, 0.9], [0.3, 1.0, -0.2], [0.9, -0.2, 1.0]]))
    assert [own.values["task_cosine"] for own in those] == [0.9, 0.3, 0.9]
    assert [own.notes["task_cosine"] for own in those] == ["c", "a", "a"]


def test_answers_are_compared_on_the_texts_that_both_have() -> None:
    one, same, few, constant = (signs(name=name) for name in ("one", "same", "few", "constant"))
    said = ["calm", "angry", "sad"] * 4
    triplets = {
        one.instruction.id: answers(one, said, monitored="positive"),
        same.instruction.id: answers(same, [{"calm": "sad", "angry": "calm", "sad": "glad"}[s] for s in said[:9]]),
        few.instruction.id: answers(few, said[:7]),
        constant.instruction.id: answers(constant, ["calm"] * 12),
    }
    assert of_overlap([one, same, few, constant], triplets) == 3
    assert one.values["answer_overlap"] == pytest.approx(1.0) and one.notes["answer_overlap"] == "same"
    assert same.notes["answer_overlap"] == "one"
    assert few.values["answer_overlap"] is None and constant.values["answer_overlap"] is None


def test_overlap_with_the_monitored_question_is_less_that_of_chance() -> None:
    own = signs()
    said, monitored = ["calm", "angry"] * 6, ["positive", "negative", "positive"] * 4
    triplets = [
        make_triplet(own.instruction, make_text(f"t{n}"), response=r, monitored=m)
        for n, (r, m) in enumerate(zip(said, monitored, strict=True))
    ]
    assert of_overlap([own], {own.instruction.id: triplets}) == 0
    assert own.values["answer_overlap"] == pytest.approx(adjusted_mutual_info_score(said, monitored))
    assert own.notes["answer_overlap"] == "the monitored question"


def test_poorest_first_with_ties_at_their_mean_place_and_holes_left_out() -> None:
    those = [signs(name=name) for name in ("a", "b", "c", "d")]
    for own, cosine, entropy in zip(those, (0.9, 0.9, 0.1, 0.2), (None, 0.4, 0.9, 0.5), strict=True):
        own.values |= {"label_cosine": cosine, "entropy": entropy}
    found = judged(those, {"label_cosine": 0.8, "entropy": 0.5})
    assert [(one["name"], one["against"]) for one in found["tasks"]] == [
        ("b", ["label_cosine", "entropy"]),
        ("a", ["label_cosine"]),
        ("d", ["entropy"]),
        ("c", []),
    ]
    # places by cosine: 3.5, 3.5, 1, 2 of 4; by entropy, the least the worst: 3, 1, 2 of 3
    expected = [np.mean([3.5 / 4, 3 / 3]), 3.5 / 4, np.mean([2 / 4, 2 / 3]), np.mean([1 / 4, 1 / 3])]
    assert [one["mean_place"] for one in found["tasks"]] == pytest.approx(expected)
    assert found["flagged"]["entropy"]["of"] == 3
    assert found["flagged"]["entropy"]["instruction_ids"] == sorted(
        own.instruction.id for own in those if own.instruction.task_name in "bd"
    )


def test_a_bound_itself_speaks_against_a_task_and_a_hole_never_does() -> None:
    assert SIGNS["label_cosine"].against(0.8, 0.8) and not SIGNS["label_cosine"].against(0.79, 0.8)
    assert SIGNS["entropy"].against(0.5, 0.5) and not SIGNS["entropy"].against(0.51, 0.5)
    assert not SIGNS["entropy"].against(None, 0.5)


def test_the_other_instruction_is_of_the_type_and_allows_the_answer_if_one_does() -> None:
    one = make_instruction(make_task(name="one", labels=["calm", "angry"]))
    shares = make_instruction(make_task(name="shares", labels=["calm", "sad"]))
    not_shared = make_instruction(make_task(name="other", labels=["big", "small"]))
    scale = make_instruction(make_task("scoring", name="scale"))
    texts = {make_text(f"t{n}").id: f"t{n}" for n in range(6)}
    triplets = [make_triplet(one, make_text(f"t{n}"), response="calm") for n in range(3)]
    triplets += [make_triplet(one, make_text(f"t{n}"), response="angry") for n in range(3, 6)]
    triplets += [make_triplet(scale, make_text("t0"), response="3")]
    instructions = [one, shares, not_shared, scale]
    swaps = draw_swaps(triplets, instructions, texts, 6, seed=1)
    assert len(swaps) == 6  # of the scale there is no other
    for swap in swaps:
        assert swap.own.instruction_id == one.id and swap.other.response == swap.own.response
        assert swap.same_label == (swap.own.response == "calm")
        if swap.same_label:
            assert swap.other.instruction_id == shares.id
            assert swap.other.prompt.startswith(shares.prompt) and texts[swap.own.text_id] in swap.other.prompt
    assert draw_swaps(triplets[::-1], instructions[::-1], texts, 6, seed=1) == swaps
    assert len(draw_swaps(triplets, instructions, texts, 2, seed=1)) == 2
