"""What must hold of the student before it gets alias `candidate`: it is better than its base, and on no task worse.

The last gate, and unlike the others it ends nothing in the middle: a student that fails is still registered, without
the alias, and reported, because both say what went wrong; then the run ends with an error (`verdict`). Figures are
those of metrics/evaluation.json, so that what is judged is what the table shows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from compeffdist.artefacts import EVALUATED, EVALUATION, STUDENT_PREDICTIONS, STUDENT_PROVENANCE, TRAINING
from compeffdist.errors import UserError
from compeffdist.evaluation.earning import LabelUse, is_balanced, most_given
from compeffdist.evaluation.table import SYSTEMS, difference_cell
from compeffdist.files import read_jsonl
from compeffdist.gates.expected import Figure, none_of
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.running import Evidence, Measured
from compeffdist.given import Given
from compeffdist.params import Params, StudentGateParams
from compeffdist.records import Triplet

GUARDS = (STUDENT_PREDICTIONS, STUDENT_PROVENANCE)
"""Let through when the run ends (`verdict`)."""
NEEDED = ("gold", "answers", "student_minus_base_family")

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


def gather(given: Given) -> Evidence:
    """The evaluation's figures, the rows they are of, and what the student was trained on.

    Raises:
        UserError: if one of them cannot be read.
    """
    evaluation = given[EVALUATED]
    tasks = evaluation.get("tasks") if isinstance(evaluation, dict) else None
    if not isinstance(tasks, dict) or not all(key in task for task in tasks.values() for key in NEEDED):
        raise UserError(f"{EVALUATED}: lacks figures that gate student judges; run: dvc repro -f evaluate_student")
    rows = Counter(str(row["task"]) for row in read_jsonl(given.path(EVALUATION)))
    training = given[TRAINING]
    return Evidence([], lambda: _measure(rows, evaluation, training, given.params.gates.student, _levers(given.params)))


def _measure(
    rows: Mapping[str, int],
    evaluation: Mapping[str, Any],
    training: Sequence[Triplet],
    bounds: StudentGateParams,
    levers: Levers,
) -> Measured:
    tasks = evaluation["tasks"]
    uses = [most_given(name, task["gold"], task["answers"]["student"]) for name, task in tasks.items()]
    judged = [use for use in uses if is_balanced(tasks[use.task]["gold"])]
    worst = max(judged, key=lambda use: use.share, default=None)
    advice = _advice(training, worst, levers)
    figures = [
        _answered(rows, tasks),
        *_gain(evaluation, bounds, advice),
        _worse(tasks, bounds, advice),
        _overuse(worst, bounds, advice),
        Figure("training_rows", len(training)),
    ]
    return Measured(figures, [_labels(name, task) for name, task in tasks.items()])


def _answered(rows: Mapping[str, int], tasks: Mapping[str, Any]) -> Figure:
    """The figures are of all evaluation rows and of no others."""
    off = [name for name in sorted(rows.keys() | tasks.keys()) if rows.get(name) != tasks.get(name, {}).get("rows")]
    advice = f"the figures are not of the rows of {EVALUATION}: run dvc repro -f evaluate_student"
    return none_of("tasks_of_other_rows", [f"task:{name}" for name in off], advice)


def _gain(evaluation: Mapping[str, Any], bounds: StudentGateParams, advice: str) -> list[Figure]:
    mean = evaluation["mean"]
    gain = mean["student_minus_base"]
    return [
        Figure("gain", gain["estimate"]),
        Figure(
            "gain_low",
            gain["low"],
            low=bounds.gain_low,
            above=True,
            param="gates.student.gain_low",
            advice=f"the student is not shown to be better than its base, mean gain {difference_cell(gain)}: {advice}",
        ),
        Figure("gain_high", gain["high"]),
        *(Figure(f"macro_f1_{system}", mean["macro_f1"][system]["estimate"]) for system in SYSTEMS),
    ]


def _worse(tasks: Mapping[str, Any], bounds: StudentGateParams, advice: str) -> Figure:
    worse = {name: task["student_minus_base_family"] for name, task in tasks.items()}
    worse = {name: interval for name, interval in worse.items() if interval["high"] < 0}
    shown = "; ".join(f"{name} {difference_cell(interval)}" for name, interval in worse.items())
    return Figure(
        "tasks_worse",
        len(worse),
        high=bounds.worse_tasks,
        param="gates.student.worse_tasks",
        advice=f"the student is worse than its base beyond chance on {shown}: {advice}",
        offenders=[f"task:{name}" for name in worse],
    )


def _overuse(worst: LabelUse | None, bounds: StudentGateParams, advice: str) -> Figure:
    if worst is None:  # where one label is most of the gold, giving it often may be right
        return Figure("largest_label_share", None)
    return Figure(
        "largest_label_share",
        worst.share,
        high=bounds.label_share,
        param="gates.student.label_share",
        advice=f"the student gives {worst}: {advice}",
        offenders=[f"task:{worst.task}"],
    )


def _advice(training: Sequence[Triplet], worst: LabelUse | None, levers: Levers) -> str:
    """What to try, with the figures it rests on: rows first, then the label it favours."""
    instructions = len({row.instruction_id for row in training})
    settings = ", ".join(f"{name} {value}" for name, value in levers.items())
    tries = [f"more rows and instructions than the {len(training)} of {instructions} it learnt from"]
    if worst is not None:
        answers = Counter(row.response for row in training)
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
