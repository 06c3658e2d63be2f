"""Which replica is asked what: alone, without servers."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from compeffdist.teacher.placement import Placement, beginning, ranked
from compeffdist.teacher.requests import Request
from tests.teacher.openai_asking import question

NAMES = ("http://a/v1", "http://b/v1", "http://c/v1", "http://d/v1")
names = st.lists(st.sampled_from(NAMES), min_size=1, unique=True)
begins = st.lists(st.sampled_from([f"instruction {n}" for n in range(9)]), max_size=60)


def test_questions_of_one_instruction_begin_alike_whatever_is_asked_of_the_text() -> None:
    asked = [question(f"Judge it.\n\nOne way: x\n\nInput: {text}\nOutput:") for text in ("fine", "bad: \\n awful")]
    labels = Request.likelihood("s", "Judge it.\n\nOne way: x\n\nInput: good\nOutput:", ("yes", "no"))
    assert len({beginning(request) for request in (*asked, labels)}) == 1
    others = [question("Judge it.\n\nInput: fine\nOutput:"), question("Judge it.", system="t"), question("Judge it.")]
    assert len({beginning(request) for request in (asked[0], *others)}) == 4


@given(names, st.text())
def test_who_goes_moves_only_what_was_its_own(of: list[str], begins: str) -> None:
    order = ranked(begins, of)
    assert sorted(order) == sorted(of) and ranked(begins, reversed(of)) == order
    for gone in of:
        assert ranked(begins, [name for name in of if name != gone]) == [name for name in order if name != gone]


def test_beginnings_are_spread_over_all() -> None:
    homes = Counter(ranked(f"instruction {n}", NAMES)[0] for n in range(4000))
    assert min(homes.values()) > 850 and max(homes.values()) < 1150


@given(begins, names, st.data())
def test_each_question_is_given_out_once_whoever_goes_and_comes(
    of: list[str], there: list[str], data: st.DataObject
) -> None:
    placement, taken = Placement(of, there), list[int]()
    for step in data.draw(st.lists(st.sampled_from(["take", "put back", "move"]), max_size=120)):
        if step == "move":
            placement.move(there := data.draw(st.lists(st.sampled_from(NAMES), unique=True)))
        elif step == "put back" and taken:
            index = taken.pop(data.draw(st.integers(0, len(taken) - 1)))
            placement.put_back(index, data.draw(st.sampled_from(["", *NAMES])))
        elif step == "take":
            index = placement.take(data.draw(st.sampled_from(NAMES)))
            if index is not None:
                assert index not in taken
                taken.append(index)
        assert placement.waiting + len(taken) == len(of)
    # whoever is there gets all that waits, as does one that only helps when nobody is
    while placement.waiting:
        took = [index for name in there or NAMES[:1] if (index := placement.take(name)) is not None]
        assert took
        taken += took
    assert sorted(taken) == list(range(len(of)))


@given(begins, names, st.randoms(use_true_random=False))
def test_a_replica_has_its_own_first_in_their_order_then_helps(of: list[str], there: list[str], random: object) -> None:
    placement, homes = Placement(of, there), [ranked(begins, there)[0] for begins in of]
    own = {name: [index for index, home in enumerate(homes) if home == name] for name in there}
    last = dict.fromkeys(there, -1)
    while placement.waiting:
        name = random.choice(there)  # type: ignore[attr-defined]
        index = placement.take(name)
        assert index is not None
        if homes[index] == name:
            assert index > last[name]
            last[name] = index
        else:
            assert not own[name], "it has work of its own"
            assert index == own[homes[index]][-1] and len(own[homes[index]]) == max(map(len, own.values()))
        own[homes[index]].remove(index)


@given(st.lists(st.sampled_from(["one", "two", "three"]), min_size=2, max_size=40).map(sorted))
def test_between_two_at_most_one_instruction_is_read_by_both(of: list[str]) -> None:
    placement, by = Placement(of, NAMES[:2]), dict[str, set[str]]()
    while placement.waiting:
        for name in NAMES[:2]:
            index = placement.take(name)
            if index is not None:
                by.setdefault(of[index], set()).add(name)
    assert sum(len(readers) > 1 for readers in by.values()) <= 1


def test_a_question_is_not_tried_twice_at_one_replica_while_there_are_others() -> None:
    placement = Placement(["x"], NAMES[:2])
    first = ranked("x", NAMES[:2])[0]
    (second,) = {*NAMES[:2]} - {first}
    assert placement.take(first) == 0
    placement.put_back(0, tried_at=first)
    assert placement.take(first) is None and placement.take(second) == 0
    placement.put_back(0, tried_at=second)
    assert placement.take(first) == 0
    placement.put_back(0)
    placement.move([])
    assert placement.take(second) == 0


def test_what_is_put_back_comes_first() -> None:
    placement = Placement(["x"] * 5, NAMES[:1])
    assert [placement.take(NAMES[0]) for _ in range(3)] == [0, 1, 2]
    placement.put_back(1)
    assert placement.take(NAMES[0]) == 1
    assert placement.take(NAMES[0]) == 3
