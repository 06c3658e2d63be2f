"""One promotion at a time: who comes second is told, and a mutex left behind is removed once."""

import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from compeffdist.errors import UserError
from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.params import Params
from compeffdist.promotion import mutex as mutex_module
from compeffdist.promotion.history import read_history
from compeffdist.promotion.mutex import (
    GONE_SECONDS,
    REMOVAL,
    SUFFIX,
    Holder,
    break_mutex,
    current_holder,
    promotion_mutex,
)
from compeffdist.promotion.promote import promote
from compeffdist.registry.tracking import open_tracking
from tests.promotion.racing import race
from tests.promotion.versions import make_version


@pytest.fixture
def name(params: Params) -> str:
    return params.registry.model_name


@pytest.fixture
def client() -> MlflowClient:
    return open_tracking()


@pytest.fixture
def told() -> list[str]:
    return []


def leave(client: MlflowClient, name: str, **changes: str) -> Holder:
    """A mutex as some process leaves it."""
    holder = replace(mutex_module._this_process(), token="other", who="Eve", at="2026-01-01T00:00:00Z", **changes)
    client.create_registered_model(f"{name}{SUFFIX}", tags=asdict(holder))
    return holder


def refusal(client: MlflowClient, name: str, told: list[str]) -> str:
    """What one who comes second is told."""
    with pytest.raises(UserError) as error, promotion_mutex(client, name, told.append):
        pass
    return str(error.value)


def gone_pid() -> str:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return str(done.pid)


def names(client: MlflowClient, name: str) -> list[str]:
    return [model.name for model in client.search_registered_models() if model.name.startswith(f"{name}{SUFFIX}")]


def test_it_is_there_while_it_is_held_and_gone_afterwards(client: MlflowClient, name: str, told: list[str]) -> None:
    with promotion_mutex(client, name, told.append) as mutex:
        assert mutex.held() and names(client, name) == [f"{name}{SUFFIX}"]
    assert names(client, name) == [] and told == []
    with pytest.raises(ZeroDivisionError), promotion_mutex(client, name, told.append):
        _ = 1 / 0
    assert names(client, name) == []


def test_who_comes_second_is_told_by_whom_and_since_when(client: MlflowClient, name: str, told: list[str]) -> None:
    holder = leave(client, name)
    line = refusal(client, name, told)
    assert line.startswith("Eve has been promoting since 2026-01-01T00:00:00Z") and "\n" not in line
    assert f"process {os.getpid()} on {holder.host}" in line
    assert names(client, name) == [f"{name}{SUFFIX}"]


@pytest.mark.parametrize("how", ["a process that left", "a later process of the same number"])
def test_that_of_a_process_that_left_is_removed(client: MlflowClient, name: str, told: list[str], how: str) -> None:
    leave(client, name, **({"pid": gone_pid()} if how == "a process that left" else {"started": "1"}))
    with promotion_mutex(client, name, told.append) as mutex:
        assert mutex.held()
    assert len(told) == 1 and told[0].startswith(f"repaired: removed {name}{SUFFIX}, left by Eve")
    assert names(client, name) == []


