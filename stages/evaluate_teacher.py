"""Stage evaluate_teacher: the teacher's answers on the evaluation rows; asked once, whatever the student does."""

from compeffdist.artefacts import EVALUATION, TEACHER, TEACHER_PREDICTIONS
from compeffdist.domain import stage_domain
from compeffdist.evaluation.predictions import predict_rows, teacher_scorer
from compeffdist.evaluation.priors import take_out
from compeffdist.given import Given, Made
from compeffdist.teacher.asking import open_teacher, release_engine
from compeffdist.teacher.conversation import Conversation


def run(given: Given) -> Made:
    params, domain = given.params, stage_domain(given)
    with open_teacher(given.path(TEACHER), params) as teacher:
        score = teacher_scorer(Conversation(teacher, domain, params.teacher, params.seed, given.name))
        tasks = domain.monitored.asked_in(params.evaluation)
        answers = predict_rows(given[EVALUATION], tasks, "teacher", teacher.identity.id, score)
    release_engine()  # what follows needs no teacher, and training needs the memory
    predictions = take_out(answers, params.evaluation.tasks, params.label_priors.strength)
    return Made({TEACHER_PREDICTIONS: predictions}, metrics={"rows": len(predictions), "teacher": teacher.usage()})
