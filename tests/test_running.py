"""How a stage runs: alone in its checkout, and to a one-line end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from filelock import Timeout

from compeffdist.fingerprints import write_fingerprints
from compeffdist.given import Given, Made
from compeffdist.profiles import compose
from compeffdist.running import run_stage
from tests.fakes import put_domains
from tests.stages import ROOT

STAGE = """
import os, time
from pathlib import Path
from types import SimpleNamespace
from compeffdist.given import Made
def run(given):
    Path("started").touch()
    end = time.monotonic() + float(os.environ["SECONDS"])
    while time.monotonic() < end and not Path("go").exists():
        time.sleep(0.02)
    return Made()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    make_checkout(tmp_path, {"collect": STAGE, "pair": STAGE})
    yield tmp_path


def make_checkout(folder: Path, stages: dict[str, str], **declared: object) -> None:
    """A checkout with these stages, each of which declares the same."""
    (folder / "stages").mkdir()
    shutil.copy(ROOT / "stages/run.py", folder / "stages")
    for name, code in stages.items():
        (folder / f"stages/{name}.py").write_text(code)
    (folder / "src").symlink_to(ROOT / "src")
    known = {name: {"params": [{"code.yaml": [name]}], **declared} for name in stages}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": known}))
    (folder / "params.yaml").write_text(yaml.safe_dump(compose("smoke", ROOT / "profiles")))
    put_domains(folder)
    write_fingerprints(folder)


def start(checkout: Path, stage: str, seconds: float) -> "subprocess.Popen[str]":
    environment = os.environ | {"SECONDS": str(seconds), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "stages/run.py", stage]
    return subprocess.Popen(command, cwd=checkout, stderr=subprocess.PIPE, text=True, env=environment)


def dvc(checkout: Path, *arguments: str, seconds: float = 0) -> "subprocess.Popen[str]":
    environment = os.environ | {"SECONDS": str(seconds), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "dvc", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=checkout, stdout=pipe, stderr=pipe, text=True, env=environment)


def started(checkout: Path) -> bool:
    deadline = time.monotonic() + 60
    while not (checkout / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return (checkout / "started").exists()


def test_a_second_process_of_a_stage_is_refused_by_one_line_that_names_the_first(checkout: Path) -> None:
    first = start(checkout, "collect", 600)
    assert started(checkout)
    second = start(checkout, "collect", 0)
    _, message = second.communicate(timeout=60)
    assert second.returncode == 1
    assert message == (
        f"error: stage collect is running already, as process {first.pid}: wait for it, or end it "
        f"(kill {first.pid}) and run again\n"
    )
    other = start(checkout, "pair", 0)
    assert other.wait(60) == 0
    took = json.loads((checkout / ".compeffdist/stages/pair.took.json").read_text())
    assert took["memory"] > 10 << 20  # told by `compeffdist plan`
    assert not (checkout / ".compeffdist/stages/collect.took.json").exists()
    first.kill()
    first.communicate()
    assert start(checkout, "collect", 0).wait(60) == 0


def test_a_stage_whose_dvc_was_killed_keeps_the_next_one_out(checkout: Path) -> None:
    run = "import subprocess, sys; subprocess.run([sys.executable, 'stages/run.py', 'collect'])"
    environment = os.environ | {"SECONDS": "600", "PYTHONPATH": str(ROOT / "src")}
    parent = subprocess.Popen([sys.executable, "-c", run], cwd=checkout, env=environment)
    assert started(checkout)
    parent.terminate()
    parent.wait()
    second = start(checkout, "collect", 0)
    _, message = second.communicate(timeout=60)
    orphan = int((checkout / ".compeffdist/stages/collect.pid").read_text())
    assert f"as process {orphan}:" in message
    os.kill(orphan, signal.SIGKILL)


MAKES = STAGE.replace("Made()", 'Made(metrics={"stage": given.name})')


def test_of_two_repros_in_a_checkout_one_runs_and_the_other_is_told_by_whom_it_is_blocked(tmp_path: Path) -> None:
    """DVC removes outs before a stage begins: those of one that runs must stay."""
    make_checkout(tmp_path, {"collect": MAKES})
    pipeline = yaml.safe_load((tmp_path / "dvc.yaml").read_text())
    command = f"{sys.executable} stages/run.py collect"
    pipeline["stages"]["collect"] |= {"cmd": command, "metrics": [{"metrics/collect.json": {"cache": False}}]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(pipeline))
    write_fingerprints(tmp_path)
    dvc(tmp_path, "init", "--quiet", "--no-scm").communicate(timeout=60)
    first = dvc(tmp_path, "repro", seconds=600)
    assert started(tmp_path)
    second = dvc(tmp_path, "repro")
    said, told = second.communicate(timeout=60)
    errors = [line for line in told.splitlines() if line.startswith(("ERROR", "error"))]
    assert second.returncode and len(errors) == 1 and "Traceback" not in said + told
    assert "is busy" in errors[0] and f"(PID {first.pid}): " in told
    (tmp_path / "go").touch()
    assert first.communicate(timeout=60) and first.returncode == 0
    assert "up to date" in dvc(tmp_path, "repro").communicate(timeout=60)[0]


def test_another_lock_that_a_stage_waits_for_in_vain_is_not_the_stage_s(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(checkout)

    def run(given: Given) -> Made:
        raise Timeout("elsewhere.lock")

    with pytest.raises(Timeout):
        run_stage("collect", lambda: SimpleNamespace(run=run))


def test_code_that_is_not_that_of_code_yaml_is_not_run(checkout: Path) -> None:
    (checkout / "stages/collect.py").write_text(STAGE.replace('"started"', '"begun"'))
    refused = start(checkout, "collect", 0)
    _, message = refused.communicate(timeout=60)
    assert message == (
        "error: code.yaml: stage collect has other code than it says; run: make fingerprints && dvc repro\n"
    )
    assert refused.returncode == 1 and not (checkout / "begun").exists()
    assert start(checkout, "pair", 0).wait(60) == 0
    write_fingerprints(checkout)
    assert start(checkout, "collect", 0).wait(60) == 0 and (checkout / "begun").exists()


def test_code_of_another_checkout_is_not_run(checkout: Path) -> None:
    (checkout / "src").unlink()
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("__pycache__"))
    refused = start(checkout, "collect", 0)
    message = refused.communicate(timeout=60)[1]
    assert message == (
        f"error: {ROOT / 'src/compeffdist'}: is imported, not the code of this checkout; run: make setup, or mend "
        "PYTHONPATH\n"
    )


def test_a_stage_that_does_not_depend_on_its_own_code_is_not_run(tmp_path: Path) -> None:
    make_checkout(tmp_path, {"collect": STAGE, "pair": STAGE}, params=[{"code.yaml": ["pair"]}])
    message = start(tmp_path, "collect", 0).communicate(timeout=60)[1]
    assert message == "error: dvc.yaml: stage collect must have under params: - code.yaml: [collect]\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("", "stage collect: its module in stages/ has no function run(given)"),
        ("def run(given): pass", "stage collect: its run(given) must return Made(…), not NoneType"),
    ],
)
def test_a_module_that_is_no_stage_is_one_line(tmp_path: Path, code: str, told: str) -> None:
    make_checkout(tmp_path, {"collect": code})
    assert start(tmp_path, "collect", 0).communicate(timeout=60)[1] == f"error: {told}\n"


