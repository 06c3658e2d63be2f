"""A small world of sound artefacts, made from the real record classes, in which tests plant one fault at a time."""

import csv
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from compeffdist.artefacts import (
    ATTRIBUTES,
    CLUSTERS,
    DEMONSTRATIONS,
    EVALUATED,
    EVALUATION,
    INSTRUCTIONS,
    PAIRS,
    PREDICTED,
    REGISTRATION,
    SAMPLED,
    SCORED,
    STUDENT_PREDICTIONS,
    STUDENT_PROVENANCE,
    TASKS,
    TEXTS,
    TRAINING,
    TRAINING_CURVE,
    TRIPLETS,
    WARM_UP_CURVE,
    metrics_of,
)
from compeffdist.artefacts import rejects_of as rejects_at
from compeffdist.canonical import canonical_json, hash_text
from compeffdist.difficulty.sample_triplets import sample_triplets
from compeffdist.evaluation.summary import summarise
from compeffdist.files import read_jsonl, write_jsonl
from compeffdist.instructions.own_tasks import seed_task
from compeffdist.instructions.write_demonstrations import build_instructions
from compeffdist.params import DemonstrationsParams, EvaluationParams, EvaluationTask, SamplingParams
from compeffdist.record_files import write_perspectives
from compeffdist.records import Draw, EvaluationRow, Instruction, Prediction, Reject, Task, Text, Triplet, by_id
from compeffdist.triplets.collect_sampled import kept_triplets
from tests.factories import (
    make_attribute,
    make_demonstration,
    make_pair,
    make_perspective,
    make_prediction,
    make_row,
    make_score,
    make_task,
    make_text,
    make_triplet,
)
from tests.fakes import SENTIMENT

COUNT = 60
LABELS = ["warm", "cool", "cold"]
COUNTS = [8, 7, 6, 5, 4, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1]
POLARITIES = SENTIMENT.monitored.labels
CONVERGED = {"converged": True, "iterations": 120}
FALLING = [2.0, 1.9, 1.2, 0.9, 0.7, 0.6]
EVALUATION_TASKS, EVALUATED_ROWS, CLASSES = ("films", "probe"), 40, ["negative", "positive"]
PROBE = "Nobody at the counter could say when the replacement lamp would finally arrive from the warehouse."
"""An evaluation text."""


def make_world() -> None:
    """Every artefact that a gate reads, in the working folder."""
    make_texts([_text(number) for number in range(COUNT)])
    make_clusters()
    make_tasks()
    make_triplets()
    make_scores()
    make_sample()
    make_training()
    make_evaluation()


def make_texts(texts: Sequence[Text]) -> None:
    """Texts with one rejected row beside them, counted right."""
    reject = Reject(stage="ingest_texts", record_id="shop:99", reason="too_short", detail="shop:99")
    counts = {"in": len(texts) + 1, "sources": {"shop": {"in": len(texts) + 1, "out": len(texts), "rejected": 1}}}
    rows = [_evaluation_row(task, number) for task in EVALUATION_TASKS for number in range(EVALUATED_ROWS)]
    TEXTS.write(texts)
    rejects_at("ingest_texts").write([reject])
    EVALUATION.write(rows)
    metrics_of("ingest_texts").write(counts)


def make_clusters(
    sizes: Sequence[int] = (4, 4, 4, 4),
    counts: Sequence[int] = COUNTS,
    coherence: float = 0.7,
    member_coherence: Sequence[float] = (0.7,),
    **diagnostics: Any,
) -> None:
    """Attributes in perspectives of these sizes."""
    attributes = [make_attribute(f"attribute {number}", count) for number, count in enumerate(counts)]
    waiting, perspectives = list(attributes), []
    for size in sizes:
        members, waiting = waiting[:size], waiting[size:]
        alike = member_coherence[len(perspectives) % len(member_coherence)]
        perspectives.append(make_perspective(*members, coherence=coherence, member_coherence=alike))
    ATTRIBUTES.write(attributes)
    write_perspectives(Path(CLUSTERS), perspectives, CONVERGED | diagnostics)


