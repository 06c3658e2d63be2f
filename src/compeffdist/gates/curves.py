"""Whether a training run learnt: its loss curve, read from the CSV its stage wrote."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from compeffdist.errors import UserError
from compeffdist.gates.expected import SOME, Bound, Columns, Expectation, aggregate, figure, no_row, row_count


@aggregate
def first_third(losses: Sequence[float]) -> float:
    """Mean loss over the first third of the steps; thirds, because a step is one batch and its loss is noisy."""
    return fmean(losses[: max(len(losses) // 3, 1)]) if losses else math.nan


@aggregate
def last_third(losses: Sequence[float]) -> float:
    """Mean loss over the last third; of fewer than three steps, the last."""
    return fmean(losses[-max(len(losses) // 3, 1) :]) if losses else math.nan


@aggregate
def loss_ratio(losses: Sequence[float]) -> float:
    """Loss over the last third to that over the first."""
    first = first_third(losses)
    return last_third(losses) / first if first else math.nan


def learnt(run: str, curve: Path, ratio: Bound, advice: str) -> list[Expectation]:
    """Every loss is a number, and there is less of it in the end than in the beginning.

    Raises:
        UserError: if the curve is missing or is none.
    """
    found = losses(curve)
    steps = Columns([f"step {step}" for step in range(1, len(found) + 1)], {"loss": found})
    broken = [not math.isfinite(loss) for loss in found]
    return [
        row_count(f"{run}.steps", steps, SOME, advice),
        no_row(f"{run}.losses_not_finite", steps, broken, advice),
        figure(f"{run}.first_third_loss", steps, first_third, ["loss"]),
        figure(f"{run}.last_third_loss", steps, last_third, ["loss"]),
        figure(f"{run}.loss_ratio", steps, loss_ratio, ["loss"], ratio, advice),
    ]


def losses(curve: Path) -> list[float]:
    """Of every step. Raises UserError if the curve is missing or is none."""
    try:
        with curve.open(encoding="utf-8", newline="") as stream:
            return [float(row["loss"]) for row in csv.DictReader(stream)]
    except FileNotFoundError:
        raise UserError(f"{curve}: no such file; run the stage that writes it (dvc repro)") from None
    except (KeyError, TypeError, ValueError, csv.Error):
        raise UserError(f"{curve}: not a curve with a column of losses; run the stage that writes it again") from None
