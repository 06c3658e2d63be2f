"""Stage warm_up_student: train the base student briefly on a random part, so that it can score difficulty."""

from compeffdist.artefacts import TRIPLETS, WARM_UP, WARM_UP_CURVE
from compeffdist.domain import stage_domain
from compeffdist.given import Given, Made
from compeffdist.student.runs import train, warm_up_rows


def run(given: Given) -> Made:
    rows = warm_up_rows(given.path(TRIPLETS), given.params)
    system = stage_domain(given).system_prompts.student
    return train(given, rows, given.params.warm_up.training, system, WARM_UP, WARM_UP_CURVE)
