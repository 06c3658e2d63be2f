"""Stage sample_triplets: difficulty-prioritised sampling; every row's inclusion probability and draw is kept."""

from compeffdist.artefacts import INSTRUCTIONS, PREDICTED, SAMPLED, SCORED, TRIPLETS
from compeffdist.difficulty.sample_triplets import sample_triplets
from compeffdist.given import Given, Made
from compeffdist.instructions.own_tasks import is_own


def run(given: Given) -> Made:
    scored, predicted, triplets = (given.path(artefact) for artefact in (SCORED, PREDICTED, TRIPLETS))
    own = {instruction.id for instruction in given[INSTRUCTIONS] if is_own(instruction)}
    metrics = sample_triplets(scored, predicted, triplets, given.out(SAMPLED), given.params.sampling, given.seed, own)
    return Made(metrics=metrics)
