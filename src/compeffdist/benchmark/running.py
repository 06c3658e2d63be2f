"""A benchmark from folder to figures: `compeffdist evaluate --benchmark FOLDER`."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.benchmark.asking import Asked, ask_task, open_respondent
from compeffdist.benchmark.cost import Usage, costs
from compeffdist.benchmark.figures import TaskResult, judge, report
from compeffdist.benchmark.official import check_official
from compeffdist.benchmark.rows import BenchmarkRow, load_benchmark_rows
from compeffdist.benchmark.tasks import BenchmarkTask, load_benchmark_tasks, task_folder
from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.models.references import short
from compeffdist.params import EvaluationParams, Prices, RuntimeParams

SHOWN_FROM = "train"
"""The split that demonstrations are drawn from."""
SEEDS = (42, 52, 62)
"""The authors' own."""


@dataclass(frozen=True)
class Settings:
    """What is asked, of which rows."""

    folder: Path
    names: list[str] | None = None
    """Tasks; None for all."""
    split: str = "val"
    shots: int = 0
    limit: int | None = None
    """The first rows of each task; None for all."""
    seeds: Sequence[int] = SEEDS
    official: bool = False
    """Whether answers are counted as the benchmark's authors count them."""


def run_benchmark(
    models: Sequence[str],
    settings: Settings,
    runtime: RuntimeParams,
    base: str,
    seed: int,
    out: Path | None,
    prices: Prices | None = None,
) -> dict[str, Any]:
    """Ask each model about each task; see `figures.report`. Every row is read before the first model is loaded.

    Args:
        out: a JSON Lines file for every answer; None for none.
        prices: by which `cost` of the report says what the answers cost (`cost.costs`); None: it has none.

    Raises:
        UserError: as the readers of tasks, rows and models, and `check_official`; fewer rows to show than `shots`.
    """
    every = load_benchmark_tasks(task_folder())
    tasks = load_benchmark_tasks(task_folder(), settings.names)
    families: dict[str, list[str]] = defaultdict(list)
    for task in every:
        families[task.family].append(task.name)
    rows = {task.name: load_benchmark_rows(settings.folder, task, settings.split)[: settings.limit] for task in tasks}
    for task in tasks if settings.official else []:
        check_official(task, rows[task.name])
    pools = {task.name: _pool(settings, task) for task in tasks}
    answers: dict[str, dict[str, Asked]] = {}
    used: dict[str, Usage] = {}
    for reference in models:
        with open_respondent(reference, runtime, base) as model:
            answers[reference] = {
                task.name: ask_task(
                    model,
                    task,
                    rows[task.name],
                    pools[task.name],
                    settings.shots,
                    settings.seeds,
                    f"{task.name} by {short(reference)}",
                )
                for task in tasks
            }
            used[reference] = model.usage(list(answers[reference].values()))
    results: dict[str, dict[str, TaskResult]] = {
        model: {task.name: judge(task, rows[task.name], own[task.name], settings.official) for task in tasks}
        for model, own in answers.items()
    }
    if out is not None:
        _write_answers(out, tasks, rows, answers)
    intervals = EvaluationParams.model_fields
    figures = report(
        tasks,
        results,
        {name: len(own) for name, own in rows.items()},
        families,
        resamples=intervals["bootstrap"].default,
        confidence=intervals["confidence"].default,
        seed=seed,
    )
    asked = {
        "folder": str(settings.folder),
        "split": settings.split,
        "parity": "official" if settings.official else None,
        "shots": settings.shots,
        "seeds": list(settings.seeds if settings.shots else settings.seeds[:1]),
    }
    return {"benchmark": asked, **figures, **({"cost": costs(prices, used)} if prices is not None else {})}


def _pool(settings: Settings, task: BenchmarkTask) -> list[BenchmarkRow]:
    if not settings.shots:
        return []
    pool = load_benchmark_rows(settings.folder, task, SHOWN_FROM)
    if len({row.text for row in pool}) <= settings.shots:
        raise UserError(
            f"{settings.folder / task.name}: fewer rows of {SHOWN_FROM} than --shots {settings.shots} wants"
        )
    return pool


def _write_answers(
    out: Path,
    tasks: Sequence[BenchmarkTask],
    rows: Mapping[str, Sequence[BenchmarkRow]],
    answers: Mapping[str, Mapping[str, Asked]],
) -> None:
    """A line an answer: model, task, row, seed, gold, and `logprobs` of labels or the `answer` as it was written."""
    with atomic_file(out) as draft, draft.open("w", encoding="utf-8") as lines:
        for model, own in answers.items():
            for task in tasks:
                for seed, said in own[task.name].answers.items():
                    for row, answer in zip(rows[task.name], said, strict=True):
                        told = {"answer" if isinstance(answer, str) else "logprobs": answer}
                        line = {
                            "model": model,
                            "task": task.name,
                            "row": row.id,
                            "seed": seed,
                            "gold": row.gold,
                            **told,
                        }
                        lines.write(json.dumps(line, ensure_ascii=False) + "\n")
