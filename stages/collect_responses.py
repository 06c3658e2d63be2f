"""Stage collect_responses: the teacher answers the pairs that are to be scored; checked answers become triplets."""

from collections import Counter

from compeffdist.accounting import account
from compeffdist.artefacts import INSTRUCTIONS, LABEL_PRIORS, PAIRS, TEACHER, TEXTS, TRIPLETS
from compeffdist.domain import stage_domain
from compeffdist.given import Given, Made
from compeffdist.record_streams import stream_records, written_records
from compeffdist.records import Pair, Reject, Triplet, by_id
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.batch_engine import BatchEngine
from compeffdist.teacher.conversation import Conversation
from compeffdist.triplets.collect_responses import collect_in_blocks
from compeffdist.triplets.parts import SCORED


def run(given: Given) -> Made:
    params, domain = given.params, stage_domain(given)
    pairs = [pair for pair in stream_records(given.path(PAIRS), Pair) if pair.part == SCORED]
    instructions, texts = by_id(given[INSTRUCTIONS]), by_id(given[TEXTS])
    rejects: list[Reject] = []
    types: Counter[str] = Counter()
    # a batch takes hours however large it is: all that can go at once does
    least = len(pairs) if params.teacher.engine == BatchEngine.name else None
    with open_teacher(given.path(TEACHER), params) as teacher, written_records(given.out(TRIPLETS), Triplet) as writer:
        talk = Conversation(teacher, domain, params.teacher, params.seed, given.name)
        for found in collect_in_blocks(
            pairs, instructions, texts, params.responses, domain.monitored, talk, least=least
        ):
            writer.add(found.triplets)
            rejects += found.rejects
            types.update(triplet.task_type for triplet in found.triplets)
        records = account(given.name, len(pairs), writer.count, rejects)
    return Made(
        {LABEL_PRIORS: found.priors.to_json()},
        metrics={
            "records": records,
            "monitored": dict(sorted(Counter(found.monitored.values()).items())),
            "task_types": dict(sorted(types.items())),
            "teacher": teacher.usage(),
        },
        rejects=rejects,
    )
