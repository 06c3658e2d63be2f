"""A small world of sound artefacts, made from the real record classes, in which tests plant one fault at a time."""

import csv
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from compeffdist.difficulty.sample_triplets import sample_triplets
from compeffdist.evaluation.summary import summarise
from compeffdist.files import canonical_json, hash_text, read_json, read_jsonl, write_json, write_jsonl
from compeffdist.instructions.own_tasks import seed_task
from compeffdist.instructions.write_demonstrations import build_instructions
from compeffdist.params import DemonstrationsParams, EvaluationParams, EvaluationTask, SamplingParams
from compeffdist.record_files import read_records, write_perspectives, write_records
from compeffdist.records import (
    Attribute,
    Demonstration,
    Draw,
    EvaluationRow,
    Instruction,
    Pair,
    Perspective,
    PredictedDifficulty,
    Prediction,
    Reject,
    ScoredTriplet,
    Task,
    Text,
    Triplet,
    by_id,
)
from compeffdist.triplets.collect_sampled import kept_triplets
from tests.factories import make_score, write_scored
from tests.fakes import SENTIMENT

TEXTS = 60
LABELS = ["warm", "cool", "cold"]
COUNTS = [8, 7, 6, 5, 4, 4, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1]
CONVERGED = {"converged": True, "iterations": 120}
FALLING = [2.0, 1.9, 1.2, 0.9, 0.7, 0.6]
EVALUATED, EVALUATED_ROWS, CLASSES = ("films", "probe"), 40, ["negative", "positive"]
PROBE = "Nobody at the counter could say when the replacement lamp would finally arrive from the warehouse."
"""An evaluation text."""


def make_world() -> None:
    """Every artefact that a gate reads, in the working folder."""
    make_texts([_text(number) for number in range(TEXTS)])
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
    counts = {"in": len(texts) + 1, "sources": {"shop": {"in": len(texts) + 1, "out": len(texts)}}}
    rows = [_evaluation_row(task, number) for task in EVALUATED for number in range(EVALUATED_ROWS)]
    write_records(Path("data/texts.parquet"), Text, texts)
    write_records(Path("data/rejects/ingest_texts.parquet"), Reject, [reject])
    write_records(Path("data/evaluation.jsonl"), EvaluationRow, rows)
    write_json(Path("metrics/ingest_texts.json"), counts)


def make_clusters(
    sizes: Sequence[int] = (4, 4, 4, 4),
    counts: Sequence[int] = COUNTS,
    coherence: float = 0.7,
    member_coherence: Sequence[float] = (0.7,),
    **diagnostics: Any,
) -> None:
    """Attributes in perspectives of these sizes."""
    attributes = [_attribute(number, count) for number, count in enumerate(counts)]
    waiting, perspectives = list(attributes), []
    for size in sizes:
        members, waiting = waiting[:size], waiting[size:]
        alike = member_coherence[len(perspectives) % len(member_coherence)]
        perspectives.append(_perspective(members, coherence, alike))
    write_records(Path("data/attributes.parquet"), Attribute, attributes)
    write_perspectives(Path("data/clusters.json"), perspectives, CONVERGED | diagnostics)


def make_tasks(tasks: Sequence[Task] | None = None) -> None:
    """Tasks (by default three types over all perspectives), two demonstrations of each closed one, instructions."""
    tasks = default_tasks() if tasks is None else tasks
    demonstrations = [
        Demonstration(task_id=task.id, input=f"It felt {label}.", output=label, answer_id="a", reference_text_ids=[])
        for task in tasks
        if task.perspective_id and task.type == "closed_classification"
        for label in task.labels[:2]
    ]
    params = DemonstrationsParams(calls=1, per_task=2, shown=1)
    write_records(Path("data/tasks.jsonl"), Task, tasks)
    write_records(Path("data/demonstrations.jsonl"), Demonstration, demonstrations)
    write_records(Path("data/instructions.jsonl"), Instruction, build_instructions(tasks, demonstrations, params, 1))
    for stage, out in (("generate_tasks", len(tasks)), ("write_demonstrations", len(demonstrations))):
        write_records(Path(f"data/rejects/{stage}.parquet"), Reject, [])
        write_json(Path(f"metrics/{stage}.json"), {"records": {"in": out, "out": out, "rejected": 0}})


