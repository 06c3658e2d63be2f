"""Which instruction meets which text."""

import random
from collections import Counter, defaultdict
from statistics import fmean
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from compeffdist.errors import UserError
from compeffdist.params import PairingParams
from compeffdist.records import Instruction, Mention, Pair, Perspective
from compeffdist.triplets.pair_texts import pair_texts, pairing_metrics
from tests.factories import make_instruction, make_mention, make_perspective, make_task, make_text


def instruction(number: int, perspective: str = "p", **fields: str) -> Instruction:
    return make_instruction(make_task("analysis", perspective_id=perspective, name=f"task {number}"), **fields)


def spread(counts: Counter[str], everything: int) -> int:
    values = [*counts.values(), *[0] * (everything - len(counts))]
    return max(values) - min(values)


def texts_of(pairs: list[Pair]) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for pair in pairs:
        found[pair.instruction_id].add(pair.text_id)
    return found


TEXTS = [make_text(f"text {i}") for i in range(60)]
INSTRUCTIONS = [instruction(i) for i in range(25)]


@given(st.integers(1, 12), st.integers(1, 20), st.integers(1, 260), st.integers(0, 5))
@hypothesis_settings(deadline=None)
def test_random_pairs_are_distinct_exact_in_number_and_even_on_both_sides(
    instructions: int, texts: int, wanted: int, seed: int
) -> None:
    params = PairingParams(pairs=wanted)
    pairs, rejects = pair_texts(INSTRUCTIONS[:instructions], TEXTS[:texts], params, seed)
    assert len({pair.id for pair in pairs}) == len(pairs) == min(wanted, instructions * texts)
    per_text = Counter(pair.text_id for pair in pairs)
    per_instruction = Counter(pair.instruction_id for pair in pairs)
    assert spread(per_text, texts) <= 1 and spread(per_instruction, instructions) <= 1
    reasons = Counter(reject.reason for reject in rejects)
    assert reasons["unpaired"] == texts - len(per_text)
    assert reasons["no_text"] == instructions - len(per_instruction)


def test_pairs_do_not_depend_on_the_order_of_rows_and_change_with_the_seed() -> None:
    params = PairingParams(pairs=200)
    expected = pair_texts(INSTRUCTIONS, TEXTS, params, seed=1)
    instructions, texts = list(INSTRUCTIONS), list(TEXTS)
    random.Random(0).shuffle(instructions)
    random.Random(1).shuffle(texts)
    assert pair_texts(instructions, texts, params, seed=1) == expected
    assert pair_texts(INSTRUCTIONS, TEXTS, params, seed=2)[0] != expected[0]


def test_pairs_come_sorted_by_instruction_then_text() -> None:
    pairs, _ = pair_texts(INSTRUCTIONS, TEXTS, PairingParams(pairs=200), seed=1)
    keys = [(pair.instruction_id, pair.text_id) for pair in pairs]
    assert keys == sorted(keys) and {pair.method for pair in pairs} == {"random"}


def test_rewording_a_task_keeps_every_pair_of_the_others_and_its_own_texts() -> None:
    params = PairingParams(pairs=200)
    before = texts_of(pair_texts(INSTRUCTIONS, TEXTS, params, seed=1)[0])
    old, new = INSTRUCTIONS[7], instruction(7, prompt="reworded")
    edited = [new if item is old else item for item in INSTRUCTIONS]
    after = texts_of(pair_texts(edited, TEXTS, params, seed=1)[0])
    assert new.id != old.id
    assert after.pop(new.id) == before.pop(old.id)
    assert after == before


def test_replacing_a_task_moves_few_pairs_of_the_others() -> None:
    params = PairingParams(pairs=200)
    before = texts_of(pair_texts(INSTRUCTIONS, TEXTS, params, seed=1)[0])
    moved = []
    for replaced in INSTRUCTIONS:
        edited = [instruction(99) if item is replaced else item for item in INSTRUCTIONS]
        after = texts_of(pair_texts(edited, TEXTS, params, seed=1)[0])
        moved.append(sum(len(after[item.id] - before[item.id]) for item in INSTRUCTIONS if item is not replaced))
    assert fmean(moved) <= 30 and max(moved) < 60  # of 192; a reshuffle would move about 167


