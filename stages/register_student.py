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
)
from compeffdist.declaration import gates
from compeffdist.domain import stage_domain
from compeffdist.gates.outcome import LAST, gate_tags, report_of
from compeffdist.given import Given, Made
from compeffdist.models import read_identity
from compeffdist.registry.artifacts import evaluation_attachments
from compeffdist.registry.bounds import to_file
from compeffdist.registry.carrying import carried_by
from compeffdist.registry.register import headline_metrics, register_student, version_tags
from compeffdist.registry.signing import key_file
from compeffdist.student.base import base_student
from compeffdist.texts.draw import draw_texts


def run(given: Given) -> Made:
    base, base_folder = base_student(given)
    params, student, teacher = given.params, given[STUDENT], read_identity(given.path(TEACHER))
    monitored = stage_domain(given).monitored
    gate_states = gate_tags({gate: given[report_of(gate)] for gate in gates()})
    texts = draw_texts(given[TEXTS], params.label_priors, params.seed)
    taught = {triplet.instruction_id for triplet in given[TRAINING]}
    carried = carried_by(
        student, base_folder, given[INSTRUCTIONS], taught, texts, params.label_priors, params.runtime, monitored
    )
    headline = headline_metrics(given.path(EVALUATED))
    predictions, rows = given.path(STUDENT_PREDICTIONS), given.path(EVALUATION)
    registration = register_student(
        student,
        base_folder,
        params.registry,
        version_tags(params, teacher, base, student, headline) | gate_states,
        run_id=given[STUDENT_RUN]["run_id"],
        attachments=evaluation_attachments(predictions, rows, monitored.asked_in(params.evaluation).tasks),
        carried=carried.to_files(len(texts)) | to_file(params.serving),
        earned=gate_states[f"gate.{LAST}"] != "failed",
        private_key=key_file(params.signing.private_key, "signing.private_key"),
    )
    return Made({REGISTRATION: asdict(registration)})
