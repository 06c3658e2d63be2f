"""Stage evaluate_teacher: the teacher's answers on the evaluation rows; asked once, whatever the student does."""

from compeffdist.artefacts import EVALUATION, TEACHER, TEACHER_PREDICTIONS
from compeffdist.evaluation.predictions import predict_rows, teacher_scorer
from compeffdist.evaluation.priors import take_out
from compeffdist.given import Given, Made
from compeffdist.teacher.asking import open_teacher, release_engine


def run(given: Given) -> Made:
    params = given.params
    with open_teacher(given.path(TEACHER), params) as teacher:
        score = teacher_scorer(teacher, params.teacher)
        answers = predict_rows(given[EVALUATION], params.evaluation, "teacher", teacher.identity.id, score)
    release_engine()  # what follows needs no teacher, and training needs the memory
    predictions = take_out(answers, params.evaluation.tasks, params.label_priors.strength)
    return Made({TEACHER_PREDICTIONS: predictions}, metrics={"rows": len(predictions), "teacher": teacher.usage()})
