"""The training curve: one point an optimiser step, shown as progress while it grows."""

from collections.abc import Callable
from dataclasses import dataclass

from compeffdist.errors import UserError
from compeffdist.progress import Progress


@dataclass(frozen=True)
class CurvePoint:
    """One optimiser step."""

    step: int
    loss: float
    """Mean negative log-likelihood of the response tokens of the step, in nats; with soft targets, cross-entropy."""
    learning_rate: float
    gradient_norm: float
    """Before clipping."""


class Recorder:
    """Keeps the curve and draws the progress line; the trainer's callback feeds it."""

    def __init__(self, stage: str, tokens: int, on_point: Callable[[CurvePoint], None] | None) -> None:
        self.stage, self.tokens, self.on_point = stage, tokens, on_point
        self.points: list[CurvePoint] = []
        self.replayed = 0
        """Points of an earlier run that this one goes on from."""
        self.progress: Progress | None = None

    def begin(self, steps: int) -> None:
        """Training starts; `steps` optimiser steps are ahead."""
        self.progress = Progress(f"{self.stage}: steps", steps)

    def replay(self, point: CurvePoint) -> None:
        """An optimiser step that was done before this run."""
        self.replayed += 1
        self.points.append(point)
        if self.progress is not None:
            self.progress.skip(1)
        if self.on_point is not None:
            self.on_point(point)

    def record(self, point: CurvePoint) -> None:
        """One optimiser step is done. Raises UserError if its loss is not a number."""
        if point.loss != point.loss or point.loss in (float("inf"), float("-inf")):
            raise UserError(f"{self.stage}: the loss is {point.loss} at step {point.step}; lower the learning_rate")
        self.points.append(point)
        if self.progress is not None:
            self.progress.advance(1, tokens=self.tokens // self.progress.total)
        if self.on_point is not None:
            self.on_point(point)

    def end(self) -> None:
        """Training is over."""
        if self.progress is not None:
            self.progress.__exit__()
