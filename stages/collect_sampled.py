"""Stage collect_sampled: the kept triplets become the training set; kept pairs without an answer are asked first."""

from compeffdist.accounting import account
from compeffdist.artefacts import INSTRUCTIONS, LABEL_PRIORS, PAIRS, SAMPLED, TEACHER, TEXTS, TRAINING, TRIPLETS
from compeffdist.domain import stage_domain
from compeffdist.given import Given, Made
from compeffdist.instructions.calibration import read_priors
from compeffdist.record_streams import stream_records, written_records
from compeffdist.records import Draw, Pair, Triplet, by_id
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation
from compeffdist.triplets.collect_responses import collect_responses
from compeffdist.triplets.collect_sampled import asked_of_the_teacher, kept_triplets


def run(given: Given) -> Made:
    params, domain, pairs = given.params, stage_domain(given), list(stream_records(given.path(PAIRS), Pair))
    draws = [draw for draw in stream_records(given.path(SAMPLED), Draw) if draw.kept]
    kept, unanswered = kept_triplets(draws, stream_records(given.path(TRIPLETS), Triplet), pairs)
    instructions, texts = by_id(given[INSTRUCTIONS]), by_id(given[TEXTS])
    priors = read_priors(given.path(LABEL_PRIORS))
    with open_teacher(given.path(TEACHER), params) as teacher:
        # in mode direct nothing is unanswered: the store is opened, no engine started
        talk = Conversation(teacher, domain, params.teacher, params.seed, given.name)
        bought = collect_responses(unanswered, instructions, texts, params.responses, domain.monitored, talk, priors)
    triplets = [*kept, *bought.triplets]
    with written_records(given.out(TRAINING), Triplet) as writer:
        writer.add(triplets)
    return Made(
        metrics={
            "records": account(given.name, len(draws), len(triplets), bought.rejects),
            "asked": asked_of_the_teacher(pairs, unanswered),
            "teacher": teacher.usage(),
        },
        rejects=bought.rejects,
    )