def test_that_of_another_machine_is_believed_for_a_while(
    client: MlflowClient, name: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(client, name, scope="another boot", host="elsewhere", pid=gone_pid())
    assert "run: compeffdist unlock other (it counts as gone after 2 h)" in refusal(client, name, told)
    later = mutex_module.time.time() + GONE_SECONDS + 60
    monkeypatch.setattr(mutex_module.time, "time", lambda: later)
    with promotion_mutex(client, name, told.append):
        pass
    assert "on elsewhere" in told[0] and names(client, name) == []


def test_one_that_a_clock_set_back_makes_come_from_the_future_is_told_as_such(
    client: MlflowClient, name: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(client, name, scope="another boot", host="elsewhere", pid=gone_pid())
    earlier = mutex_module.time.time() - 86400
    monkeypatch.setattr(mutex_module.time, "time", lambda: earlier)
    line = refusal(client, name, told)
    assert "unlock other (it counts as gone after 2 h; by the clock of this machine that begins in 24.0 h)" in line
    break_mutex(client, name, "other", told.append)
    assert names(client, name) == []


def test_that_of_another_machine_is_removed_by_its_key_and_by_no_other(
    client: MlflowClient, name: str, told: list[str]
) -> None:
    leave(client, name, scope="another boot", host="elsewhere")
    with pytest.raises(UserError, match="is under way with key later; Eve has been promoting since"):
        break_mutex(client, name, "later", told.append)
    assert names(client, name) == [f"{name}{SUFFIX}"]
    break_mutex(client, name, "other", told.append)
    assert names(client, name) == [] and told[0].endswith("on elsewhere) at 2026-01-01T00:00:00Z")
    with pytest.raises(UserError, match=r"is under way with key other$"):
        break_mutex(client, name, "other", told.append)


def test_that_of_a_process_at_work_here_is_not_removed(client: MlflowClient, name: str, told: list[str]) -> None:
    leave(client, name)
    with pytest.raises(UserError, match="that process is at work on this machine; end it first"):
        break_mutex(client, name, "other", told.append)
    assert names(client, name) == [f"{name}{SUFFIX}"]


def test_a_removal_that_was_killed_is_removed_by_its_key_too(client: MlflowClient, name: str, told: list[str]) -> None:
    holder = replace(mutex_module._this_process(), scope="another boot", host="elsewhere")
    client.create_registered_model(f"{name}{SUFFIX}{REMOVAL}", tags=asdict(holder))
    break_mutex(client, name, holder.key, told.append)
    assert names(client, name) == []


def test_a_promotion_whose_mutex_was_removed_changes_nothing(
    params: Params, client: MlflowClient, name: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make_version(params, {"films": 34, "tweets": 34})

    def audit(_: int) -> list[str]:
        holder = current_holder(client, name)
        assert holder is not None
        monkeypatch.setattr(mutex_module, "_scope", lambda: "as another machine sees it")
        assert read_history(params, told.append).under_way.endswith(f"lock {holder.key}")
        break_mutex(client, name, holder.key, told.append)
        return []

    with pytest.raises(UserError, match="changed while the checks ran; this command changed nothing"):
        promote(version, params, audit)
    assert names(client, name) == [] and Ledger(PROMOTIONS).entries() == []


def test_a_registered_model_of_that_name_without_tags_is_believed_too(
    client: MlflowClient, name: str, told: list[str]
) -> None:
    client.create_registered_model(f"{name}{SUFFIX}")
    assert "unknown has been promoting since unknown" in refusal(client, name, told)


def test_one_that_was_taken_over_is_neither_held_nor_given_back(
    client: MlflowClient, name: str, told: list[str]
) -> None:
    with promotion_mutex(client, name, told.append) as mutex:
        client.delete_registered_model(f"{name}{SUFFIX}")
        leave(client, name)
        assert not mutex.held()
    assert names(client, name) == [f"{name}{SUFFIX}"]


def test_a_request_that_was_sent_twice_is_no_contention(
    client: MlflowClient, name: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create = client.create_registered_model

    def twice(*arguments: object, **named: object) -> object:
        create(*arguments, **named)
        return create(*arguments, **named)

    monkeypatch.setattr(client, "create_registered_model", twice)
    with promotion_mutex(client, name, told.append) as mutex:
        assert mutex.held()
    assert names(client, name) == []


def test_of_many_who_find_one_left_behind_one_has_it_at_a_time(client: MlflowClient, name: str) -> None:
    leave(client, name, pid=gone_pid())
    inside, most, refused, told = [0], [0], [0], list[str]()
    start = threading.Barrier(6)

    def take() -> None:
        start.wait()
        try:
            with promotion_mutex(client, name, told.append):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1
        except UserError:
            refused[0] += 1

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and refused[0] < 6 and names(client, name) == []
    assert len(told) == 1


@pytest.mark.pipeline
def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(params: Params, tmp_path: Path) -> None:
    rounds = 6
    for _ in range(2 * rounds):
        make_version(params, {"films": 34, "tweets": 34})
    outcomes = race(params, tmp_path, rounds)
    print(f"races on sqlite: {outcomes}")
    assert outcomes == [["told", "won"]] * rounds
    assert names(open_tracking(), params.registry.model_name) == []


@pytest.mark.pipeline
def test_of_two_clones_at_one_registry_the_slower_is_told_to_pull(params: Params, tmp_path: Path) -> None:
    rounds = 3
    for _ in range(2 * rounds):
        make_version(params, {"films": 34, "tweets": 34})
    outcomes = race(params, tmp_path, rounds, clones=True)
    assert outcomes == [["told, then that it is behind", "won"]] * rounds
    assert names(open_tracking(), params.registry.model_name) == []
