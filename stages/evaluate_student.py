"""Stage evaluate_student: base student and student on the evaluation rows, held against the teacher."""

from pathlib import Path

from compeffdist.artefacts import EVALUATED, EVALUATION, STUDENT, STUDENT_PREDICTIONS, TEACHER_PREDICTIONS
from compeffdist.domain import stage_domain
from compeffdist.evaluation.kept import keeping_scorer
from compeffdist.evaluation.predictions import Scorer, predict_rows, student_scorer
from compeffdist.evaluation.priors import take_out
from compeffdist.evaluation.summary import summarise
from compeffdist.given import Given, Made
from compeffdist.student.base import base_student
from compeffdist.student.loading import student_id


def run(given: Given) -> Made:
    base, base_folder = base_student(given)
    params, rows, student, domain = given.params, given[EVALUATION], given[STUDENT], stage_domain(given)
    evaluation, strength = domain.monitored.asked_in(params.evaluation), params.label_priors.strength
    predictions = {"teacher": given[TEACHER_PREDICTIONS]}
    runtime, prompt = params.runtime, domain.system_prompts.student

    def scorer(system: str, folder: Path) -> Scorer:
        return student_scorer(folder, base_folder, runtime, f"evaluation of the {system}", prompt)

    asked = {
        "base": (base.id, keeping_scorer(lambda: scorer("base", base_folder), base.id, runtime, prompt)),
        "student": (student_id(student), scorer("student", student)),
    }
    for system, (system_id, score) in asked.items():
        answers = predict_rows(rows, evaluation, system, system_id, score)
        predictions[system] = take_out(answers, evaluation.tasks, strength)
    return Made(
        {
            STUDENT_PREDICTIONS: predictions["base"] + predictions["student"],
            EVALUATED: summarise(predictions, evaluation, params.seed, strength),
        }
    )
