"""Stage score_difficulty: how hard each triplet is for the warmed-up student, by the rank of its response tokens."""

from itertools import islice

from compeffdist.accounting import account
from compeffdist.artefacts import DIFFICULTY_HISTOGRAM, INSTRUCTIONS, SCORED, TRIPLETS, WARM_UP
from compeffdist.columns import read_columns
from compeffdist.difficulty.score_difficulty import score_in_blocks
from compeffdist.difficulty.summary import Scores, summarise_scores, write_histogram
from compeffdist.given import Given, Made
from compeffdist.instructions.answers import choices
from compeffdist.record_streams import stream_records, whole_groups, written_records
from compeffdist.records import Reject, ScoredTriplet, Triplet
from compeffdist.student.base import base_student
from compeffdist.student.loading import read_provenance, student_id


def run(given: Given) -> Made:
    _, base_folder = base_student(given)
    params, source, warm_up = given.params, given.path(TRIPLETS), given.path(WARM_UP)
    groups = read_columns(source, Triplet, ["instruction_id"], ["instruction_id"])["instruction_id"].to_pylist()
    triplets = stream_records(source, Triplet)
    blocks = (list(islice(triplets, len(places))) for places in whole_groups(groups))
    scores, rejects = Scores(), list[Reject]()
    with written_records(given.out(SCORED), ScoredTriplet, SCORED.columns) as writer:
        for scored, left_out in score_in_blocks(
            blocks,
            len(groups),
            warm_up,
            params.difficulty,
            params.runtime,
            weights=student_id(warm_up),
            system=read_provenance(warm_up)["system_prompt"],
            base_folder=base_folder,
            choices={each.id: labels for each in given[INSTRUCTIONS] if (labels := choices(each))},
        ):
            writer.add(scored)
            scores.add(scored)
            rejects += left_out
    write_histogram(given.out(DIFFICULTY_HISTOGRAM), scores)
    records = account(given.name, len(groups), writer.count, rejects)
    return Made(metrics={"records": records, **summarise_scores(scores)}, rejects=rejects)
