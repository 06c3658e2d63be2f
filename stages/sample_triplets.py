"""Stage sample_triplets: difficulty-prioritised sampling; every row's inclusion probability and draw is kept."""

from compeffdist.artefacts import PREDICTED, SAMPLED, SCORED, TRIPLETS
from compeffdist.difficulty.drawing import sample_triplets
from compeffdist.given import Given, Made


def run(given: Given) -> Made:
    scored, predicted, triplets = (given.path(artefact) for artefact in (SCORED, PREDICTED, TRIPLETS))
    metrics = sample_triplets(scored, predicted, triplets, given.out(SAMPLED), given.params.sampling, given.seed)
    return Made(metrics=metrics)