def default_tasks() -> list[Task]:
    """The seed task, and a closed, a scoring or an extraction task of each perspective."""
    perspectives = [Perspective(**row).id for row in read_json(Path("data/clusters.json"))["perspectives"]]
    schema = canonical_json({"type": "array", "items": {"type": "string"}})
    kinds: list[dict[str, Any]] = [
        {"type": "closed_classification", "labels": LABELS},
        {"type": "scoring", "score_range": [1, 5]},
        {"type": "extraction", "json_schema": schema},
    ]
    made = [
        Task(perspective_id=key, name=f"task {place}", description=f"Do number {place}.", **kinds[place % 3])
        for place, key in enumerate(perspectives)
    ]
    return [seed_task(SENTIMENT.monitored), *made]


def make_triplets(answer: Callable[[Instruction, int], str] | None = None) -> None:
    """Every instruction with every text, answered but for one pair."""
    texts = read_records(Path("data/texts.parquet"), Text)
    instructions = read_records(Path("data/instructions.jsonl"), Instruction)
    pairs = [Pair(instruction_id=i.id, text_id=t.id, method="random") for i in instructions for t in texts]
    place = {text.id: number for number, text in enumerate(texts)}
    prompts = by_id(instructions)
    triplets = [_triplet(pair, prompts[pair.instruction_id], place[pair.text_id], answer) for pair in pairs[1:]]
    reject = Reject(stage="collect_responses", record_id=pairs[0].id, reason="no_answer")
    write_records(Path("data/pairs.parquet"), Pair, pairs)
    write_records(Path("data/triplets.parquet"), Triplet, triplets)
    write_records(Path("data/rejects/collect_responses.parquet"), Reject, [reject])


def make_scores(difficulty: Callable[[Triplet, float], float] | None = None) -> None:
    """A score of every triplet, by default by chance; `difficulty` gets a triplet and a number in [0, 1)."""
    chance = random.Random(7)
    triplets = read_records(Path("data/triplets.parquet"), Triplet)
    rankings = [(triplet, chance.random()) for triplet in triplets]
    scored = [_score(t, difficulty(t, number) if difficulty else number) for t, number in rankings]
    write_scored(Path("data/scored.parquet"), scored)
    write_records(Path("data/rejects/score_difficulty.parquet"), Reject, [])
    write_curve(Path("metrics/warm_up_curve.csv"), FALLING)


def make_sample(method: Literal["soft", "hard"] = "soft") -> None:
    """A draw from the scores as the stage makes it; nothing is predicted."""
    write_records(Path("data/predicted.parquet"), PredictedDifficulty, [])
    draw(method)


def draw(method: Literal["soft", "hard"] = "soft") -> None:
    """A draw from what is scored and predicted."""
    files = (Path(f"data/{name}.parquet") for name in ("scored", "predicted", "triplets", "sampled"))
    sample_triplets(*files, SamplingParams(method=method), 11)


