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
from compeffdist.stage_notes import Note
from compeffdist.watch.reading import Reading
from compeffdist.watch.stages import StageState

CURVES: Mapping[str, str] = {"train_student": TRAINING_CURVE, "warm_up_student": WARM_UP_CURVE}
"""By stage, the later one first."""
CHECKPOINTS = "*/checkpoint-*/trainer_state.json"
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
            points = _live(one.stage.name, one.note, params, reading) if one.note and params else []
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


def _live(stage: str, note: Note, params: Params, reading: Reading) -> Points:
    """What a training noted, after what its last checkpoint has of the steps before: of one that notes no losses, or
    that went on after it was killed."""
    noted = list(note.losses)
    first = noted[0][0] if noted else None
    if first is not None and first <= 1:
        return noted
    states = {path: path.stat().st_mtime for path in (Path(params.runtime.checkpoints) / stage).glob(CHECKPOINTS)}
    if not states:
        return noted
    last = max(states, key=states.__getitem__)

    def read() -> Points:
        return [(int(row["step"]), float(row["loss"])) for row in read_json(last)["log_history"] if "loss" in row]

    kept = reading.of(f"checkpoint of {stage}", [last], read, Points())
    if states[last] < note.began:  # of this training only if that went on from it
        apart = noted[1][0] - noted[0][0] if len(noted) > 1 else 1
        if first is None or not kept or not 0 < first - kept[-1][0] <= apart:
            return noted
    return [point for point in kept if first is None or point[0] < first] + noted
