"""Stage train_student: fine-tune the base student on the training set, in an MLflow run."""

from pathlib import Path

from compeffdist.domain import domain_of
from compeffdist.files import write_json
from compeffdist.models import read_identity
from compeffdist.params import load_params
from compeffdist.record_files import read_records
from compeffdist.records import Triplet
from compeffdist.registry.tracking import log_curve_point, training_run
from compeffdist.running import run_stage
from compeffdist.student.runs import TRAIN, train_student
from compeffdist.teacher.asking import release_engine


def main() -> None:
    release_engine()
    params = load_params()
    system = domain_of(params).system_prompts.student
    triplets = read_records(Path("data/training.parquet"), Triplet)
    teacher, base = (read_identity(Path(f"models/{role}.json")) for role in ("teacher", "student"))
    with training_run(TRAIN, params, teacher.id, base.id) as run_id:
        train_student(triplets, base, params, system, Path("models/student"), log_curve_point)
    write_json(Path("models/student_run.json"), {"run_id": run_id, "experiment": params.registry.experiment})


if __name__ == "__main__":
    run_stage(main)
