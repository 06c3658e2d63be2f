"""`compeffdist doctor --online`: whether the servers that a run would ask are there, by real sockets."""

from typing import Any

import pytest

from compeffdist.doctor.finding import Finding
from compeffdist.doctor.online import online
from compeffdist.params import Params, validate_params
from compeffdist.profiles import compose
from tests.stages import ROOT
from tests.teacher.server import serving


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("COMPEFFDIST_API_KEY_HERE", "sk-abc")
    # no package index is asked of what is on this machine
    monkeypatch.setattr("compeffdist.doctor.online._reached", lambda of, url: Finding(of, "ok", url))


def params(url: str) -> Params:
    values = compose("smoke", ROOT / "profiles")
    values["models"]["teacher"]["reference"] = ["api:big@here"]
    values["teacher"]["engine"] = "openai"
    values["runtime"] |= {"openai_base_url": url, "openai_key_header": "api-key"}
    return validate_params(values, "params.yaml")


def teacher(url: str) -> Finding:
    return next(one for one in online(params(url)) if one.of == "teacher server")


def test_a_server_that_answers_is_well_and_is_asked_for_nothing() -> None:
    with serving() as server:
        found = teacher(server.url)
        assert (found.state, server.bodies) == ("ok", []) and "answers" in found.said


@pytest.mark.parametrize("status", [401, 403])
def test_one_that_refuses_the_key_is_a_fault_that_names_its_variable(status: int) -> None:
    with serving() as server:
        server.models_status = status
        found = teacher(server.url)
    assert found.state == "fault" and "COMPEFFDIST_API_KEY_HERE" in found.said and "sk-abc" not in found.said


def test_one_that_need_not_list_its_models_is_well() -> None:
    with serving() as server:
        server.models_status = 404
        assert teacher(server.url).state == "ok"


def test_one_that_is_not_there_is_a_fault() -> None:
    with serving() as server:
        url = server.url
    found = teacher(url)
    assert found.state == "fault" and "connection refused" in found.said.lower()