def test_an_out_that_is_no_artefact_is_told_before_any_work(tmp_path: Path) -> None:
    make_checkout(tmp_path, {"collect": STAGE}, outs=["data/txets.parquet"], params=[{"code.yaml": ["collect"]}])
    message = start(tmp_path, "collect", 0).communicate(timeout=60)[1]
    assert message == ("error: dvc.yaml: stage collect declares data/txets.parquet, which artefacts.py does not list\n")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("command", [["stages/run.py", "collect"], ["stages/run.py", "--check"]])
def test_a_folder_that_dvc_cannot_write_the_name_of_is_told(tmp_path: Path, command: list[str]) -> None:
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    folder.mkdir()
    make_checkout(folder, {"collect": STAGE})
    environment = os.environ | {"SECONDS": "0", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and not (folder / "started").exists()
    assert done.stderr.startswith(
        f"error: {tmp_path}/M\ufffdller: not a name in UTF-8, and DVC and MLflow take no other"
    )


@pytest.mark.parametrize("script", ["run.py", "check.py"])
def test_a_script_without_a_stage_says_how_it_is_run(script: str) -> None:
    command = [sys.executable, str(ROOT / "stages" / script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: usage: python stages/run.py ")


def test_a_stage_that_there_is_not_is_one_line(checkout: Path) -> None:
    refused = start(checkout, "colect", 0)
    assert refused.communicate(timeout=60)[1] == "error: dvc.yaml: has no stage colect\n"


def test_what_params_get_wrong_is_told_before_dvc_looks_for_a_domain_that_is_not_there(checkout: Path) -> None:
    sound = start(checkout, "--check", 0)
    assert (sound.communicate(timeout=60)[1], sound.returncode) == ("", 0)
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("domain: sentiment\n", "domain: sentimant\n"))
    refused = start(checkout, "--check", 0)
    assert refused.communicate(timeout=60)[1] == (
        "error: domains/sentimant.yaml: no such file; the param `domain` names one of: sentiment, support\n"
    )
    assert refused.returncode == 1 and not (checkout / "started").exists()
    commands = subprocess.run(["make", "-n", "repro"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "run.py --check" in commands[: commands.index("dvc repro")]


def test_a_field_that_a_file_has_not_is_told_before_a_run(checkout: Path) -> None:
    (checkout / "data/sources").mkdir(parents=True)
    (checkout / "data/sources/mine.csv").write_text("comment,stars\nfine,2\n")
    params = yaml.safe_load((checkout / "params.yaml").read_text())
    mine = {"name": "mine", "kind": "csv", "location": "mine.csv", "domain": "mine", "text_field": "coment"}
    params["texts"]["sources"].append(mine)
    (checkout / "params.yaml").write_text(yaml.safe_dump(params))
    refused = start(checkout, "--check", 0)
    assert refused.communicate(timeout=60)[1] == (
        "error: data/sources/mine.csv: there is no column 'coment' (text_field of text source 'mine'); "
        "there are: comment, stars\n"
    )
    assert refused.returncode == 1


@pytest.mark.parametrize("installed", [True, False])
def test_a_shell_without_the_environment_is_no_trouble(checkout: Path, installed: bool) -> None:
    """`dvc` may be one of the system, beside an environment that is not activated."""
    if installed:
        (checkout / ".venv/bin").mkdir(parents=True)
        own = checkout / ".venv/bin/python"
        own.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT / "src"} exec {sys.executable} "$@"\n')
        own.chmod(0o755)
    command = [sys.executable, "-S", "-E", "stages/run.py", "collect"]  # without site-packages
    done = subprocess.run(
        command, cwd=checkout, capture_output=True, text=True, check=False, env=os.environ | {"SECONDS": "0"}
    )
    if installed:
        assert (done.returncode, done.stderr) == (0, "") and (checkout / "started").exists()
    else:
        assert done.returncode == 1
        assert done.stderr == (
            "error: the package compeffdist is not installed here; set up the environment with: make setup\n"
        )
