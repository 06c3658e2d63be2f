"""Ridge regression with slopes that all instructions share and slopes of each one's own, in closed form.

For a row of instruction c with inputs x:

    y = x . (shared + own_c) + noise,   shared ~ N(0, SHARED I), own_c ~ N(0, (1 - SHARED) I), noise ~ N(0, penalty)

which is the mixed model with random slopes: what rows of other instructions say counts SHARED times what the
instruction's own say. The weights are the posterior means; of the penalties tried, the one with the least
leave-one-out error is taken. With X_c, y_c the rows of an instruction, k = penalty / (1 - SHARED) and V the covariance
of y,

    P_c    = (X_c' X_c + k I)^-1
    M      = (I / SHARED + (k / penalty) sum over c of X_c' X_c P_c)^-1
    u      = M (k / penalty) sum over c of P_c X_c' y_c
    (V^-1 y)_c    = (y_c - X_c P_c X_c' y_c - k X_c P_c u) / penalty
    diag(V^-1)_c  = 1 / penalty - diag(X_c (P_c / penalty + (k / penalty)^2 P_c M P_c) X_c')

    shared = SHARED X' V^-1 y,   own_c = (1 - SHARED) X_c' (V^-1 y)_c
    left-one-out error of row i = (V^-1 y)_i / (V^-1)_ii

Nothing here is larger than (rows, inputs) or (instructions, inputs, inputs): it costs O(rows x inputs^2).
"""

from dataclasses import dataclass

import numpy as np

from compeffdist.arrays import Floats, Integers

SHARED = 0.2
PENALTIES = np.logspace(-1, 3, 17)
"""For inputs whose squared norm is about 1."""


@dataclass(frozen=True)
class MixedRidge:
    """Weights for `inputs` numbers a row."""

    shared: Floats
    """(inputs,)"""
    own: Floats
    """(instructions, inputs): 0 where an instruction has had no row."""
    penalty: float

    def predict(self, x: Floats, codes: Integers) -> Floats:
        """(n,), of rows x (n, inputs) of the instructions `codes` (n,)."""
        return x @ self.shared + np.einsum("nd,nd->n", x, self.own[codes])


def fit_mixed_ridge(x: Floats, codes: Integers, target: Floats, instructions: int) -> MixedRidge:
    """Fit on rows x (n, inputs), of the instructions `codes` (n,), with targets (n,)."""
    order = np.argsort(codes, kind="stable")
    x, codes, target = x[order], codes[order], target[order]
    ends = np.cumsum(np.bincount(codes, minlength=instructions))
    blocks = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    squares = np.array([x[block].T @ x[block] for block in blocks])
    moments = np.array([target[block] @ x[block] for block in blocks])
    tried = []
    for penalty in PENALTIES.tolist():
        ridge = penalty / (1.0 - SHARED)
        identity = np.eye(x.shape[1])
        inverses = np.linalg.inv(squares + ridge * identity)  # P
        middle = np.linalg.inv(identity / SHARED + (squares @ inverses).sum(axis=0) * ridge / penalty)  # M
        fixed = np.einsum("cde,ce->cd", inverses, moments)
        common = middle @ fixed.sum(axis=0) * ridge / penalty  # u
        explained = fixed + ridge * (inverses @ common)
        solved = (target - np.einsum("nd,nd->n", x, explained[codes])) / penalty  # V^-1 y
        forms = inverses / penalty + (ridge / penalty) ** 2 * (inverses @ middle @ inverses)
        leverage = [np.einsum("nd,nd->n", x[block] @ form, x[block]) for block, form in zip(blocks, forms, strict=True)]
        errors = solved / (1.0 / penalty - np.concatenate(leverage))
        own = np.array([solved[block] @ x[block] for block in blocks])
        weights = MixedRidge(SHARED * own.sum(axis=0), (1.0 - SHARED) * own, penalty)
        tried.append((float(np.mean(errors**2)), weights))
    return min(tried, key=lambda one: one[0])[1]
