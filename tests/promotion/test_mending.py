"""When ledger and registry differ: what a crash left is finished, what others did is said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.params import Params
from compeffdist.promotion import promote as promote_module
from compeffdist.promotion.alias_state import HEAD
from compeffdist.promotion.history import history_lines, read_history
from compeffdist.promotion.promote import promote, rollback
from compeffdist.registry.tracking import open_tracking
from tests.promotion.killing import abandoned_promotion, killed_promotion
from tests.promotion.versions import audit_clean, make_version

Aliases = Callable[[], dict[str, int]]
GOOD, BETTER = {"films": 30, "tweets": 30}, {"films": 38, "tweets": 38}


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.mark.parametrize(
    ("place", "kill"),
    [
        ("before the aliases", abandoned_promotion),
        ("between the aliases", killed_promotion),
        ("before the tags", abandoned_promotion),
    ],
)
def test_a_promotion_killed_after_its_entry_is_finished_by_the_next_command(
    params: Params, aliases: Aliases, told: list[str], place: str, kill: Callable[[str, int, Params], None]
) -> None:
    first, second = make_version(params, GOOD), make_version(params, BETTER)
    promote(first, params, audit_clean)
    kill(place, second, params)
    assert len(Ledger(PROMOTIONS).entries()) == 2
    history = read_history(params, told.append)
    assert aliases() == {"champion": second, "former-champion": first}
    assert [line.split(":")[0] for line in told] == ["repaired", "repaired"]
    assert ".promotion-lock, left by" in told[0] and "entry 2 (promote of" in told[1]
    assert history.problem == "" and history_lines(history)[-1].endswith("version 2")
    told.clear()
    assert read_history(params, told.append).problem == "" and told == []


def test_the_first_promotion_ever_killed_is_finished(params: Params, aliases: Aliases, told: list[str]) -> None:
    version = make_version(params, GOOD)
    abandoned_promotion("before the aliases", version, params)
    assert aliases() == {}
    with pytest.raises(UserError, match="is champion already"):
        promote(version, params, audit_clean, notify=told.append)
    assert aliases() == {"champion": version}
    assert told[1].endswith("champion: none -> version 1")


def test_a_promotion_killed_before_its_entry_changed_nothing(params: Params, aliases: Aliases, told: list[str]) -> None:
    first, second = make_version(params, GOOD), make_version(params, BETTER)
    promote(first, params, audit_clean)
    abandoned_promotion("before the entry", second, params)
    assert aliases() == {"champion": first} and len(Ledger(PROMOTIONS).entries()) == 1
    assert promote(second, params, audit_clean, notify=told.append).entry is not None
    assert [".promotion-lock" in line for line in told] == [True]


def test_a_rollback_finishes_what_was_left_before_it_goes_back(
    params: Params, aliases: Aliases, told: list[str]
) -> None:
    first, second = make_version(params, GOOD), make_version(params, BETTER)
    promote(first, params, audit_clean)
    abandoned_promotion("before the aliases", second, params)
    assert rollback(params, audit_clean, notify=told.append).version == first
    assert aliases() == {"champion": first} and len(told) == 2
    assert len(Ledger(PROMOTIONS).entries()) == 3


def test_a_store_that_fails_after_the_entry_says_who_finishes_it(
    params: Params, aliases: Aliases, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowException

    def fail(*_: object) -> None:
        raise MlflowException("API request to http://ada:secret@host/api failed")

    version = make_version(params, GOOD)
    monkeypatch.setattr(promote_module, "apply_ledger", fail)
    with pytest.raises(UserError, match=r"entry 1 is written.*the next promote, rollback or history finishes") as error:
        promote(version, params, audit_clean)
    assert "secret" not in str(error.value)
    monkeypatch.undo()


def test_an_alias_set_outside_is_said_and_only_an_override_goes_on(
    params: Params, aliases: Aliases, told: list[str]
) -> None:
    versions = [make_version(params, right) for right in (GOOD, GOOD, BETTER)]
    promote(1, params, audit_clean)
    open_tracking().set_registered_model_alias(params.registry.model_name, "champion", "2")
    line = "alias champion points to version 2, but by the ledger it points to version 1: it was changed outside"
    assert read_history(params, told.append).problem.startswith(line) and told == []
    for outcome in (promote(versions[2], params, audit_clean), rollback(params, audit_clean)):
        assert outcome.entry is None and outcome.reasons[0].startswith(f"registry: {line}")
    assert aliases() == {"champion": 2} and len(Ledger(PROMOTIONS).entries()) == 1
    assert promote(versions[2], params, audit_clean, override="2 was an experiment").entry is not None
    assert aliases() == {"champion": 3, "former-champion": 2}
    assert read_history(params, told.append).problem == ""


def test_a_rollback_from_a_champion_set_outside_returns_to_the_ledgers(params: Params, aliases: Aliases) -> None:
    for right in (GOOD, BETTER, GOOD):
        make_version(params, right)
    promote(1, params, audit_clean)
    promote(2, params, audit_clean)
    open_tracking().set_registered_model_alias(params.registry.model_name, "champion", "3")
    rollback(params, audit_clean, override="somebody set 3 by hand")
    assert aliases() == {"champion": 2, "former-champion": 1}


def test_a_champion_set_by_hand_can_be_put_on_record(params: Params, aliases: Aliases) -> None:
    make_version(params, GOOD)
    open_tracking().set_registered_model_alias(params.registry.model_name, "champion", "1")
    assert "by the ledger it is not set" in promote(1, params, audit_clean).reasons[0]
    promote(1, params, audit_clean, override="was set before there was a ledger")
    assert aliases() == {"champion": 1} and read_history(params).problem == ""


def test_a_truncated_ledger_and_a_checkout_that_is_behind_are_found(
    params: Params, aliases: Aliases, told: list[str]
) -> None:
    for right in (GOOD, BETTER, BETTER):
        make_version(params, right)
    promote(1, params, audit_clean)
    promote(2, params, audit_clean)
    whole = PROMOTIONS.read_bytes()
    PROMOTIONS.write_bytes(whole.splitlines(keepends=True)[0])
    line = "this checkout's ledger is behind the registry's: data/promotions.jsonl lacks entry 2"
    assert read_history(params, told.append).problem.startswith(line)
    assert promote(3, params, audit_clean).reasons[0].startswith(f"registry: {line}")
    assert rollback(params, audit_clean).reasons[0].startswith(f"registry: {line}")
    PROMOTIONS.unlink()
    with pytest.raises(UserError, match=line):
        rollback(params, audit_clean)
    assert read_history(params, told.append).problem.startswith(line)
    PROMOTIONS.write_bytes(whole)  # git pull
    assert read_history(params, told.append).problem == "" and told == []
    assert promote(3, params, audit_clean).entry is not None


def test_an_edited_ledger_stops_every_command(params: Params, aliases: Aliases) -> None:
    make_version(params, GOOD)
    promote(1, params, audit_clean)
    PROMOTIONS.write_bytes(PROMOTIONS.read_bytes().replace(b'"to":1', b'"to":2'))
    for command in (lambda: promote(1, params, audit_clean), lambda: rollback(params, audit_clean)):
        with pytest.raises(UserError, match=r"promotions\.jsonl: line 1 was edited"):
            command()
    with pytest.raises(UserError, match=r"promotions\.jsonl: line 1 was edited"):
        read_history(params)


def test_the_ledger_outlives_its_registry(params: Params, aliases: Aliases, told: list[str]) -> None:
    make_version(params, GOOD)
    promote(1, params, audit_clean)
    open_tracking().delete_registered_model(params.registry.model_name)
    assert "there is no registered model" in read_history(params, told.append).problem
    make_version(params, BETTER)
    assert read_history(params, told.append).problem == ""
    assert promote(1, params, audit_clean).entry is not None
    lines = history_lines(read_history(params, told.append))
    assert "of another registry" in lines[0] and "of another registry" not in lines[3] and len(lines) == 7


def test_a_history_makes_no_store(params: Params, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    assert "what the registry says is not known" in read_history(params).problem
    assert not (tmp_path / "none.db").exists()


def test_lost_tags_do_no_harm_while_the_aliases_agree(params: Params) -> None:
    make_version(params, GOOD)
    make_version(params, BETTER)
    promote(1, params, audit_clean)
    promote(2, params, audit_clean)
    open_tracking().set_registered_model_tag(params.registry.model_name, HEAD, "")
    assert read_history(params).problem == ""