def make_tasks(tasks: Sequence[Task] | None = None) -> None:
    """Tasks (by default three types over all perspectives), two demonstrations of each closed one, instructions."""
    tasks = default_tasks() if tasks is None else tasks
    demonstrations = [
        make_demonstration(task, f"It felt {label}.", output=label)
        for task in tasks
        if task.perspective_id and task.type == "closed_classification"
        for label in task.labels[:2]
    ]
    params = DemonstrationsParams(calls=1, per_task=2, shown=1)
    TASKS.write(tasks)
    DEMONSTRATIONS.write(demonstrations)
    INSTRUCTIONS.write(build_instructions(tasks, demonstrations, params, 1))
    for stage, out in (("generate_tasks", len(tasks)), ("write_demonstrations", len(demonstrations))):
        rejects_at(stage).write([])
        metrics_of(stage).write({"records": {"in": out, "out": out, "rejected": 0}})


def default_tasks() -> list[Task]:
    """The seed task, and a closed, a scoring or an extraction task of each perspective."""
    perspectives = [perspective.id for perspective in CLUSTERS.read()]
    kinds: list[dict[str, Any]] = [{"labels": LABELS}, {"type": "scoring"}, {"type": "extraction"}]
    made = [
        make_task(perspective_id=key, name=f"task {place}", description=f"Do number {place}.", **kinds[place % 3])
        for place, key in enumerate(perspectives)
    ]
    return [seed_task(SENTIMENT.monitored), *made]


def make_triplets(answer: Callable[[Instruction, int], str] | None = None) -> None:
    """Every instruction with every text, answered but for one pair; `answer` gets an instruction and the place of a
    text."""
    triplets = [
        make_triplet(
            instruction, text, response=(answer or usual_answer)(instruction, place), monitored=POLARITIES[place % 3]
        )
        for instruction in INSTRUCTIONS.read()
        for place, text in enumerate(TEXTS.read())
    ]
    pairs = [make_pair(instruction_id=one.instruction_id, text_id=one.text_id) for one in triplets]
    PAIRS.write(pairs)
    TRIPLETS.write(triplets[1:])
    rejects_of("collect_responses", [pairs[0].id], "no_answer")


def usual_answer(instruction: Instruction, place: int) -> str:
    """The answers that fit, in turn."""
    fit = {"closed_classification": instruction.labels, "scoring": ["1", "3", "5"]}.get(instruction.type, ['["a"]'])
    return fit[place % len(fit)]


def make_scores(difficulty: Callable[[Triplet, float], float] | None = None) -> None:
    """A score of every triplet, by default by chance; `difficulty` gets a triplet and a number in [0, 1)."""
    chance = random.Random(7)
    triplets = TRIPLETS.read()
    rankings = [(triplet, chance.random()) for triplet in triplets]
    if difficulty:
        rankings = [(triplet, difficulty(triplet, number)) for triplet, number in rankings]
    known = {"tokens": 3, "miss_rate": 0.5, "nucleus_miss_rate": 0.1}
    scored = [make_score(triplet, ranking, perplexity=1.0 + ranking, **known) for triplet, ranking in rankings]
    SCORED.write(scored)
    rejects_at("score_difficulty").write([])
    write_curve(Path(WARM_UP_CURVE), FALLING)


def make_sample(method: Literal["soft", "hard"] = "soft", **sampling: float) -> None:
    """A draw from the scores as the stage makes it; nothing is predicted."""
    PREDICTED.write([])
    draw(method, **sampling)


def draw(method: Literal["soft", "hard"] = "soft", **sampling: float) -> None:
    """A draw from what is scored and predicted."""
    params = SamplingParams.model_validate({"method": method, **sampling})
    sample_triplets(*map(Path, (SCORED, PREDICTED, TRIPLETS, SAMPLED)), params, 11)