def test_as_many_tasks_are_paired_as_are_wanted_evenly_over_perspectives() -> None:
    told = [instruction(i, perspective=f"p{i % 5}") for i in range(25)]
    few, rejects = pair_texts(told, TEXTS, PairingParams(pairs=100, tasks=10), seed=1)
    more, _ = pair_texts(told, TEXTS, PairingParams(pairs=100, tasks=15), seed=1)
    perspectives = {item.id: item.perspective_id for item in told}
    assert Counter(perspectives[key] for key in texts_of(few)) == {f"p{i}": 2 for i in range(5)}
    assert set(texts_of(few)) < set(texts_of(more)) and len(texts_of(more)) == 15
    assert Counter(reject.reason for reject in rejects) == {"not_drawn": 15}
    assert Counter(map(len, texts_of(few).values())) == {10: 10}


def test_without_generated_tasks_the_user_s_own_are_paired_alone() -> None:
    own = make_instruction(make_task("closed_classification", perspective_id="", name="mine"))
    pairs, rejects = pair_texts([*INSTRUCTIONS, own], TEXTS, PairingParams(pairs=100, tasks=0), seed=1)
    assert {pair.instruction_id for pair in pairs} == {own.id} and len(pairs) == len(TEXTS)
    assert {reject.reason for reject in rejects} == {"not_drawn"} and len(rejects) == len(INSTRUCTIONS)


def test_what_is_left_out_is_paired_with_nothing_and_the_others_share_its_texts() -> None:
    own = make_instruction(make_task("closed_classification", perspective_id="", name="mine"))
    gone = [INSTRUCTIONS[3].id, own.id]
    pairs, rejects = pair_texts([*INSTRUCTIONS, own], TEXTS, PairingParams(pairs=240, left_out=gone), seed=1)
    assert set(texts_of(pairs)) == {item.id for item in INSTRUCTIONS} - set(gone) and len(pairs) == 240
    assert {(reject.record_id, reject.reason) for reject in rejects} == {(key, "left_out") for key in gone}


def test_an_instruction_left_out_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"pairing\.left_out: .* instruction_gone"):
        pair_texts(INSTRUCTIONS, TEXTS, PairingParams(pairs=1, left_out=["instruction_gone"]), seed=1)


def test_instructions_that_share_a_name_still_get_different_texts() -> None:
    same = [instruction(i, task_name="analysis") for i in range(4)]
    chosen = texts_of(pair_texts(same, TEXTS, PairingParams(pairs=60), seed=1)[0])
    assert sorted(len(texts) for texts in chosen.values()) == [15] * 4
    assert len(set().union(*chosen.values())) == 60


def test_texts_that_meet_once_do_not_keep_meeting() -> None:
    """Passes over the texts are reshuffled: two texts of one instruction are rarely together in another."""
    chosen = texts_of(pair_texts(INSTRUCTIONS, TEXTS, PairingParams(pairs=250), seed=1)[0])
    sets = sorted(chosen.values(), key=sorted)
    overlaps = [len(a & b) for i, a in enumerate(sets) for b in sets[:i]]
    assert max(overlaps) < 8  # of 10; dealing in a fixed order gives 10


@pytest.fixture
def found() -> tuple[list[Mention], list[Perspective]]:
    """Texts 0-9 mention tone, 5-14 mention mood, text 20 an attribute of no perspective."""
    mentions = [make_mention(TEXTS[i], "tone", position=0) for i in range(10)]
    mentions += [make_mention(TEXTS[i], "mood", "other", position=1) for i in range(5, 15)]
    return [*mentions, make_mention(TEXTS[20], "rare", position=0)], [
        make_perspective("tone", "language tone"),
        make_perspective("mood"),
    ]


