"""Several processes train as one does: the same curve, from each other's checkpoints, and to an end that is told."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.params import FineTuningParams
from compeffdist.processes import process_id
from compeffdist.student.curve import Curve, CurvePoint
from compeffdist.student.loading import load_student
from compeffdist.student.together import _Watched, check_processes, fine_tune_together, threads_each
from compeffdist.student.training import TrainingResult, TrainingRow, fine_tune
from tests.fakes import SYSTEM
from tests.stages import run_stage
from tests.student.ranks import in_processes
from tests.student.test_stages import write_inputs

LABELS = ("negative", "positive")
ROWS = [
    TrainingRow(
        f"sample_{i:02d}",
        f"{'How does it sound?' if i % 3 else 'What does the writer of this sentence think?'} the film was {'x' * i}",
        LABELS[i % 2],
        LABELS if i % 4 else (),
        (0.3, 0.7) if i % 4 else (),
    )
    for i in range(10)
]
# steps of 3, 3, 3 and 1 rows: one process has more than the other, and at last the other none
EXACT = FineTuningParams(method="full", learning_rate=1e-3, epochs=2.0, batch_size=3, compute_dtype="float32")
CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "full, soft labels": {"soft_labels": 0.5},
    "lora": {"method": "lora", "learning_rate": 1e-2},
    "lora, soft labels": {"method": "lora", "learning_rate": 1e-2, "soft_labels": 0.5},
    "rows whole": {"group_rows": 1},
    "many passes": {"pass_tokens": 1},
    "one pass": {"batch_size": 10, "group_rows": 10, "epochs": 4.0},
    "batches added up": {"batch_size": 2, "gradient_accumulation": 2},
    "activations anew": {"gradient_checkpointing": True},
    "weights averaged": {"average_last": 0.5},
}


def train(folder: Path, output: Path, settings: FineTuningParams = EXACT, **more: Any) -> TrainingResult:
    given = {"base_id": "b", "seed": 7, "stage": "train_student", "device": "cpu", "system": SYSTEM} | more
    return fine_tune(folder, ROWS, settings, output=output, **given)


def train_all(folder: Path, output: Path, cases: dict[str, dict[str, Any]], processes: int) -> dict[str, Any]:
    """(Loss, norm of the gradient) of each step of each case."""
    curves = {}
    for name, update in cases.items():
        result = train(folder, output / name, EXACT.model_copy(update=update), processes=processes)
        curves[name] = [(point.loss, point.gradient_norm) for point in result.curve]
    return curves


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Where one process and two wrote their students; the curves of the one, and as the first of the two has them."""
    folder = tmp_path_factory.mktemp("together")
    alone = train_all(tiny_folder, folder / "alone", CASES, 1)
    first, second = in_processes(2, folder / "meeting", train_all, tiny_folder, folder / "together", CASES, 2)
    assert not any(second.values())
    return folder, [alone, first]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_steps_of_one(trained: tuple[Path, list[dict[str, Any]]], case: str) -> None:
    folder, curves = trained
    alone, together = (curve[case] for curve in curves)
    assert len(together) == len(alone) >= 4
    assert [loss for loss, _ in together] == pytest.approx([loss for loss, _ in alone], abs=1e-4)
    assert [norm for _, norm in together] == pytest.approx([norm for _, norm in alone], rel=1e-3)
    assert read_json(folder / "together" / case / "student.json") == read_json(folder / "alone" / case / "student.json")


@pytest.mark.parametrize("case", ["full", "lora", "weights averaged"])
def test_their_students_answer_alike(trained: tuple[Path, list[dict[str, Any]]], tiny_folder: Path, case: str) -> None:
    import torch

    ids = torch.tensor([[5, 9, 40, 77]])
    models = [load_student(trained[0] / by / case, "cpu", base=tiny_folder)[0] for by in ("alone", "together")]
    with torch.inference_mode():
        one, two = (model(ids).logits for model in models)
    assert torch.allclose(one, two, atol=2e-2 * float(one.abs().max()))


class Killed(Exception):
    """As if the machine had gone."""


def test_two_processes_go_on_where_one_was_killed(tiny_folder: Path, tmp_path: Path) -> None:
    kept = {"checkpoints": tmp_path / "checkpoints", "checkpoint_steps": 3}

    def die(point: CurvePoint) -> None:
        if point.step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(tiny_folder, tmp_path / "alone", on_point=die, **kept)
    whole = train(tiny_folder, tmp_path / "whole")
    first, _ = in_processes(2, tmp_path / "meeting", go_on, tiny_folder, tmp_path / "together", kept)
    assert first == (3, pytest.approx([point.loss for point in whole.curve], abs=1e-4))
    assert not (tmp_path / "checkpoints/train_student").exists()


def go_on(folder: Path, output: Path, kept: dict[str, Any]) -> tuple[int, list[float]]:
    result = train(folder, output, processes=2, **kept)
    return result.steps_before, [point.loss for point in result.curve]


