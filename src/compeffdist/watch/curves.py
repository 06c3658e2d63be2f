"""The loss curve of the training that runs, else of the last that ended."""

import csv
import math
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from compeffdist.artefacts import TRAINING_CURVE, WARM_UP_CURVE
from compeffdist.files import read_json
from compeffdist.params import Params
from compeffdist.watch.reading import Reading
from compeffdist.watch.stages import StageState

CURVES: Mapping[str, str] = {"train_student": TRAINING_CURVE, "warm_up_student": WARM_UP_CURVE}
"""By stage, the later one first."""
CHECKPOINTS = "checkpoint-*/trainer_state.json"
MOST_POINTS = 600
Points = list[tuple[int, float]]


def curve(stages: Iterable[StageState], params: Params | None, reading: Reading) -> dict[str, Any] | None:
    """(step, loss) of each step, or of every n-th of a long training; None before the first."""
    trainings = sorted(
        (one for one in stages if one.stage.name in CURVES),
        key=lambda one: (one.state != "running", list(CURVES).index(one.stage.name)),
    )
    for one in trainings:
        if one.state == "running":
            points = list(one.note.losses) if one.note and one.note.losses else _checkpoint(one, params, reading)
        elif one.state in ("done", "ended"):
            path = Path(CURVES[one.stage.name])
            points = reading.of(str(path), [path], partial(_read, path), list[Any]()) if path.exists() else []
        else:
            points = []
        sound = [(step, loss) for step, loss in points if math.isfinite(loss)]
        if sound:
            every = math.ceil(len(sound) / MOST_POINTS)
            return {"stage": one.stage.name, "live": one.state == "running", "points": sound[::every]}
    return None


def _read(path: Path) -> Points:
    with path.open(encoding="utf-8", newline="") as stream:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream)]


def _checkpoint(one: StageState, params: Params | None, reading: Reading) -> Points:
    """Of a training that notes no losses: as of its last checkpoint."""
    if params is None or one.note is None:
        return []
    folder = Path(params.runtime.checkpoints) / one.stage.name
    states = {path: path.stat().st_mtime for path in folder.glob(f"*/{CHECKPOINTS}")}
    fresh = [path for path, time in states.items() if time >= one.note.began]
    if not fresh:
        return []
    last = max(fresh, key=states.__getitem__)

    def read() -> Points:
        return [(int(row["step"]), float(row["loss"])) for row in read_json(last)["log_history"] if "loss" in row]

    return reading.of("checkpoint", [last], read, [])
