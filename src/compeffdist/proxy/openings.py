"""Which answer the teacher would begin, and how hard that beginning would be: a model of an answer that is not there.

An opening is the first token of an answer. With a closed label set it tells the answer, and the ranking score of a
label's first token is nearly the row's; where all answers open alike it tells nothing. For a row of instruction c
whose student gives opening a the log-probability l(a), and inputs x:

    q(a) = softmax over a of  log share_c(a) + bias_ca + (slope + slope_c) (l(a) - mean_c l(a)) + w_ca . x
    expected = sum over a of q(a) s(a)

where a runs over the openings of the instruction's answers, the most frequent ones (`MOST_OPENINGS`), share_c(a) is how
often (each counted SMOOTHING times more), and s(a) the ranking score a would have in this row. Rarer openings are not
modelled: for an instruction that has many, q is given one of those listed. Biases, slopes and w are the maximum of the
likelihood of the openings given, with a normal prior about 0 of unit precision for each (SLOPE_PRECISION for what all
instructions share): the more answers an instruction has had, the further it departs from the student's own belief.
The maximum is unique; it is found by L-BFGS from 0.
"""

from dataclasses import dataclass

import numpy as np

from compeffdist.arrays import Floats, Integers

SMOOTHING = 0.5
SLOPE_PRECISION = 0.1
MOST_STEPS = 200
"""A bound on a fit that hardly moves any more; that of 5,000 rows which follow the model comes to rest before it."""
HISTORY = 10
"""Steps L-BFGS remembers, each as large as all parameters."""


@dataclass(frozen=True)
class OpeningModel:
    """A fitted model; `openings` are places in each instruction's list."""

    biases: Floats
    """(instructions, openings): log share and bias together; -inf where the instruction has had no such answer."""
    slopes: Floats
    """(instructions,)"""
    weights: Floats
    """(instructions, openings, inputs)"""

    def shares(self, x: Floats, log_p: Floats, codes: Integers) -> Floats:
        """q, (n, openings), of rows x (n, inputs) of the instructions `codes` (n,), `log_p` (n, openings) less the
        instruction's mean; 0 for all openings of an instruction that has had no answer."""
        logits = self.biases[codes] + self.slopes[codes, None] * log_p
        for code in np.unique(codes):
            places = np.flatnonzero(codes == code)
            logits[places] += x[places] @ self.weights[code].T
        highest = logits.max(axis=1, keepdims=True)
        masses = np.exp(logits - np.where(np.isfinite(highest), highest, 0.0))
        total = masses.sum(axis=1, keepdims=True)
        return np.divide(masses, total, out=np.zeros_like(masses), where=total > 0.0)


def fit_openings(x: Floats, log_p: Floats, codes: Integers, given: Integers, instructions: int) -> OpeningModel:
    """Fit on answered rows, as for `OpeningModel.shares`; `given` (n,) are the places of the answers' openings in their
    instructions' lists."""
    import torch

    counts = np.zeros((instructions, log_p.shape[1]))
    np.add.at(counts, (codes, given), 1.0)
    there = counts > 0.0
    share = (counts + SMOOTHING) / np.maximum((counts + SMOOTHING * there).sum(axis=1, keepdims=True), 1.0)
    priors = np.where(there, np.log(share), -np.inf)

    inputs, beliefs, rows = torch.from_numpy(x), torch.from_numpy(log_p), torch.from_numpy(codes)
    truth, base = torch.from_numpy(given)[:, None], torch.from_numpy(priors)[rows]
    shapes = [(1,), (instructions,), counts.shape, (*counts.shape, x.shape[1])]
    slope, own, bias, weights = (torch.zeros(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    optimiser = torch.optim.LBFGS(
        [slope, own, bias, weights],
        max_iter=MOST_STEPS,
        history_size=HISTORY,
        tolerance_grad=1e-5,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        optimiser.zero_grad()
        linear = torch.einsum("nad,nd->na", weights[rows], inputs)
        logits = base + bias[rows] + (slope + own[rows])[:, None] * beliefs + linear
        loss = -logits.log_softmax(dim=1).gather(1, truth).sum()
        loss = loss + 0.5 * (SLOPE_PRECISION * slope.square().sum() + own.square().sum())
        loss = loss + 0.5 * (bias.square().sum() + weights.square().sum())
        loss.backward()
        return loss

    optimiser.step(objective)
    with torch.no_grad():
        return OpeningModel(priors + bias.numpy(), (slope + own).numpy(), weights.numpy())