def test_a_process_that_dies_ends_the_training_and_one_goes_on(
    tiny_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = EXACT.model_copy(update={"epochs": 12.0, "learning_rate": 1e-4})
    kept = {"checkpoints": tmp_path / "checkpoints", "checkpoint_steps": 2}
    pids: dict[int, int] = {}

    def kill(point: CurvePoint) -> None:
        if point.step == 4:
            pids.update(ranks_under(os.getpid()))
            os.kill(pids[1], signal.SIGKILL)

    with pytest.raises(UserError, match="train_student: process 2 of 2 was ended by SIGKILL, perhaps for want of mem"):
        fine_tune_together(
            tiny_folder, ROWS, settings, processes=2, on_point=kill, output=tmp_path / "together", base_id="b", seed=7,
            stage="train_student", device="cpu", system=SYSTEM, **kept,
        )  # fmt: skip
    assert sorted(pids) == [0, 1] and not any(map(process_id, pids.values()))
    assert "Traceback" not in capfd.readouterr().err
    assert not (tmp_path / "together").exists()
    whole = train(tiny_folder, tmp_path / "whole", settings)
    result = train(tiny_folder, tmp_path / "together", settings, **kept)
    assert result.steps_before >= 2
    assert [p.loss for p in result.curve] == pytest.approx([p.loss for p in whole.curve], abs=1e-4)


STAGE = """
import sys
from pathlib import Path
from compeffdist.errors import run_guarded
from compeffdist.params import FineTuningParams
from compeffdist.student.together import fine_tune_together
from tests.student.test_together import EXACT, ROWS
run_guarded(lambda: fine_tune_together(
    Path(sys.argv[1]), ROWS, EXACT.model_copy(update={"epochs": 10000.0}), processes=2, output=Path("student"),
    base_id="b", seed=7, stage="train_student", device="cpu", system="",
))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_processes_end_with_the_stage(tiny_folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    root = str(Path(__file__).parents[2])
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE, str(tiny_folder)], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": root}, start_new_session=True,
    )  # fmt: skip
    limit = time.monotonic() + 120
    while len(pids := ranks_under(stage.pid)) < 2:
        assert time.monotonic() < limit and stage.poll() is None
        time.sleep(0.05)
    all_of_it = [*pids.values(), *children_of(stage.pid)]
    stage.send_signal(number)
    _, said = stage.communicate(timeout=60)
    assert stage.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    while any(map(process_id, all_of_it)):
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert "Traceback" not in said and not (tmp_path / "student").exists()


def test_a_stage_trains_by_as_many_processes_as_its_params_say(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPEFFDIST_CACHE", raising=False)
    write_inputs(tiny_folder)
    raw = yaml.safe_load(Path("params.yaml").read_text())
    raw["warm_up"]["training"]["compute_dtype"] = "float32"
    curves, metrics = [], []
    for processes in (1, 2):
        raw["runtime"]["processes"] = processes
        Path("params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        run_stage("warm_up_student")
        with Path("metrics/warm_up_curve.csv").open(encoding="utf-8") as stream:
            curves.append([(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream)])
        metrics.append(read_json(Path("metrics/warm_up_student.json")))
    assert curves[1] == [(step, pytest.approx(loss, abs=1e-4)) for step, loss in curves[0]]
    told = [{key: value for key, value in one.items() if "seconds" not in key and "per" not in key} for one in metrics]
    rounded = {key: pytest.approx(value, abs=1e-4) if "loss" in key else value for key, value in told[0].items()}
    assert told[1] == rounded
    load_student(Path("models/warmup"), "cpu")


# ---------------------------------------------------------------- what is said


def test_of_several_reasons_the_first_cause_is_told() -> None:
    lost = {"failed": 0, "kind": "lost", "said": "RuntimeError: connection closed by peer"}
    full = {"failed": 1, "kind": "user", "said": "no space left"}
    defect = {"failed": 0, "kind": "defect", "said": "TypeError"}

    def why(*told: dict[str, Any], code: int = 1) -> Exception:
        watched = _Watched(Curve("train_student"))
        for one in told:
            watched.hear(one)
        return watched.why(2, code)

    assert str(why(lost, full, {"ended": [[0, 1], [1, 1]]})) == "no space left"
    killed = why(lost, {"ended": [[0, -signal.SIGTERM], [1, -signal.SIGKILL]]})
    assert isinstance(killed, UserError) and "process 2 of 2 was ended by SIGKILL, perhaps" in str(killed)
    assert "process 2 of 2 was ended by SIGTERM: run again" in str(why(lost, {"ended": [[1, -signal.SIGTERM]]}))
    told = why(defect, {"ended": [[0, 1], [1, -signal.SIGTERM]]})
    assert str(told) == "train_student: process 1 of 2: TypeError" and not isinstance(told, UserError)
    assert "launcher of its 2 processes was ended by SIGKILL" in str(why(code=-signal.SIGKILL))


def test_what_cannot_be_done_is_refused(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"runtime.processes: 2, but only one process can train on mps"):
        check_processes(2, "mps")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    with pytest.raises(UserError, match=r"runtime.processes: 4, one GPU each, but 3 are visible"):
        check_processes(4, "cuda")
    check_processes(3, "cuda")
    check_processes(1, "mps")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="WORLD_SIZE is '2': unset it"):
        train(tiny_folder, tmp_path / "out")


def test_averages_are_refused_where_no_process_has_all_weights(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compeffdist.student.together.resolve_device", lambda device: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    averaged = EXACT.model_copy(update={"average_last": 0.5})
    with pytest.raises(UserError, match="average_last needs all weights in one process"):
        fine_tune_together(
            tiny_folder, ROWS, averaged, processes=2, fsdp=True, stage="train_student", output=tmp_path / "out"
        )


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert [threads_each(count) for count in (1, 3, 8, 16)] == [8, 2, 1, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert [threads_each(count) for count in (2, 8)] == [2, 1]


def ranks_under(pid: int) -> dict[int, int]:
    """Rank -> pid of the processes that a process trains by."""
    found = {}
    for launcher in children_of(pid):
        for child in children_of(launcher):
            try:
                variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
                command = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue
            rank = next((int(one[5:]) for one in variables if one.startswith(b"RANK=")), None)
            if rank is not None and b"compeffdist.student.rank" in command:
                found[rank] = child
    return found


def children_of(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
