"""The two trainings of a run: the warm-up on a random part, and the student on the training set."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from typing import Any

from compeffdist.accounting import account
from compeffdist.artefact_kinds import Artefact
from compeffdist.files import atomic_file
from compeffdist.given import Given, Made
from compeffdist.params import FineTuningParams, Params
from compeffdist.record_streams import stream_records
from compeffdist.records import Triplet
from compeffdist.seeds import stage_seed
from compeffdist.student.base import base_student
from compeffdist.student.curve import CurvePoint
from compeffdist.student.together import fine_tune_together
from compeffdist.student.training import TrainingRow, draw_ids, fine_tune

WARM_UP, TRAIN = "warm_up_student", "train_student"


def warm_up_rows(triplets: Path, params: Params) -> list[TrainingRow]:
    """`warm_up.rows` triplets of a file drawn uniformly; all if there are fewer. Raises UserError as `read_columns`."""
    from compeffdist.columns import read_columns

    ids = read_columns(triplets, Triplet, ["id"])["id"].to_pylist()
    drawn = draw_ids(ids, params.warm_up.rows, stage_seed(params.seed, WARM_UP))
    places = {row_id: place for place, row_id in enumerate(drawn)}
    rows = [training_row(triplet) for triplet in stream_records(triplets, Triplet) if triplet.id in places]
    return sorted(rows, key=lambda row: places[row.id])


def train(
    given: Given,
    rows: Sequence[TrainingRow],
    settings: FineTuningParams,
    system: str,
    output: Artefact[Any],
    curve: Artefact[Any],
    on_point: Callable[[CurvePoint], None] | None = None,
) -> Made:
    """Fine-tune the base student on rows into `output`, with a row of `curve` for each optimiser step; `system` as for
    `fine_tune`."""
    base, folder = base_student(given)
    runtime, training = given.params.runtime, fine_tune
    if runtime.processes > 1:
        training = partial(fine_tune_together, processes=runtime.processes, fsdp=runtime.fsdp)
    result = training(
        folder,
        rows,
        settings,
        base_id=base.id,
        system=system,
        seed=given.seed,
        output=given.out(output),
        stage=given.name,
        device=runtime.device,
        checkpoints=Path(runtime.checkpoints),
        checkpoint_steps=runtime.checkpoint_steps,
        on_point=on_point,
    )
    with atomic_file(given.out(curve)) as path, path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([column.name for column in fields(CurvePoint)])
        writer.writerows(astuple(point) for point in result.curve)
    records = account(given.name, len(rows), result.rows, result.rejected)
    return Made(metrics={"records": records, **result.metrics()}, rejects=result.rejected)


def training_row(triplet: Triplet) -> TrainingRow:
    """What a student is trained on of a triplet."""
    return TrainingRow(
        triplet.id, triplet.prompt, triplet.response, tuple(triplet.labels), tuple(triplet.probabilities)
    )
