"""The closed form is the mixed model's: held against its covariance written out and solved row by row."""

import numpy as np
import pytest

from compeffdist.proxy.mixed_ridge import PENALTIES, SHARED, fit_mixed_ridge

INSTRUCTIONS, INPUTS = 5, 4


def covariance(x: np.ndarray, codes: np.ndarray, others: np.ndarray, of: np.ndarray) -> np.ndarray:
    same: np.ndarray = codes[:, None] == of[None]
    return (SHARED + (1 - SHARED) * same) * (x @ others.T)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("skill", [0.0, 1.0])
def test_weights_and_penalty_are_those_of_the_model_solved_plainly(seed: int, skill: float) -> None:
    generator = np.random.default_rng(seed)
    rows = 60
    x = generator.standard_normal((rows, INPUTS)) / np.sqrt(INPUTS)
    codes = generator.integers(0, INSTRUCTIONS - 1, rows)  # the last instruction has no row
    slopes = generator.standard_normal((INSTRUCTIONS, INPUTS))
    target = skill * np.einsum("nd,nd->n", x, slopes[codes]) + 0.5 * generator.standard_normal(rows)

    def left_out(penalty: float) -> float:
        """Mean squared error of each row, predicted from the others."""
        errors = []
        for row in range(rows):
            seen = np.arange(rows) != row
            plain = covariance(x[seen], codes[seen], x[seen], codes[seen]) + penalty * np.eye(rows - 1)
            of_row = covariance(x[[row]], codes[[row]], x[seen], codes[seen])
            errors.append(target[row] - (of_row @ np.linalg.solve(plain, target[seen]))[0])
        return float(np.mean(np.square(errors)))

    found = fit_mixed_ridge(x, codes, target, INSTRUCTIONS)
    best = min(PENALTIES.tolist(), key=left_out)
    assert found.penalty == pytest.approx(best)
    solved = np.linalg.solve(covariance(x, codes, x, codes) + best * np.eye(rows), target)
    new, of = generator.standard_normal((9, INPUTS)), generator.integers(0, INSTRUCTIONS, 9)
    np.testing.assert_allclose(found.predict(new, of), covariance(new, of, x, codes) @ solved, atol=1e-12)
    assert np.array_equal(found.own[-1], np.zeros(INPUTS))
