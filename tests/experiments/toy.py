"""A pipeline that stands in for the real one where experiments are run by DVC: three stages, no model, in seconds.

python toy.py STAGE, in a folder that `make_checkout` has written. On films the student is right on the share of the
rows that `sampling.rate` says, which rows hangs on the seed; of series it always says the same. Each stage notes in a
file outside that it ran.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

STAGES: dict[str, dict[str, Any]] = {
    "sample_triplets": {
        "deps": ["data/sources", "domains/${domain}.yaml"],
        "params": ["seed", "student_seed", "domain", "sampling"],
        "outs": [
            "data/sampled.parquet",
            *({f"metrics/{name}.json": {"cache": False}} for name in ("collect_responses", "collect_sampled")),
        ],
    },
    "train_student": {
        "deps": ["data/sampled.parquet"],
        "params": ["seed", "student_seed", "training"],
        "outs": ["models/student", {"metrics/train_student.json": {"cache": False}}],
    },
    "check_training_set": {"deps": ["models/student/model.safetensors"], "outs": ["data/gates/training_set.json"]},
    "evaluate_student": {
        "deps": ["models/student", "data/gates/training_set.json"],
        "params": ["seed", "evaluation"],
        "outs": ["data/student_predictions.parquet", {"metrics/evaluation.json": {"cache": False}}],
    },
    "register_student": {"deps": ["models/student"], "outs": ["metrics/registration.json"]},
}
ROWS = 60
LABELS = ["bad", "good"]
TASKS = ("films", "series")
RAN = "TOY_RAN"
"""Names the file in which stages note that they ran."""


def make_checkout(folder: Path, root: Path) -> None:
    """A git repository of the toy pipeline, which has run. `root`: the real one, whose profile and domains it has."""
    import shutil

    from compeffdist.profiles import compose

    params = compose("smoke", root / "profiles")
    task = {"location": "vader-tweets", "labels": LABELS, "rows": ROWS, "question": "Good?"}
    tasks = [{"name": name, **task} for name in TASKS]
    params["evaluation"] = {"tasks": tasks, "bootstrap": 200, "confidence": 0.95}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    stages = {
        name: {"cmd": f"python toy.py {name}", **stage, "params": [{"code.yaml": [name]}, *stage.get("params", [])]}
        for name, stage in STAGES.items()
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (folder / "code.yaml").write_text("".join(f"{name}: '1'\n" for name in STAGES))
    (folder / ".gitignore").write_text(
        "/data/*\n!/data/sources/\n/data/sources/**\n!/data/sources/README.md\n/models/*\n!/models/local/\n/models/local/**\n!/models/local/README.md\n/.compeffdist/\n__pycache__/\n"
    )
    (folder / "experiments").mkdir()
    for own in ("data/sources", "models/local"):
        (folder / own).mkdir(parents=True)
        shutil.copy(root / own / "README.md", folder / own / "README.md")
    shutil.copytree(root / "domains", folder / "domains")
    shutil.copy(__file__, folder / "toy.py")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        run(folder, *command)
    shutil.copy(root / ".dvc/config", folder / ".dvc/config")
    (folder / ".dvc-site/repo").mkdir(parents=True)
    shutil.copy(root / ".dvc-site/repo/.gitignore", folder / ".dvc-site/repo/.gitignore")
    run(folder, "dvc", "repro", "-q", "evaluate_student")
    commit(folder, "A run")


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--allow-empty", "-qm", message)


def run(folder: Path, *command: str) -> None:
    program = [sys.executable, "-m", "dvc"] if command[0] == "dvc" else [command[0]]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*program, *command[1:]], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


def stage(name: str) -> None:
    """Run one."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    with Path(os.environ[RAN]).open("a") as stream:
        stream.write(f"{name}\n")
    if os.environ.get("TOY_FAILS") == name:
        sys.exit(f"error: {name} cannot go on")
    if missing := [path for path in os.environ.get("TOY_NEEDS", "").split() if not Path(path).exists()]:
        sys.exit(f"error: {missing[0]} is not here")
    seed = params["seed"] if params["student_seed"] is None else params["student_seed"]
    if slow := float(os.environ.get("TOY_SLOW", 0)):
        time.sleep(slow)
    globals()[name](params, random.Random(f"{seed}"))


def sample_triplets(params: dict[str, Any], generator: random.Random) -> None:
    from compeffdist.files import write_json

    for name in ("collect_responses", "collect_sampled"):
        teacher = {"answers": {"used": 30}, "this_run": {"bought": 2}}
        write_json(Path(f"metrics/{name}.json"), {"teacher": teacher})
    write_json(Path("data/sampled.parquet"), {"right": params["sampling"]["rate"], "draw": generator.random()})


def train_student(params: dict[str, Any], generator: random.Random) -> None:
    from compeffdist.files import write_json

    weights = Path("models/student/model.safetensors")
    weights.parent.mkdir(parents=True)
    weights.write_bytes(Path("data/sampled.parquet").read_bytes().ljust(2 << 20))
    write_json(Path("metrics/train_student.json"), {"records": {"out": 10}, "tokens": 100, "seconds": 1.5})


def check_training_set(params: dict[str, Any], generator: random.Random) -> None:
    from compeffdist.files import write_json

    write_json(Path("data/gates/training_set.json"), {"passed": True})


def evaluate_student(params: dict[str, Any], generator: random.Random) -> None:
    import json

    from compeffdist.evaluation.summary import summarise
    from compeffdist.files import write_json
    from compeffdist.params import validate_params
    from compeffdist.record_files import write_records
    from compeffdist.records import EvaluationRow, Prediction

    drawn = json.loads(Path("models/student/model.safetensors").read_bytes())
    seeded = random.Random(drawn["draw"])
    rows = [
        EvaluationRow(task=task, text=f"text {n}", label=LABELS[n % 2], source_row=str(n), licence="MIT")
        for task in TASKS
        for n in range(ROWS)
    ]

    def answer(row: EvaluationRow) -> str:
        if row.task == "series":
            return "good"
        return row.label if seeded.random() < drawn["right"] else LABELS[row.label == "bad"]

    def said(system: str) -> list[Prediction]:
        return [
            Prediction(
                row_id=row.id,
                task=row.task,
                system=system,
                system_id=system,
                gold=row.label,
                predicted=(told := answer(row)),
                probabilities=[float(label == told) for label in LABELS],
            )
            for row in rows
        ]

    predictions = {system: said(system) for system in ("teacher", "base", "student")}
    write_records(Path("data/student_predictions.parquet"), Prediction, predictions["base"] + predictions["student"])
    evaluation = validate_params(params, "params.yaml").evaluation
    write_json(Path("metrics/evaluation.json"), summarise(predictions, evaluation, params["seed"]))


def register_student(params: dict[str, Any], generator: random.Random) -> None:
    raise AssertionError("no experiment registers")


if __name__ == "__main__":
    stage(sys.argv[1])
