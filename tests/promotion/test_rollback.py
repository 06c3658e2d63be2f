"""Rollback walks back through the champions there were, and never to and fro."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.errors import UserError
from compeffdist.ledger import PROMOTIONS, Entry, Ledger
from compeffdist.params import Params
from compeffdist.promotion.alias_state import champions
from compeffdist.promotion.promote import promote, rollback
from compeffdist.registry.tracking import open_tracking
from tests.promotion.versions import audit_clean, make_version

Aliases = Callable[[], dict[str, int]]


@pytest.fixture
def three(params: Params) -> list[int]:
    """Three champions, one after the other."""
    versions = [make_version(params, {"films": right, "tweets": right}) for right in (30, 34, 38)]
    for version in versions:
        assert promote(version, params, audit_clean).entry is not None
    return versions


def test_each_rollback_goes_one_champion_back_and_then_there_is_none(
    params: Params, three: list[int], aliases: Aliases
) -> None:
    assert aliases() == {"champion": 3, "former-champion": 2}
    outcome = rollback(params, audit_clean, reason="calls\ncomplaints neutral")
    assert (outcome.version, outcome.before) == (2, 3)
    assert aliases() == {"champion": 2, "former-champion": 1}
    rollback(params, audit_clean)
    assert aliases() == {"champion": 1}
    with pytest.raises(UserError, match="no former champion"):
        rollback(params, audit_clean)
    bodies = [entry.body for entry in Ledger(PROMOTIONS).entries()]
    assert [(body["from"], body["to"]) for body in bodies] == [(None, 1), (1, 2), (2, 3), (3, 2), (2, 1)]
    assert bodies[3]["reason"] == "calls complaints neutral"


def test_a_promotion_after_a_rollback_starts_from_there(params: Params, three: list[int], aliases: Aliases) -> None:
    rollback(params, audit_clean)
    promote(3, params, audit_clean)
    assert aliases() == {"champion": 3, "former-champion": 2}
    rollback(params, audit_clean)
    rollback(params, audit_clean)
    assert aliases() == {"champion": 1}


def test_nothing_to_roll_back_to_before_the_first_promotion(params: Params) -> None:
    make_version(params, {"films": 30, "tweets": 30})
    with pytest.raises(UserError, match="no former champion"):
        rollback(params, audit_clean)


def test_a_version_the_audit_finds_fault_with_is_returned_to_only_by_override(
    params: Params, three: list[int], aliases: Aliases
) -> None:
    outcome = rollback(params, lambda version: [f"weights of {version} changed"])
    assert outcome.entry is None and outcome.reasons == ["audit: weights of 2 changed"]
    assert aliases()["champion"] == 3
    outcome = rollback(params, lambda version: ["weights changed"], override="production is down")
    assert outcome.entry is not None and outcome.entry.body["override"] == "production is down"
    assert aliases()["champion"] == 2


def test_a_former_champion_that_was_deleted_is_one_line(params: Params, three: list[int], aliases: Aliases) -> None:
    open_tracking().delete_model_version(params.registry.model_name, "2")
    assert aliases() == {"champion": 3}
    with pytest.raises(UserError, match="has no version 2; there are 1, 3"):
        rollback(params, audit_clean)


def test_a_new_champion_over_one_that_was_deleted_has_no_former(
    params: Params, three: list[int], aliases: Aliases
) -> None:
    open_tracking().delete_model_version(params.registry.model_name, "3")
    fourth = make_version(params, {"films": 40, "tweets": 40})
    outcome = promote(fourth, params, audit_clean)
    assert outcome.reasons == [
        "registry: alias champion is not set, but by the ledger it points to version 3: it was changed outside "
        "compeffdist"
    ]
    promote(fourth, params, audit_clean, override="version 3 was deleted")
    assert aliases() == {"champion": fourth}


def entry(action: str, before: int | None, after: int) -> Entry:
    return Entry(1, "", "", action, {"from": before, "to": after}, "", "")


@given(st.lists(st.sampled_from([1, 2, 3, "back"]), max_size=12))
def test_champions_are_a_stack(steps: list[int | str]) -> None:
    stack: list[int] = []
    entries: list[Entry] = []
    for step in steps:
        before = stack[-1] if stack else None
        if isinstance(step, int) and step != before:
            stack.append(step)
            entries.append(entry("promote", before, step))
        elif step == "back" and len(stack) > 1:
            stack.pop()
            entries.append(entry("rollback", before, stack[-1]))
    assert champions(entries) == stack


def test_a_champion_set_outside_that_was_replaced_counts() -> None:
    assert champions([entry("promote", None, 1), entry("promote", 7, 2)]) == [1, 7, 2]
    assert champions([entry("promote", None, 1), entry("promote", 7, 7)]) == [1, 7]
    assert champions([entry("promote", None, 1), entry("promote", 1, 2), entry("rollback", 9, 2)]) == [1, 2]
