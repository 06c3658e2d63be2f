"""Stage pair_texts: which instruction is applied to which text, and which pairs are asked whatever comes."""

from compeffdist.artefacts import CLUSTERS, INSTRUCTIONS, MENTIONS, PAIRS, TEXTS
from compeffdist.given import Given, Made
from compeffdist.triplets.pair_texts import pair_texts, pairing_metrics
from compeffdist.triplets.parts import assign_parts, part_counts


def run(given: Given) -> Made:
    params, instructions, texts = given.params, given[INSTRUCTIONS], given[TEXTS]
    limits = {own.name: own.texts for own in params.tasks.own if own.texts}
    is_matched = params.pairing.method == "matched"
    mentions, perspectives = (given[MENTIONS], given[CLUSTERS]) if is_matched else ([], [])
    pairs, rejects = pair_texts(instructions, texts, params.pairing, given.seed, mentions, perspectives, limits)
    pairs = assign_parts(pairs, params.difficulty, given.seed)
    metrics = pairing_metrics(pairs, rejects, instructions, texts, params.pairing)
    return Made({PAIRS: pairs}, metrics={**metrics, "parts": part_counts(pairs)}, rejects=rejects)
