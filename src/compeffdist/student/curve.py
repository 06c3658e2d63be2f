"""The curve of a training, as it grows: kept, handed on, and drawn as a line of progress."""

from collections.abc import Callable
from dataclasses import dataclass

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


class Curve:
    """Keeps the points of a training of `stage`, hands each to `on_point`, and draws the progress line."""

    def __init__(self, stage: str, on_point: Callable[[CurvePoint], None] | None = None) -> None:
        self.stage, self.on_point = stage, on_point
        self.points: list[CurvePoint] = []
        self.replayed = 0
        """Points of an earlier run that this one goes on from."""
        self.progress: Progress | None = None
        self.tokens = 0

    def begin(self, steps: int, tokens: int) -> None:
        """A training over so many steps and tokens begins."""
        self.progress, self.tokens = Progress(f"{self.stage}: steps", steps), tokens

    def add(self, point: CurvePoint, earlier: bool = False) -> None:
        """A step was done, by this run or an `earlier` one."""
        if earlier:
            self.replayed += 1
        if self.progress is not None and earlier:
            self.progress.skip(1)
        elif self.progress is not None:
            self.progress.advance(1, tokens=self.tokens // self.progress.total)
        self.points.append(point)
        if self.on_point is not None:
            self.on_point(point)

    def end(self) -> None:
        """The training ended."""
        if self.progress is not None:
            self.progress.__exit__()
