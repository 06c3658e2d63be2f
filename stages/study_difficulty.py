"""Stage study_difficulty: the scores as a page: distribution, other measures, real rows of every decile."""

from compeffdist.artefacts import DIFFICULTY_PAGE, SCORED, TRIPLETS
from compeffdist.given import Given, Made
from compeffdist.study.findings import study_scores
from compeffdist.study.page import render


def run(given: Given) -> Made:
    study = study_scores(given.path(SCORED), given.path(TRIPLETS), given.seed)
    return Made({DIFFICULTY_PAGE: render(study)}, metrics=study.to_json())