def changed_draws(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Every draw as `change` makes it of the row that it was."""
    """Alter draws and give them the ids of their new contents."""
    rows = [draw.to_row() for draw in read_records(Path("data/sampled.parquet"), Draw)]
    write_records(Path("data/sampled.parquet"), Draw, [Draw(**change(row) | {"id": ""}) for row in rows])


def make_training() -> None:
    """The training set, and the card of a student trained on it but for one row that was too long."""
    draws = read_records(Path("data/sampled.parquet"), Draw)
    chosen, _ = kept_triplets(
        draws, read_records(Path("data/triplets.parquet"), Triplet), read_records(Path("data/pairs.parquet"), Pair)
    )
    write_records(Path("data/training.parquet"), Triplet, chosen)
    write_records(Path("data/rejects/collect_sampled.parquet"), Reject, [])
    triplets = by_id(chosen)
    kept = sorted(triplets)
    contents = [[key, triplets[key].prompt, triplets[key].response] for key in kept[1:]]
    card = {
        "rows": len(contents),
        "training_set_sha256": hash_text(canonical_json(contents)),
        "triplet_ids_sha256": hash_text(canonical_json([content[0] for content in contents])),
    }
    write_json(Path("models/student/student.json"), card)
    reject = Reject(stage="train_student", record_id=kept[0], reason="too_long")
    write_records(Path("data/rejects/train_student.parquet"), Reject, [reject])
    write_curve(Path("metrics/training_curve.csv"), FALLING)


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
    right = student if isinstance(student, Mapping) else dict.fromkeys(EVALUATED, student)
    labels = {task: [gold(number) for number in range(EVALUATED_ROWS)] for task in EVALUATED}
    rows = {
        task: [_evaluation_row(task, number, label) for number, label in enumerate(found)]
        for task, found in labels.items()
    }
    write_records(Path("data/evaluation.jsonl"), EvaluationRow, [row for own in rows.values() for row in own])
    correct = {"teacher": dict.fromkeys(EVALUATED, 38), "base": dict.fromkeys(EVALUATED, 20), "student": right}
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
        for task in EVALUATED
    ]
    write_json(Path("metrics/evaluation.json"), summarise(predictions, EvaluationParams(tasks=tasks), 1))
    write_records(Path("data/student_predictions.parquet"), Prediction, predictions["base"] + predictions["student"])
    if registered:
        write_json(Path("metrics/registration.json"), {"model_name": "m", "version": 4, "alias": "candidate"})


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
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)


def read_rows(path: str) -> list[dict[str, Any]]:
    """The raw rows of a Parquet file."""
    return list(pq.read_table(path).to_pylist())


def without_column(path: str, column: str) -> None:
    """Take a column away."""
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([column]), path)


def add_text(text: str) -> Text:
    """One more text, counted right."""
    row = Text(text=text, domain="shop", source="shop", source_row="999", licence="MIT")
    make_texts([*read_records(Path("data/texts.parquet"), Text), row])
    return row


def rejects_of(stage: str, ids: Sequence[str]) -> None:
    """Rejects of a stage."""
    rows = [Reject(stage=stage, record_id=key, reason="planted") for key in ids]
    write_records(Path(f"data/rejects/{stage}.parquet"), Reject, rows)


# ---------------------------------------------------------------- records


def _text(number: int) -> Text:
    things, moods = ("kettle", "blanket", "radio", "ladder"), ("splendid", "dull", "faulty", "cosy", "loud")
    text = f"My {things[number % 4]} from stall {number} turned out {moods[number % 5]} after week {number * 7}."
    return Text(text=text, domain=("shop", "market")[number % 2], source="shop", source_row=str(number), licence="MIT")


def _evaluation_row(task: str, number: int, label: str = "negative") -> EvaluationRow:
    text = (
        PROBE if (task, number) == (EVALUATED[-1], 0) else f"Row {number} of the set {task}, which nobody else wrote."
    )
    return EvaluationRow(task=task, text=text, label=label, source_row=str(number), licence="MIT")


def _prediction(row: EvaluationRow, system: str, right: bool, says: str) -> Prediction:
    wrong = says or CLASSES[1 - CLASSES.index(row.label)]
    predicted = row.label if right else wrong
    return Prediction(
        row_id=row.id,
        task=row.task,
        system=system,
        system_id=f"{system}_s",
        gold=row.label,
        predicted=predicted,
        probabilities=[0.9 if label == predicted else 0.1 for label in CLASSES],
    )


def _attribute(number: int, count: int) -> Attribute:
    name = f"attribute {number}"
    return Attribute(name=name, count=count, text_count=count, raw_names=[name], descriptions=["What it is."])


def _perspective(members: Sequence[Attribute], coherence: float, member_coherence: float) -> Perspective:
    return Perspective(
        member_ids=[member.id for member in members],
        member_names=[member.name for member in members],
        member_counts=[member.count for member in members],
        exemplar=members[0].name,
        total_count=sum(member.count for member in members),
        coherence=coherence,
        member_coherence=member_coherence,
    )


def _triplet(
    pair: Pair, instruction: Instruction, place: int, answer: Callable[[Instruction, int], str] | None
) -> Triplet:
    usual = {"closed_classification": instruction.labels, "scoring": ["1", "3", "5"]}.get(instruction.type, ['["a"]'])
    return Triplet(
        pair_id=pair.id,
        instruction_id=pair.instruction_id,
        text_id=pair.text_id,
        teacher_id="model_fake",
        decoding_id="greedy",
        answer_id="answer_fake",
        prompt=f"{instruction.prompt}\n\nInput: {pair.text_id}\nOutput:",
        response=answer(instruction, place) if answer else usual[place % len(usual)],
        monitored=SENTIMENT.monitored.labels[place % 3],
        task_type=instruction.type,
        task_name=instruction.task_name,
    )


def _score(triplet: Triplet, ranking: float) -> ScoredTriplet:
    return make_score(triplet, ranking, perplexity=1.0 + ranking, tokens=3, miss_rate=0.5, nucleus_miss_rate=0.1)
