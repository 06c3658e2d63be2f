"""Stage register_student: a model version that is proved to load and answer; alias `candidate` if it has earned it."""

from dataclasses import asdict

from compeffdist.artefacts import (
    EVALUATED,
    EVALUATION,
    INSTRUCTIONS,
    REGISTRATION,
    STUDENT,
    STUDENT_PREDICTIONS,
    STUDENT_RUN,
    TEACHER,
    TEXTS,
    TRAINING,
    TRAINING_CURVE,
)
from compeffdist.columns import distinct
from compeffdist.declaration import gates
from compeffdist.domain import stage_domain
from compeffdist.gates.outcome import LAST, gate_tags, report_of
from compeffdist.given import Given, Made
from compeffdist.models import read_identity
from compeffdist.registry.artifacts import evaluation_attachments
from compeffdist.registry.bounds import to_file
from compeffdist.registry.carrying import carried_by
from compeffdist.registry.describing import description
from compeffdist.registry.register import headline_metrics, register_student, version_tags
from compeffdist.registry.showing import show_version
from compeffdist.registry.signing import key_file
from compeffdist.student.base import base_student
from compeffdist.texts.draw import draw_texts


def run(given: Given) -> Made:
    base, base_folder = base_student(given)
    params, student, texts, evaluation = given.params, given[STUDENT], given[TEXTS], given[EVALUATED]
    teacher, monitored = read_identity(given.path(TEACHER)), stage_domain(given).monitored
    gate_states = gate_tags({gate: given[report_of(gate)] for gate in gates()})
    drawn = draw_texts(texts, params.label_priors, params.seed)
    taught = distinct(given.path(TRAINING), TRAINING.kind, "instruction_id")
    asked_of = given[INSTRUCTIONS], taught, drawn
    carried = carried_by(student, base_folder, *asked_of, params.label_priors, params.runtime, monitored)
    tags = version_tags(params, teacher, base, student, headline_metrics(evaluation)) | gate_states
    attached = given.path(STUDENT_PREDICTIONS), given.path(EVALUATION), monitored.asked_in(params.evaluation).tasks
    registration = register_student(
        student,
        base_folder,
        params.registry,
        tags,
        run_id=given[STUDENT_RUN]["run_id"],
        attachments=evaluation_attachments(*attached),
        carried=carried.to_files(len(drawn)) | to_file(params.serving),
        earned=gate_states[f"gate.{LAST}"] != "failed",
        private_key=key_file(params.signing.private_key, "signing.private_key"),
    )
    said = description(params, teacher, base, student, texts, len(taught), evaluation, tags)
    show_version(registration, evaluation, given.path(TRAINING_CURVE), said)
    return Made({REGISTRATION: asdict(registration)})
