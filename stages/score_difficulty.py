"""Stage score_difficulty: how hard each triplet is for the warmed-up student, by the rank of its response tokens."""

from compeffdist.accounting import account
from compeffdist.artefacts import DIFFICULTY_HISTOGRAM, INSTRUCTIONS, SCORED, TRIPLETS, WARM_UP
from compeffdist.difficulty.score_difficulty import score_triplets
from compeffdist.difficulty.summary import summarise_scores, write_histogram
from compeffdist.given import Given, Made
from compeffdist.instructions.answers import choices
from compeffdist.student.base import base_student
from compeffdist.student.loading import read_provenance, student_id


def run(given: Given) -> Made:
    _, base_folder = base_student(given)
    params, triplets, warm_up = given.params, given[TRIPLETS], given[WARM_UP]
    scored, rejects = score_triplets(
        triplets,
        warm_up,
        params.difficulty,
        params.runtime,
        weights=student_id(warm_up),
        system=read_provenance(warm_up)["system_prompt"],
        base_folder=base_folder,
        choices={each.id: labels for each in given[INSTRUCTIONS] if (labels := choices(each))},
    )
    write_histogram(given.out(DIFFICULTY_HISTOGRAM), scored)
    records = account(given.name, len(triplets), len(scored), rejects)
    return Made({SCORED: scored}, metrics={"records": records, **summarise_scores(scored)}, rejects=rejects)