def test_matched_pairs_only_texts_with_an_attribute_of_the_perspective(
    found: tuple[list[Mention], list[Perspective]],
) -> None:
    mentions, (tone, mood) = found
    instructions = [instruction(0, tone.id), instruction(1, mood.id), instruction(2, "perspective_without_mentions")]
    params = PairingParams(pairs=100, method="matched")
    pairs, rejects = pair_texts(instructions, TEXTS, params, 1, mentions, [tone, mood])
    chosen = texts_of(pairs)
    assert chosen[instructions[0].id] == {TEXTS[i].id for i in range(10)}
    assert chosen[instructions[1].id] == {TEXTS[i].id for i in range(5, 15)}
    assert [r.record_id for r in rejects if r.reason == "no_text"] == [instructions[2].id]
    assert {r.record_id for r in rejects if r.reason == "unpaired"} == {item.id for item in TEXTS[15:]}
    assert {pair.method for pair in pairs} == {"matched"}


def test_matched_gives_what_a_scarce_perspective_cannot_use_to_the_others(
    found: tuple[list[Mention], list[Perspective]],
) -> None:
    _, (tone, mood) = found
    mentions = [make_mention(TEXTS[0], "tone", position=0)] + [make_mention(item, "mood", position=1) for item in TEXTS]
    instructions = [instruction(0, tone.id), instruction(1, mood.id), instruction(2, mood.id)]
    params = PairingParams(pairs=31, method="matched")
    pairs, _ = pair_texts(instructions, TEXTS, params, 1, mentions, [tone, mood])
    counts = Counter(pair.instruction_id for pair in pairs)
    assert [counts[item.id] for item in instructions] == [1, 15, 15]
    assert max(Counter(pair.text_id for pair in pairs).values()) == 1


@pytest.mark.parametrize("method", ["random", "matched"])
def test_the_seed_task_goes_with_every_text_beyond_the_pairs_asked_for(method: Literal["random", "matched"]) -> None:
    seed_task = instruction(99, perspective="")
    pairs, _ = pair_texts([seed_task, *INSTRUCTIONS[:2]], TEXTS, PairingParams(pairs=10, method=method), 1)
    seeded = [pair for pair in pairs if pair.instruction_id == seed_task.id]
    assert {pair.text_id for pair in seeded} == {text.id for text in TEXTS}
    assert {pair.method for pair in seeded} == {"own"}
    alone, _ = pair_texts(INSTRUCTIONS[:2], TEXTS, PairingParams(pairs=10, method=method), 1)
    assert [pair for pair in pairs if pair.method != "own"] == alone


def test_metrics_account_for_texts_instructions_and_missing_pairs() -> None:
    params = PairingParams(pairs=10)
    pairs, rejects = pair_texts(INSTRUCTIONS[:2], TEXTS[:3], params, 1)
    metrics = pairing_metrics(pairs, rejects, INSTRUCTIONS[:2], TEXTS[:3], params)
    assert metrics["pairs"] == {"requested": 10, "made": 6, "missing": 4, "own": 0}
    assert metrics["texts"] == {"in": 3, "out": 3, "rejected": 0, "reasons": {}}
    assert metrics["texts_per_instruction"] == {"min": 3, "max": 3}
    few = PairingParams(pairs=1)
    pairs, rejects = pair_texts(INSTRUCTIONS[:2], TEXTS[:3], few, 1)
    metrics = pairing_metrics(pairs, rejects, INSTRUCTIONS[:2], TEXTS[:3], few)
    assert metrics["texts"] == {"in": 3, "out": 1, "rejected": 2, "reasons": {"unpaired": 2}}
    assert metrics["instructions"] == {"in": 2, "out": 1, "rejected": 1, "reasons": {"no_text": 1}}
