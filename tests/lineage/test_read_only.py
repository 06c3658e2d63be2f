"""A checkout or registry that may only be read, or is not there: questions are answered, and none is made."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from compeffdist.cli.main import main
from compeffdist.ledger import Ledger
from compeffdist.registry.tracking import open_tracking
from tests.lineage.conftest import MODEL, World, files_of, learnt_text


def limited(world: World, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command by a process that obeys permissions, which root's do not."""
    bound = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if os.geteuid() == 0 else []
    if bound and shutil.which("setpriv") is None:
        pytest.skip("setpriv is needed to run as somebody who obeys permissions")
    command = [*bound, sys.executable, "-m", "compeffdist.cli.main", *arguments]
    return subprocess.run(
        command, cwd=world.folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def read_only(lone: World) -> Iterator[World]:
    params = yaml.safe_load((lone.folder / "params.yaml").read_text())
    params["registry"]["model_name"] = MODEL
    params["runtime"] |= {"store": str(lone.store), "device": "cpu"}
    (lone.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    shutil.rmtree(lone.folder / ".dvc/tmp")  # as in a clone that nobody has run anything in
    paths = [lone.folder, *lone.folder.rglob("*")]
    modes = {path: path.lstat().st_mode for path in paths if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    yield lone
    for path, mode in modes.items():
        path.chmod(mode)


def test_a_checkout_that_may_only_be_read_answers(read_only: World) -> None:
    before = files_of(read_only.folder)
    text = learnt_text(read_only)
    traced = limited(read_only, "trace", text.id)
    assert f"models:/{MODEL}/1" in traced.stdout, traced.stderr
    audited = limited(read_only, "audit")
    assert (audited.returncode, "0 are broken" in audited.stdout) == (0, True), audited.stdout + audited.stderr
    history = limited(read_only, "history", "--json")
    assert json.loads(history.stdout)["problem"] == "" and history.stderr == ""
    asked = limited(read_only, "predict", "--model", f"models:/{MODEL}/1", "--text", "fine", "--json")
    assert set(json.loads(asked.stdout)["probabilities"]) == {"negative", "neutral", "positive"}, asked.stderr
    assert files_of(read_only.folder) == before


def test_what_would_write_into_what_may_only_be_read_is_one_line(read_only: World) -> None:
    before = files_of(read_only.folder)
    text_id = learnt_text(read_only).id
    for arguments in (
        ("promote", "1", "--to", "champion", "--override", "to try it"),
        ("rollback", "--reason", "to try it"),
        ("unlock", "key"),
        ("forget", text_id, "--purge"),
    ):
        done = limited(read_only, *arguments)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ") and str(read_only.folder) in done.stderr
    assert files_of(read_only.folder) == before


def test_what_a_crash_left_in_a_registry_that_may_only_be_read_is_said(
    lone: World, read_only: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next command of whoever may write carries it out."""
    (read_only.folder / "data").chmod(0o755)
    (read_only.folder / "mlflow.db").chmod(0o644)
    read_only.folder.chmod(0o755)
    client = open_tracking()
    client.set_registered_model_tag(MODEL, "registry_id", "r")
    body = {"registry": "r", "model": MODEL, "from": None, "to": 1, "override": "", "failed": []}
    Ledger(read_only.folder / "data/promotions.jsonl").append("promote", body)
    for path in ("data", "mlflow.db", "."):
        (read_only.folder / path).chmod(0o555)
    history = limited(read_only, "history")
    assert history.returncode == 0 and "1 is not carried out" not in history.stdout
    assert "what entry 1 says is not carried out to the end" in history.stderr
    assert "promote" in history.stdout and "readonly" in history.stderr.replace("read-only", "readonly")


@pytest.mark.parametrize("command", ["predict", "history", "trace", "audit", "results", "forget"])
def test_a_question_to_a_registry_that_is_not_there_makes_none(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    arguments = {
        "predict": ["--text", "fine"],
        "trace": [learnt_text(world).id],
        "forget": [learnt_text(world).id, "--dry-run"],
    }
    with suppress(SystemExit):
        main([command, *arguments.get(command, [])])
    assert "Traceback" not in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
