"""Kinds of expectations against slow oracles, and what becomes of one that cannot be computed."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compeffdist.gates.expected import (
    REPORTED,
    SOME,
    Bound,
    Columns,
    Expectation,
    accounted,
    aggregate,
    average,
    count,
    distinct,
    figure,
    largest,
    no_row,
    row_count,
    same,
    share,
    stated,
)
from compeffdist.gates.judging import judge
from compeffdist.gates.outcome import Finding
from compeffdist.gates.own_expectations import are_given, are_typed

FEW = settings(max_examples=15, deadline=None)
IDS = st.lists(st.sampled_from("abcdef"), max_size=9)


def one(expectation: Expectation) -> Finding:
    [finding] = judge([expectation])
    return finding


@FEW
@given(IDS, IDS)
def test_accounts_name_what_was_lost_doubled_or_made_up(asked: list[str], found: list[str]) -> None:
    faults = [
        sorted(set(asked) - set(found)),
        sorted({key for key in found if found.count(key) > 1}),
        sorted(set(found) - set(asked)),
    ]
    findings = judge(accounted("rows", asked, found, "look there"))
    assert [list(finding.offenders) for finding in findings] == faults
    assert [finding.value for finding in findings] == [len(ids) for ids in faults]


@FEW
@given(st.lists(st.booleans(), max_size=30))
def test_shares_counts_and_faults_are_of_the_rows_that_are_flagged(flags: list[bool]) -> None:
    rows = Columns([f"row {number}" for number in range(len(flags))])
    flagged = [key for key, flag in zip(rows.keys, flags, strict=True) if flag][:20]
    part, number, none, all_rows = judge(
        [
            share("part", rows, flags, Bound(high=-1)),
            count("number", rows, flags, Bound(high=-1)),
            no_row("none", rows, flags, "look there"),
            row_count("all rows", rows, REPORTED),
        ]
    )
    assert part.value == (sum(flags) / len(flags) if flags else None)
    assert number.value == none.value == sum(flags)
    assert part.offenders == number.offenders == flagged or not flags
    assert (none.passed, list(none.offenders)) == (not any(flags), flagged)
    assert all_rows.value == len(flags)


def test_aggregates_of_a_column() -> None:
    rows = Columns(["x", "y", "z"], {"weight": [1.0, 2.0, 4.5], "kind": ["a", "b", "a"]})
    found = judge(
        [
            average("mean", rows, "weight"),
            distinct("kinds", rows, "kind", SOME),
            largest("heaviest", rows, [1.0, 4.5, 2.0], Bound(high=4.0), "lift less"),
            same("kinds as told", rows, "kind", ["a", "b", "b"], "tell better"),
        ]
    )
    assert [finding.value for finding in found] == [2.5, 2, 4.5, 1]
    assert [list(finding.offenders) for finding in found] == [[], [], ["y"], ["z"]]


@pytest.mark.parametrize(
    ("bound", "passed"),
    [
        (Bound(low=2), True),
        (Bound(low=2, above=True), False),
        (Bound(high=2), True),
        (Bound(high=1.9), False),
        (Bound(low=3), False),
        (REPORTED, True),
    ],
)
def test_bounds_include_their_ends_but_where_they_say_above(bound: Bound, passed: bool) -> None:
    finding = one(stated("figure", 2, bound))
    assert (finding.passed, finding.value) == (passed, 2)


@aggregate
def quotient(ones: Sequence[float], others: Sequence[float]) -> float:
    return sum(ones) / sum(others)


def test_columns_that_are_brought_along_do_not_mix() -> None:
    rows = Columns(["row"], {"ones": [6.0]})
    halves, thirds = ({"ones": [3.0], "others": [divisor]} for divisor in (2.0, 3.0))
    found = judge(
        [figure("half", rows, quotient, halves), figure("third", rows, quotient, thirds), average("ones", rows, "ones")]
    )
    assert [finding.value for finding in found] == [1.5, 1.0, 6.0]


def test_no_frame_is_hashed_or_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations does both, for an id of the frame that nothing here reads."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a whole frame was hashed")

    monkeypatch.setattr("pandas.util.hash_pandas_object", refuse)
    monkeypatch.setattr("pickle.dumps", refuse)
    [finding] = judge([row_count("rows", Columns(["a", "b"], {"words": [["x"], []]}, as_read=True), SOME)])
    assert finding.passed and finding.value == 2


def test_what_is_undefined_fails_if_there_is_a_bound_and_is_reported_as_null_if_there_is_none() -> None:
    assert not one(stated("figure", None, SOME)).passed
    assert one(stated("figure", None)) == Finding("figure", True, None)
    assert one(stated("figure", float("inf"))).value is None


@pytest.mark.parametrize("bound", [REPORTED, SOME])
def test_what_cannot_be_computed_is_a_finding_that_says_why(bound: Bound) -> None:
    columns = {"ones": [1.0], "others": [0.0]}
    finding = one(figure("quotient", Columns(["row"]), quotient, columns, bound, "look there"))
    assert (finding.passed, finding.value) == (False, None)
    assert "division by zero; look there" in finding.advice
    assert "quotient could not be computed, must be " in finding.line()


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=2),
)
TYPES = {"str": str, "int": int, "float": (float, int), "bool": bool}


def has_type(value: Any, type: str) -> bool:
    if value is None or value != value:
        return True
    if type.startswith("list["):
        return isinstance(value, list) and all(
            part is not None and part == part and has_type(part, type[5:-1]) for part in value
        )
    return isinstance(value, TYPES[type]) and (type == "bool" or not isinstance(value, bool))


@given(st.lists(VALUES, max_size=5), st.sampled_from([*TYPES, "list[str]", "list[float]", "list[list[int]]"]))
def test_values_are_given_and_typed_as_one_by_one(values: list[Any], type: str) -> None:
    assert are_typed(values, type) == are_typed(values, f"{type} | None") == [has_type(v, type) for v in values]
    assert are_given(values, type) == [v is not None and v == v for v in values]
    assert are_given(values, f"{type} | None") == [v == v for v in values]
