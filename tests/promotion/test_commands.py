"""promote, rollback and history as they are typed: lines, JSON, exit codes."""

import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from compeffdist.cli.main import main
from compeffdist.params import Params
from compeffdist.promotion import mutex
from compeffdist.registry.artifacts import verify_version
from compeffdist.registry.tracking import open_tracking
from tests.fakes import put_domains
from tests.promotion.versions import make_version
from tests.stages import ROOT


@pytest.fixture(autouse=True)
def written_params(params: Params) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
    put_domains()


@pytest.fixture(autouse=True)
def registry_alone(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """These versions come from no pipeline: their audit is of what the registry holds."""

    def found(version: int) -> list[str]:
        return verify_version(open_tracking(), params.registry.model_name, version)

    monkeypatch.setattr("compeffdist.lineage.checkout.version_problems", found)


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    capsys.readouterr()
    code = 0
    try:
        main(list(arguments))
    except SystemExit as left:
        code = int(str(left.code))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_refusal_lists_every_reason_and_leaves_with_1(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    make_version(params, {"films": 10, "tweets": 34}, tags={"gates": "warned: sample"})
    code, out, _ = typed(capsys, "promote", "1", "--to", "champion")
    lines = out.splitlines()
    assert code == 1 and lines[0].startswith("mean macro-F1 ") and "over the base student, on 80 rows" in lines[0]
    assert lines[2] == f"refused: version 1 of {params.registry.model_name} does not become champion"
    assert [line.split(":")[0] for line in lines[3:]] == ["  gates", *["  first champion"] * 2]
    code, out, _ = typed(capsys, "promote", "1", "--json")
    assert code == 1 and json.loads(out)["entry"] is None and len(json.loads(out)["reasons"]) == 3


def test_promote_roll_back_and_read_the_history(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    make_version(params, {"films": 30, "tweets": 30})
    make_version(params, {"films": 38, "tweets": 38})
    make_version(params, {"films": 12, "tweets": 38})
    assert typed(capsys, "promote", "1")[:2][0] == 0
    code, out, _ = typed(capsys, "promote", "2")
    assert code == 0 and "version 2 of" in out and "is champion, before it version 1" in out
    assert out.splitlines()[-1] == "recorded as entry 2 of data/promotions.jsonl: commit it"
    assert typed(capsys, "promote", "3", "--override", "the tweets matter")[0] == 0
    code, out, _ = typed(capsys, "rollback", "--reason", "calls complaints neutral", "--json")
    assert code == 0 and json.loads(out)["version"] == 2
    code, out, err = typed(capsys, "history")
    assert code == 0 and err == ""
    for expected in ("- -> 1", "1 -> 2", "2 -> 3", "3 -> 2", "overridden: the tweets matter", "reason: calls"):
        assert expected in out
    assert "comparison: films may be" in out and out.splitlines()[-1].endswith("version 2")
    code, out, _ = typed(capsys, "history", "--json")
    printed = json.loads(out)
    assert (printed["champion"], printed["former_champion"], printed["problem"]) == (2, 1, "")
    assert [entry["action"] for entry in printed["entries"]] == ["promote", "promote", "promote", "rollback"]


def test_what_a_user_gets_wrong_is_one_line(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    make_version(params, {"films": 30, "tweets": 30})
    for arguments, message in (
        (["promote", "9"], "has no version 9; there are 1"),
        (["promote", "1", "--override", ""], "an override needs a reason"),
        (["rollback"], "has no former champion"),
    ):
        code, out, err = typed(capsys, *arguments)
        assert (code, out, len(err.splitlines())) == (1, "", 1) and message in err


@pytest.mark.parametrize(
    "arguments", [["promote", "1"], ["promote", "1", "--override", "why"], ["rollback"], ["unlock", "3f2a9c1b"]]
)
def test_without_a_store_there_is_nothing_to_change_and_none_is_made(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "kept" / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}")
    before = sorted(Path().rglob("*"))
    code, out, err = typed(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: there is no MLflow store sqlite:///") and "dvc repro makes one" in err
    assert not store.parent.exists() and sorted(Path().rglob("*")) == before


def test_a_lock_of_another_machine_is_shown_and_removed_by_its_key(
    params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    make_version(params, {"films": 30, "tweets": 30})
    holder = replace(mutex._this_process(), scope="another boot", who="Eve", at="2026-01-01T00:00:00Z", host="ci\x1b-7")
    open_tracking().create_registered_model(f"{params.registry.model_name}{mutex.SUFFIX}", tags=asdict(holder))
    code, out, _ = typed(capsys, "history")
    assert code == 0 and f", lock {holder.key}" in out.splitlines()[-1] and "\x1b" not in out
    code, _, err = typed(capsys, "promote", "1")
    assert code == 1 and f"run: compeffdist unlock {holder.key}" in err
    assert typed(capsys, "unlock", "00000000")[0] == 1
    code, out, err = typed(capsys, "unlock", holder.key)
    assert (code, err) == (0, "") and "left by Eve" in out and "\x1b" not in out
    assert typed(capsys, "promote", "1")[0] == 0


def test_a_history_of_nothing_and_a_problem_are_said(params: Params, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = typed(capsys, "history")
    assert (code, out) == (0, "no promotions yet (data/promotions.jsonl)\n") and "is not known" in err
    Path("data").mkdir()
    Path("data/promotions.jsonl").write_text("{}\n")
    code, out, err = typed(capsys, "history")
    assert code == 1 and "line 1 is not an entry" in err


def test_credentials_in_the_tracking_uri_are_said_nowhere(
    params: Params, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:sesame@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for command in (["promote", "1"], ["rollback"], ["history"]):
        _, out, err = typed(capsys, *command)
        assert "127.0.0.1:9" in err and "sesame" not in out + err


def test_the_ledger_is_kept_in_git() -> None:
    command = ["git", "check-ignore", "--no-index", "data/promotions.jsonl", "data/promotions.jsonl.lock"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["data/promotions.jsonl.lock"]
