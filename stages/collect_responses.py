"""Stage collect_responses: the teacher answers the pairs that are to be scored; checked answers become triplets."""

from collections import Counter

from compeffdist.accounting import account
from compeffdist.artefacts import INSTRUCTIONS, LABEL_PRIORS, PAIRS, TEACHER, TEXTS, TRIPLETS
from compeffdist.domain import stage_domain
from compeffdist.given import Given, Made
from compeffdist.records import by_id
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation
from compeffdist.triplets.collect_responses import collect_responses
from compeffdist.triplets.parts import SCORED, in_part


def run(given: Given) -> Made:
    params, domain, pairs = given.params, stage_domain(given), in_part(given[PAIRS], SCORED)
    instructions, texts = by_id(given[INSTRUCTIONS]), by_id(given[TEXTS])
    with open_teacher(given.path(TEACHER), params) as teacher:
        talk = Conversation(teacher, domain, params.teacher, params.seed, given.name)
        found = collect_responses(pairs, instructions, texts, params.responses, domain.monitored, talk)
    return Made(
        {TRIPLETS: found.triplets, LABEL_PRIORS: found.priors.to_json()},
        metrics={
            "records": account(given.name, len(pairs), len(found.triplets), found.rejects),
            "monitored": dict(sorted(Counter(found.monitored.values()).items())),
            "task_types": dict(sorted(Counter(triplet.task_type for triplet in found.triplets).items())),
            "teacher": teacher.usage(),
        },
        rejects=found.rejects,
    )
