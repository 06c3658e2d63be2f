"""A gate in a real DVC pipeline: what is behind it does not run when it stops, nor when only a bound changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.environment import PRIVATE
from tests.gates import world as plant
from tests.stages import ROOT

pytestmark = pytest.mark.pipeline

BIN = Path(sys.executable).parent
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A command of the environment in the working folder."""
    env = {**os.environ, **PRIVATE, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": f"{Path.cwd()}/src"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def make_repository(world: Path, stages: dict[str, Any]) -> None:
    """A repository with our code and these stages."""
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, world / name, ignore=shutil.ignore_patterns("__pycache__"))
    for script in Path("stages").glob("*.py"):
        if script.stem not in {"run", "check", *stages}:
            script.unlink()
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    shutil.copy(ROOT / "code.yaml", world)
    shutil.copy(ROOT / ".gitignore", world)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        assert run(*command).returncode == 0


@pytest.fixture
def pipeline(world: Path) -> None:
    """The real gate of the clusters and the real dependencies of what stands behind it."""
    behind = STAGES["generate_tasks"]
    deps = [dep for dep in behind["deps"] if dep.startswith(("data/clusters", "data/gates"))]
    behind = {"cmd": "echo ran >> ran.txt && echo tasks > data/tasks.jsonl", "deps": deps, "outs": ["data/tasks.jsonl"]}
    make_repository(world, {"check_clusters": STAGES["check_clusters"], "generate_tasks": behind})


def set_bound(**bounds: Any) -> None:
    """Edit params.yaml as a user would."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["gates"]["clusters"] |= bounds
    Path("params.yaml").write_text(yaml.safe_dump(params))


def runs() -> int:
    """How often the stage behind the gate has run."""
    return len(Path("ran.txt").read_text().splitlines()) if Path("ran.txt").exists() else 0


@pytest.mark.usefixtures("pipeline")
def test_a_stop_ends_the_run_and_a_changed_bound_reruns_the_check_alone() -> None:
    plant.make_clusters(sizes=[16])
    stopped = run("dvc", "repro")
    assert stopped.returncode != 0
    assert "error: clusters: perspectives is 1, must be from 2 to 8 (gates.clusters.fewest_per_root)." in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert runs() == 0
    assert Path("metrics/gates/clusters.json").exists()
    assert Path("report/gates/clusters.html").exists()

    plant.make_clusters()
    assert run("dvc", "repro").returncode == 0
    assert runs() == 1

    set_bound(coherence=0.9, action="warn")
    rerun = run("dvc", "repro")
    assert rerun.returncode == 0
    assert "Running stage 'check_clusters'" in rerun.stdout
    assert "warning: clusters: coherence is 0.7, must be at least 0.9" in rerun.stderr
    assert "Stage 'generate_tasks' didn't change, skipping" in rerun.stdout
    assert runs() == 1


def test_a_student_that_fails_is_registered_and_reported_before_the_run_ends_with_an_error(world: Path) -> None:
    report = "metrics/gates/student.json"
    registration, summary = "metrics/registration.json", "metrics/summary.json"
    registering = f'echo ran >> ran.txt && echo \'{{"model_name": "m", "version": 1, "alias": ""}}\' > {registration}'
    stages = {
        "check_student": STAGES["check_student"],
        "register_student": {"cmd": registering, "deps": [report], "outs": [{registration: {"cache": False}}]},
        "write_report": {
            "cmd": f"echo {{}} > {summary}",
            "deps": [report, registration],
            "outs": [{summary: {"cache": False}}],
        },
        "judge_student": STAGES["judge_student"],
    }
    make_repository(world, stages)
    Path(registration).unlink()
    plant.make_evaluation(student=21, registered=False)
    ended = run("dvc", "repro")
    assert ended.returncode != 0
    assert runs() == 1 and Path(summary).exists() and not Path("data/gates/student.json").exists()
    assert "error: gate student: 1 of 4 expectations failed, m version 1 is registered without alias" in ended.stderr
    assert "Traceback" not in ended.stderr
    again = run("dvc", "repro")
    assert again.returncode != 0 and runs() == 1
    assert [line for line in again.stdout.splitlines() if "Running" in line] == ["Running stage 'judge_student':"]

    plant.make_evaluation(registered=False)
    assert run("dvc", "repro").returncode == 0
    assert runs() == 2 and Path("data/gates/student.json").exists()
