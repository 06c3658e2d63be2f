"""Stage train_student: fine-tune the base student on the training set, in an MLflow run."""

from dataclasses import replace

from compeffdist.artefacts import BASE, STUDENT, STUDENT_RUN, TEACHER, TRAINING, TRAINING_CURVE
from compeffdist.domain import stage_domain
from compeffdist.given import Given, Made
from compeffdist.models import read_identity
from compeffdist.record_streams import stream_records
from compeffdist.records import Triplet
from compeffdist.registry.tracking import log_curve_point, training_run
from compeffdist.student.runs import train, training_row


def run(given: Given) -> Made:
    params = given.params
    rows = [training_row(triplet) for triplet in stream_records(given.path(TRAINING), Triplet)]
    teacher, base = (read_identity(given.path(identity)) for identity in (TEACHER, BASE))
    system = stage_domain(given).system_prompts.student
    with training_run(given.name, params, teacher, base, given.path(TRAINING)) as run_id:
        made = train(given, rows, params.training, system, STUDENT, TRAINING_CURVE, log_curve_point)
    return replace(made, outs={STUDENT_RUN: {"run_id": run_id, "experiment": params.registry.experiment}})
