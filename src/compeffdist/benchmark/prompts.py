"""What a model is asked of a benchmark's row: the task's question, demonstrations, the text."""

import random
from collections.abc import Sequence

from compeffdist.benchmark.rows import BenchmarkRow
from compeffdist.benchmark.tasks import BenchmarkTask
from compeffdist.prompting import inline, with_input


def draw_shots(pool: Sequence[BenchmarkRow], row: BenchmarkRow, shots: int, seed: int) -> list[BenchmarkRow]:
    """Demonstrations for a row, drawn for it alone from rows of another split: as the authors draw them, uniformly and
    afresh for every row, but by the row's id, so that a part of the rows has the same ones.

    Args:
        pool: at least `shots` rows whose text is not the row's.
    """
    others = [one for one in pool if one.text != row.text]
    return random.Random(f"{seed} {row.id}").sample(others, shots)


def benchmark_prompt(task: BenchmarkTask, row: BenchmarkRow, shots: Sequence[BenchmarkRow] = ()) -> str:
    """The user message. Where the question names a target, each demonstration names its own."""
    parts = [task.instruction(row.target)]
    for shot in shots:
        target = f"Target: {inline(shot.target)}\n" if shot.target is not None and "{target}" in task.question else ""
        parts.append(f"{target}Input: {inline(shot.text)}\nOutput: {task.shown(shot.gold)}")
    return with_input("\n\n".join(parts), row.text)