def changed_draws(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Every draw as `change` makes it of the row that it was."""
    rows = [draw.to_row() for draw in SAMPLED.read()]
    SAMPLED.write([Draw(**change(row) | {"id": ""}) for row in rows])


def make_training() -> None:
    """The training set, and the card of a student trained on it but for one row that was too long."""
    draws = SAMPLED.read()
    chosen, _ = kept_triplets(draws, TRIPLETS.read(), PAIRS.read())
    TRAINING.write(chosen)
    rejects_at("collect_sampled").write([])
    triplets = by_id(chosen)
    kept = sorted(triplets)
    contents = [[key, triplets[key].prompt, triplets[key].response] for key in kept[1:]]
    card = {
        "rows": len(contents),
        "training_set_sha256": hash_text(canonical_json(contents)),
        "triplet_ids_sha256": hash_text(canonical_json([content[0] for content in contents])),
    }
    STUDENT_PROVENANCE.write(card)
    rejects_of("train_student", kept[:1], "too_long")
    write_curve(Path(TRAINING_CURVE), FALLING)


def make_evaluation(
    student: Mapping[str, int] | int = 36,
    says: str = "",
    gold: Callable[[int], str] = lambda place: CLASSES[place % 2],
    registered: bool = True,
) -> None:
    """Figures of an evaluation by the real code, in which the base student is right in half of the rows.

    Args:
        student: rows that the student gets right, of each task; by task, where they differ.
        says: the label the student gives to all other rows too, in place of the wrong one.
        gold: label of a task's row, by its number.
        registered: whether there is a registration.
    """
    right = student if isinstance(student, Mapping) else dict.fromkeys(EVALUATION_TASKS, student)
    labels = {task: [gold(number) for number in range(EVALUATED_ROWS)] for task in EVALUATION_TASKS}
    rows = {
        task: [_evaluation_row(task, number, label) for number, label in enumerate(found)]
        for task, found in labels.items()
    }
    EVALUATION.write([row for own in rows.values() for row in own])
    correct = {
        "teacher": dict.fromkeys(EVALUATION_TASKS, 38),
        "base": dict.fromkeys(EVALUATION_TASKS, 20),
        "student": right,
    }
    predictions = {
        system: [
            _prediction(row, system, place < correct[system][task], says if system == "student" else "")
            for task, own in rows.items()
            for place, row in enumerate(own)
        ]
        for system in correct
    }
    tasks = [
        EvaluationTask(name=task, location="x", labels=CLASSES, rows=EVALUATED_ROWS, subject="text")
        for task in EVALUATION_TASKS
    ]
    EVALUATED.write(summarise(predictions, EvaluationParams(tasks=tasks), 1))
    STUDENT_PREDICTIONS.write(predictions["base"] + predictions["student"])
    if registered:
        REGISTRATION.write({"model_name": "m", "version": 4, "alias": "candidate"})


def write_curve(target: Path, losses: Sequence[float]) -> None:
    """A loss curve as the training stages write it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["step", "loss", "learning_rate", "gradient_norm"])
        writer.writerows([step, loss, 1e-5, 1.0] for step, loss in enumerate(losses, 1))


# ---------------------------------------------------------------- planting by hand


def edit(path: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Change the raw rows of an artefact, past all checks of `write_records`."""
    if path.endswith(".jsonl"):
        write_jsonl(Path(path), change(list(read_jsonl(Path(path)))))
        return
    table = pq.read_table(path)
    loose = pa.schema([field.with_nullable(True) for field in table.schema], table.schema.metadata)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=loose), path)


def read_rows(path: str) -> list[dict[str, Any]]:
    """The raw rows of a Parquet file."""
    return list(pq.read_table(path).to_pylist())


def without_column(path: str, column: str) -> None:
    """Take a column away."""
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([column]), path)


def add_text(text: str) -> Text:
    """One more text, counted right."""
    row = make_text(text, source_row="999")
    make_texts([*TEXTS.read(), row])
    return row


def rejects_of(stage: str, ids: Sequence[str], reason: str = "planted") -> None:
    """Rejects of a stage."""
    rejects_at(stage).write([Reject(stage=stage, record_id=key, reason=reason) for key in ids])


# ---------------------------------------------------------------- records


def _text(number: int) -> Text:
    things, moods = ("kettle", "blanket", "radio", "ladder"), ("splendid", "dull", "faulty", "cosy", "loud")
    text = f"My {things[number % 4]} from stall {number} turned out {moods[number % 5]} after week {number * 7}."
    return make_text(text, domain=("shop", "market")[number % 2], source_row=str(number))


def _evaluation_row(task: str, number: int, label: str = "negative") -> EvaluationRow:
    text = (
        PROBE
        if (task, number) == (EVALUATION_TASKS[-1], 0)
        else f"Row {number} of the set {task}, which nobody else wrote."
    )
    return make_row(task, text, label, source_row=str(number))


def _prediction(row: EvaluationRow, system: str, right: bool, says: str) -> Prediction:
    wrong = says or CLASSES[1 - CLASSES.index(row.label)]
    predicted = row.label if right else wrong
    probabilities = [0.9 if label == predicted else 0.1 for label in CLASSES]
    return make_prediction(row, system, predicted, system_id=f"{system}_s", probabilities=probabilities)
