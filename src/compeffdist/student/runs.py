"""The two trainings of a run: the warm-up on a random part, and the student on the training set."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.files import atomic_file, write_json
from compeffdist.models import ModelIdentity, cache_folder, model_folder
from compeffdist.params import Params, stage_seed
from compeffdist.records import Triplet
from compeffdist.student.curve import CurvePoint
from compeffdist.student.training import TrainingResult, TrainingRow, draw_rows, fine_tune

WARM_UP, TRAIN = "warm_up_student", "train_student"


def warm_up_rows(triplets: Sequence[Triplet], params: Params) -> list[TrainingRow]:
    """`warm_up.rows` triplets drawn uniformly; all if there are fewer."""
    return draw_rows(
        [training_row(triplet) for triplet in triplets], params.warm_up.rows, stage_seed(params.seed, WARM_UP)
    )


def warm_up_student(
    triplets: Sequence[Triplet], base: ModelIdentity, params: Params, system: str, output: Path
) -> None:
    """Train the scorer into `output`; write rejects, metrics and curve. `system` as for `fine_tune`."""
    rows = warm_up_rows(triplets, params)
    result = fine_tune(
        model_folder(base, cache_folder(params.runtime.cache)),
        rows,
        params.warm_up.training,
        base_id=base.id,
        system=system,
        seed=stage_seed(params.seed, WARM_UP),
        output=output,
        stage=WARM_UP,
        device=params.runtime.device,
        checkpoints=Path(params.runtime.checkpoints),
        checkpoint_steps=params.runtime.checkpoint_steps,
    )
    write_result(WARM_UP, len(rows), result, Path("metrics/warm_up_curve.csv"))


def train_student(
    triplets: Sequence[Triplet],
    base: ModelIdentity,
    params: Params,
    system: str,
    output: Path,
    on_point: Callable[[CurvePoint], None],
) -> None:
    """Train the student on all of `triplets` into `output`; write rejects, metrics and curve. `system` as for
    `fine_tune`."""
    rows = [training_row(triplet) for triplet in triplets]
    result = fine_tune(
        model_folder(base, cache_folder(params.runtime.cache)),
        rows,
        params.training,
        base_id=base.id,
        system=system,
        seed=stage_seed(params.seed, TRAIN),
        output=output,
        stage=TRAIN,
        device=params.runtime.device,
        checkpoints=Path(params.runtime.checkpoints),
        checkpoint_steps=params.runtime.checkpoint_steps,
        on_point=on_point,
    )
    write_result(TRAIN, len(rows), result, Path("metrics/training_curve.csv"))


def write_result(stage: str, incoming: int, result: TrainingResult, curve: Path) -> None:
    """Write data/rejects/STAGE.parquet, metrics/STAGE.json and the curve, a row an optimiser step."""
    write_rejects(Path(f"data/rejects/{stage}.parquet"), result.rejected)
    records = account(stage, incoming, result.rows, result.rejected)
    write_json(Path(f"metrics/{stage}.json"), {"records": records, **result.metrics()})
    with atomic_file(curve) as path, path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([column.name for column in fields(CurvePoint)])
        writer.writerows(astuple(point) for point in result.curve)


def training_row(triplet: Triplet) -> TrainingRow:
    """What a student is trained on of a triplet."""
    return TrainingRow(
        triplet.id, triplet.prompt, triplet.response, tuple(triplet.labels), tuple(triplet.probabilities)
    )
