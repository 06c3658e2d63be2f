"""Whether a training run learnt: its loss curve, read from the CSV its stage wrote."""

import csv
import math
from pathlib import Path
from statistics import fmean

from compeffdist.errors import UserError
from compeffdist.gates.expected import SOME, Columns, Expectation, figure, no_row, row_count
from compeffdist.gates.outcome import Bound


def learnt(run: str, curve: Path, ratio: Bound, advice: str) -> list[Expectation]:
    """Every loss is a number, and there is less of it in the end than in the beginning. Raises UserError if the curve
    is missing or is none."""
    losses = _losses(curve)
    third = max(len(losses) // 3, 1)  # thirds, because a step is one batch and its loss is noisy
    first, last = losses[:third], losses[-third:]
    steps = Columns([f"step {step}" for step in range(1, len(losses) + 1)])
    broken = [not math.isfinite(loss) for loss in losses]
    return [
        row_count(f"{run}.steps", steps, SOME, advice),
        no_row(f"{run}.losses_not_finite", steps, broken, advice),
        figure(f"{run}.first_third_loss", lambda: _mean(first)),
        figure(f"{run}.last_third_loss", lambda: _mean(last)),
        figure(f"{run}.loss_ratio", lambda: _mean(last) / _mean(first) if _mean(first) else None, ratio, advice),
    ]


def _mean(losses: list[float]) -> float:
    return fmean(losses) if losses else math.nan


def _losses(curve: Path) -> list[float]:
    try:
        with curve.open(encoding="utf-8", newline="") as stream:
            return [float(row["loss"]) for row in csv.DictReader(stream)]
    except FileNotFoundError:
        raise UserError(f"{curve}: no such file; run the stage that writes it (dvc repro)") from None
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{curve}: not a curve with a column of losses; run the stage that writes it again") from None
