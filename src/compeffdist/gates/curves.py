"""Whether a training run learnt: its loss curve, read from the CSV its stage wrote."""

import csv
import math
from pathlib import Path
from statistics import fmean

from compeffdist.errors import UserError
from compeffdist.gates.expected import Figure, none_of


def curve_figures(run: str, curve: Path, ratio: float | None, param: str, advice: str) -> list[Figure]:
    """Every loss is a number, and the last third of the steps has less of it than the first, by at least `ratio`.

    Thirds, because a step is one batch and its loss is noisy; of fewer than three steps, the first and the last.
    """
    losses = _losses(curve)
    broken = [f"step {step}" for step, loss in enumerate(losses, 1) if not math.isfinite(loss)]
    third = max(len(losses) // 3, 1)
    first, last = (fmean(part) if part else math.nan for part in (losses[:third], losses[-third:]))
    return [
        Figure(f"{run}.steps", len(losses), low=1, advice=advice),
        none_of(f"{run}.losses_not_finite", broken, advice),
        Figure(f"{run}.first_third_loss", first),
        Figure(f"{run}.last_third_loss", last),
        Figure(f"{run}.loss_ratio", last / first if first else math.nan, high=ratio, param=param, advice=advice),
    ]


def _losses(curve: Path) -> list[float]:
    try:
        with curve.open(encoding="utf-8", newline="") as stream:
            return [float(row["loss"]) for row in csv.DictReader(stream)]
    except FileNotFoundError:
        raise UserError(f"{curve}: no such file; run the stage that writes it (dvc repro)") from None
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{curve}: not a curve with a column of losses; run the stage that writes it again") from None
