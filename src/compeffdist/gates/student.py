"""What must hold of the student before it gets alias `candidate`: it is better than its base, and on no task worse.

The last gate, and unlike the others it ends nothing in the middle: a student that fails is still registered, without
the alias, and reported, because both say what went wrong; then the run ends with an error (`verdict`). Figures are
those of metrics/evaluation.json, so that what is judged is what the table shows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from compeffdist.artefacts import EVALUATED, EVALUATION, STUDENT_PREDICTIONS, STUDENT_PROVENANCE, TRAINING
from compeffdist.evaluation.earning import LabelUse, is_balanced, most_given
from compeffdist.evaluation.table import SYSTEMS, difference_cell
from compeffdist.gates.expected import REPORTED, Columns, Expectation, count, largest, no_row, stated
from compeffdist.gates.figures import Figures
from compeffdist.gates.gate import Inputs, Rows
from compeffdist.gates.outcome import Distribution
from compeffdist.given import Given
from compeffdist.params import Params
from compeffdist.params.sections import NonNegativeInt, PositiveInt

GUARDS = (STUDENT_PREDICTIONS, STUDENT_PROVENANCE)
"""Let through when the run ends (`verdict`)."""


class Estimate(Figures):
    """A figure."""

    estimate: float


class Interval(Estimate):
    """And what it may be by chance."""

    low: float
    high: float


class Scores(Figures):
    """Macro-F1 of each system."""

    teacher: Estimate
    base: Estimate
    student: Estimate


class Mean(Figures):
    """Over the tasks."""

    macro_f1: Scores
    student_minus_base: Interval


Counts = Annotated[dict[str, NonNegativeInt], Field(min_length=1)]
"""Label -> rows."""


class Answers(Figures):
    """Labels that each system gives."""

    teacher: Counts
    base: Counts
    student: Counts


class Task(Figures):
    """An evaluation task."""

    rows: PositiveInt
    gold: Counts
    answers: Answers
    student_minus_base_family: Interval

    @model_validator(mode="after")
    def _of_its_labels(self) -> Self:
        if sum(self.gold.values()) != self.rows:
            raise ValueError("gold labels are not those of all rows")
        if any(counts.keys() != self.gold.keys() for counts in self.answers.__dict__.values()):
            raise ValueError("answers and gold have other labels")
        return self


class Evaluation(Figures):
    """What the gate judges."""

    mean: Mean
    tasks: dict[str, Task]


Levers = Mapping[str, object]
"""Name of a knob that makes students better -> its value, for the advice."""


def _levers(params: Params) -> Levers:
    return {
        "pairing.pairs": params.pairing.pairs,
        "sampling.rate": params.sampling.rate,
        "tasks.per_perspective": params.tasks.per_perspective,
        "responses.calibration": params.responses.calibration,
        "label_priors.strength": params.label_priors.strength,
    }


def rows(given: Given) -> Rows:
    return {}


def expectations(seen: Inputs) -> list[Expectation]:
    """Raises UserError if the evaluation lacks figures that are judged."""
    evaluation, (taught_by, responses) = _evaluation(seen), seen.columns(TRAINING, "instruction_id", "response")
    tasks = evaluation["tasks"]
    uses = [most_given(name, task["gold"], task["answers"]["student"]) for name, task in tasks.items()]
    judged = [use for use in uses if is_balanced(tasks[use.task]["gold"])]
    worst = max(judged, key=lambda use: use.share, default=None)
    advice = _advice(taught_by, responses, worst, _levers(seen.given.params))
    return [
        _answered(Counter(row.task for row in seen.read(EVALUATION)), tasks),
        *_gain(seen, evaluation["mean"], advice),
        _worse(seen, tasks, advice),
        _overuse(seen, judged, advice),
        stated("training_rows", len(responses)),
    ]


def distributions(seen: Inputs) -> list[Distribution]:
    return [_labels(name, task) for name, task in _evaluation(seen)["tasks"].items()]


def _evaluation(seen: Inputs) -> Mapping[str, Any]:
    return dict(seen.figures(EVALUATED, Evaluation))


def _named(tasks: Iterable[str]) -> Columns:
    """Tasks, a row each."""
    return Columns([f"task:{name}" for name in tasks])


def _answered(rows: Mapping[str, int], tasks: Mapping[str, Any]) -> Expectation:
    """The figures are of all evaluation rows and of no others."""
    names = sorted(rows.keys() | tasks.keys())
    off = [rows.get(name) != tasks.get(name, {}).get("rows") for name in names]
    advice = f"the figures are not of the rows of {EVALUATION}: run dvc repro -f evaluate_student"
    return no_row("tasks_of_other_rows", _named(names), off, advice)


def _gain(seen: Inputs, mean: Mapping[str, Any], advice: str) -> list[Expectation]:
    gain = mean["student_minus_base"]
    shown = f"the student is not shown to be better than its base, mean gain {difference_cell(gain)}: {advice}"
    return [
        stated("gain", gain["estimate"]),
        stated("gain_low", gain["low"], seen.least("gain_low", above=True), shown),
        stated("gain_high", gain["high"]),
        *(stated(f"macro_f1_{system}", mean["macro_f1"][system]["estimate"]) for system in SYSTEMS),
    ]


def _worse(seen: Inputs, tasks: Mapping[str, Any], advice: str) -> Expectation:
    intervals = {name: task["student_minus_base_family"] for name, task in tasks.items()}
    worse = [interval["high"] < 0 for interval in intervals.values()]
    shown = "; ".join(f"{name} {difference_cell(intervals[name])}" for name in compress(intervals, worse))
    advice = f"the student is worse than its base beyond chance on {shown}: {advice}"
    return count("tasks_worse", _named(intervals), worse, seen.most("worse_tasks"), advice)


def _overuse(seen: Inputs, uses: Sequence[LabelUse], advice: str) -> Expectation:
    """The largest share that one label has; where one is most of the gold, giving it often may be right."""
    worst = max(uses, key=lambda use: use.share, default=None)
    table, shares = _named(use.task for use in uses), [use.share for use in uses]
    bound = seen.most("label_share") if uses else REPORTED
    advice = f"the student gives {worst}: {advice}"
    return largest("largest_label_share", table, shares, bound, advice)


def _advice(taught_by: Sequence[str], responses: Sequence[str], worst: LabelUse | None, levers: Levers) -> str:
    """What to try, with the figures it rests on: rows first, then the label it favours."""
    instructions = len(set(taught_by))
    settings = ", ".join(f"{name} {value}" for name, value in levers.items())
    tries = [f"more rows and instructions than the {len(responses)} of {instructions} it learnt from"]
    if worst is not None:
        answers = Counter(responses)
        tries.append(
            f"look at label {worst.label!r}, which it gives to {worst.share:.0%} of {worst.task} and which is the "
            f"answer of {answers[worst.label]} training rows"
        )
    return f"{'; '.join(tries)} ({settings})"


def _labels(name: str, task: Mapping[str, Any]) -> Distribution:
    """Gold labels of a task beside what each system answers."""
    columns = {"gold": task["gold"], **{system: task["answers"][system] for system in SYSTEMS}}
    rows = [(label, [counts[label] / (task["rows"] or 1) for counts in columns.values()]) for label in task["gold"]]
    return Distribution(f"Labels of {name}", list(columns), rows)
