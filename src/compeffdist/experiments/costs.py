"""What a run of an experiment will take: which stages, about how many answers of the teacher, how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from compeffdist.artefacts import metrics_of
from compeffdist.costs.expected import EXPECTED, expected_questions
from compeffdist.costs.plan import last_run
from compeffdist.experiments.plan import Run
from compeffdist.experiments.results import TRAINED, Results
from compeffdist.files import read_json, read_jsonl
from compeffdist.progress import clock


@dataclass(frozen=True)
class Estimate:
    """Of one run."""

    run: Run
    made: bool
    """Whether it is there already."""
    stages: tuple[str, ...] = ()
    """That it runs, gates apart."""
    questions: int = 0
    """To the teacher in these stages, about. Those in store or record cost nothing."""
    seconds: float | None = None
    """None if nothing was measured yet."""


def estimate(run: Run, results: Results, times: Path) -> Estimate:
    """What one run would take.

    Args:
        times: JSON lines with `experiment`, `arm` and `seconds` of runs that were made here. Of runs of this arm, else
            of this experiment, else of all the mean is taken; without any, the training of the working folder's run.
    """
    if results.find(run):
        return Estimate(run, made=True)
    names = [stage.name for stage in results.changed(run) if not stage.gate]
    measured = list(read_jsonl(times)) if times.exists() else []
    alike = (
        [one["seconds"] for one in measured if one["experiment"] == run.experiment and one["arm"] == run.arm],
        [one["seconds"] for one in measured if one["experiment"] == run.experiment],
        [one["seconds"] for one in measured],
        [seconds for seconds in [_training_seconds(results)] if seconds],
    )
    seconds = next((mean(found) for found in alike if found), None)
    last = last_run(results.repository.root)
    questions = sum(expected_questions(name, run.params, last) for name in names if name in EXPECTED)
    return Estimate(run, made=False, stages=tuple(names), questions=questions, seconds=seconds)


def seconds_taken(runs: Sequence[Run], times: Path) -> float | None:
    """What runs took that were made here, all together; None if one of them was not."""
    measured = list(read_jsonl(times)) if times.exists() else []
    took = {(one["experiment"], one["arm"], one["seed"]): one["seconds"] for one in measured}
    found = [took.get((run.experiment, run.arm, run.seed)) for run in runs]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if known and len(known) == len(runs) else None


def plan_lines(estimates: Sequence[Estimate]) -> list[str]:
    """What is to be made, a line for runs of the same stages."""
    groups: dict[tuple[str, ...], list[Estimate]] = {}
    for one in estimates:
        if not one.made:
            groups.setdefault(one.stages, []).append(one)
    lines = []
    for stages, those in groups.items():
        arms = ", ".join(dict.fromkeys(one.run.arm for one in those))
        seeds = ", ".join(dict.fromkeys(str(one.run.seed) for one in those))
        lines.append(f"{arms} (seeds {seeds}): {', '.join(stages) or 'as the run in this folder'}")
    return lines


def total_line(estimates: Sequence[Estimate]) -> str:
    """All of them in a line. The seeds of an arm share its answers."""
    missing = [one for one in estimates if not one.made]
    times = [one.seconds for one in missing if one.seconds is not None]
    asked = sum({(one.run.experiment, one.run.arm): one.questions for one in missing}.values())
    time = f", about {clock(sum(times))}" if len(times) == len(missing) and times else ""
    answers = f"about {asked} answers, of which those in store and record cost nothing" if asked else "no answers"
    return f"{len(estimates)} runs, {len(missing)} to make: {answers}{time}"


def _training_seconds(results: Results) -> float | None:
    """Of the working folder's run."""
    path = results.repository.root / metrics_of(TRAINED)
    value = read_json(path) if path.exists() else None
    return value.get("seconds") if isinstance(value, dict) else None
