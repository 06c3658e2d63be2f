"""Stage predict_difficulty: in mode proxy, how hard the pairs that were not asked are likely to be."""

from compeffdist.accounting import account
from compeffdist.artefacts import INSTRUCTIONS, PAIRS, PREDICTED, PROXY, SCORED, TEXTS, TRIPLETS, WARM_UP
from compeffdist.given import Given, Made
from compeffdist.proxy.predict_difficulty import predict_difficulty, scored_part
from compeffdist.record_streams import stream_records
from compeffdist.records import Pair, by_id
from compeffdist.student.base import base_student
from compeffdist.triplets import parts


def run(given: Given) -> Made:
    _, base_folder = base_student(given)
    instructions, texts = by_id(given[INSTRUCTIONS]), by_id(given[TEXTS])
    made = list(stream_records(given.path(PAIRS), Pair))
    pairs = parts.in_part(made, parts.PREDICTED)
    found = predict_difficulty(
        [(pair, instructions[pair.instruction_id], texts[pair.text_id]) for pair in pairs],
        scored_part(given[TRIPLETS], given[SCORED]) if pairs else [],
        given.params,
        asked=len(parts.in_part(made, parts.SCORED)),
        warm_up=given[WARM_UP],
        base_folder=base_folder,
        output=given.out(PROXY),
    )
    records = account(given.name, len(pairs), len(found.predicted), found.rejects)
    return Made({PREDICTED: found.predicted}, metrics={"records": records, **found.metrics}, rejects=found.rejects)
