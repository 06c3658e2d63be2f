"""Stage warm_up_student: train the base student briefly on a random part, so that it can score difficulty."""

from pathlib import Path

from compeffdist.domain import domain_of
from compeffdist.models import read_identity
from compeffdist.params import load_params
from compeffdist.record_files import read_records
from compeffdist.records import Triplet
from compeffdist.running import run_stage
from compeffdist.student.runs import warm_up_student
from compeffdist.teacher.asking import release_engine


def main() -> None:
    release_engine()
    params = load_params()
    warm_up_student(
        read_records(Path("data/triplets.parquet"), Triplet),
        read_identity(Path("models/student.json")),
        params,
        domain_of(params).system_prompts.student,
        Path("models/warmup"),
    )


if __name__ == "__main__":
    run_stage(main)
