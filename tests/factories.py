"""Records for tests, one function a type: each is valid as it stands, and any field is said by its name.

    instruction, text = make_instruction(make_task("scoring")), make_text("It leaks.")
    triplet = make_triplet(instruction, text, response="5")
    draw = make_draw(make_score(triplet, 0.9), kept=True)

A record is made of its parents: they are the arguments without a name, made too where they are not given, and what a
field repeats of them (ids, prompts, types) is read off them by the code under test. A test of one function may name
ids in place of parents: make_pair(text_id="t1"). A finished run of such records, on disk: `mini_run.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compeffdist.instructions.rendering import instruction_prompt, with_text
from compeffdist.measures.registry import COLUMNS, MEASURES
from compeffdist.record_files import write_records
from compeffdist.records import (
    Attribute,
    Demonstration,
    Draw,
    EvaluationRow,
    Instruction,
    Mention,
    Pair,
    Perspective,
    PredictedDifficulty,
    Prediction,
    ScoredTriplet,
    Task,
    Text,
    Triplet,
)

LABELS = ["good", "bad"]
ANSWERED_BY: dict[str, dict[str, Any]] = {
    "closed_classification": {"labels": LABELS},
    "scoring": {"score_range": [1, 5]},
    "extraction": {"json_schema": '{"items":{"type":"string"},"type":"array"}', "exact_spans": True},
    "structured": {"json_schema": '{"properties":{"cause":{"type":"string"}},"type":"object"}'},
}
"""By type of task, what says which answers fit; of the other types any words do."""


def make_text(text: str = "The battery lasts two days.", **fields: Any) -> Text:
    """A text of a user."""
    return Text(**({"text": text, "domain": "shop", "source": "shop", "source_row": "1", "licence": "MIT"} | fields))


def make_mention(text: Text | None = None, *names: str, **fields: Any) -> Mention:
    """Names of one attribute in a text."""
    given = list(names) or ["battery life"]
    known = {"text_id": (text or make_text()).id, "answer_id": "answer", "position": 0, "raw_name": "/".join(given)}
    said = {"names": given, "description": "how long a charge lasts", "value": "two days"}
    return Mention(**(known | said | fields))


def make_attribute(name: str = "battery life", count: int = 3, **fields: Any) -> Attribute:
    """An attribute that `count` texts mention."""
    known = {"name": name, "count": count, "text_count": count, "raw_names": [name]}
    return Attribute(**(known | {"descriptions": [f"what is said of the {name}"]} | fields))


def make_perspective(*members: Attribute | str, **fields: Any) -> Perspective:
    """A perspective of attributes or of names of such, the first of which is its exemplar."""
    attributes = [make_attribute(one) if isinstance(one, str) else one for one in members or ("battery life",)]
    counts = [one.count for one in attributes]
    known = {
        "member_ids": [one.id for one in attributes],
        "member_names": [one.name for one in attributes],
        "member_counts": counts,
        "exemplar": attributes[0].name,
        "total_count": sum(counts),
        "coherence": 1.0,
    }
    return Perspective(**(known | fields))


def make_task(type: str = "closed_classification", **fields: Any) -> Task:
    """A task of a type, on a perspective of one attribute."""
    known = {"name": "battery verdict", "description": "Judge the battery.", "type": type}
    made = known | ANSWERED_BY.get(type, {}) | fields
    return Task(**({"perspective_id": make_perspective().id} | made))


def make_demonstration(task: Task | None = None, input: str = "It died at noon.", **fields: Any) -> Demonstration:
    """An example of a task, answered with its first label."""
    task = task or make_task()
    known = {"task_id": task.id, "input": input, "output": (*task.labels, "low")[0], "answer_id": "answer"}
    return Demonstration(**(known | {"reference_text_ids": [make_text().id]} | fields))


def make_instruction(task: Task | None = None, *shown: Demonstration, **fields: Any) -> Instruction:
    """A task with the demonstrations that it shows."""
    task = task or make_task()
    known = {
        "task_id": task.id,
        "perspective_id": task.perspective_id,
        "demonstration_ids": [one.id for one in shown],
        "prompt": instruction_prompt(task.description, task, [(one.input, one.output) for one in shown]),
        "task_name": task.name,
    }
    form = {name: getattr(task, name) for name in ("type", "labels", "score_range", "json_schema", "exact_spans")}
    return Instruction(**(known | form | fields))


def make_pair(instruction: Instruction | None = None, text: Text | None = None, **fields: Any) -> Pair:
    """An instruction to be applied to a text."""
    known = {"instruction_id": (instruction or make_instruction()).id, "text_id": (text or make_text()).id}
    return Pair(**(known | {"method": "random"} | fields))


def make_triplet(instruction: Instruction | None = None, text: Text | None = None, **fields: Any) -> Triplet:
    """An instruction, a text and the teacher's answer, by default the first label; the teacher did not weigh labels."""
    instruction, text = instruction or make_instruction(), text or make_text()
    known = {
        "instruction_id": instruction.id,
        "text_id": text.id,
        "teacher_id": "model_teacher",
        "decoding_id": "greedy",
        "answer_id": "answer",
        "prompt": with_text(instruction.prompt, text.text),
        "response": (*instruction.labels, "quite good")[0],
        "task_type": instruction.type,
        "task_name": instruction.task_name,
        "monitored": "neutral",
    }
    made = known | fields
    pair = make_pair(instruction_id=made["instruction_id"], text_id=made["text_id"])
    return Triplet(**({"pair_id": pair.id} | made))


def make_score(
    triplet: Triplet | None = None,
    ranking: float = 0.5,
    *,
    triplet_id: str = "",
    pair_id: str = "",
    instruction_id: str = "",
    scorer_id: str = "scorer",
    **measures: float | None,
) -> ScoredTriplet:
    """A score of a triplet; both variants of the ranking score are `ranking`, any other measure is at its lowest."""
    triplet = triplet or make_triplet()
    lowest = {name: one.low if one.needs == "response" else None for name, one in MEASURES.items()}
    variants = {"ranking_excluding_zero": ranking, "ranking_all": ranking}
    return ScoredTriplet(
        triplet_id=triplet_id or triplet.id,
        pair_id=pair_id or triplet.pair_id,
        instruction_id=instruction_id or triplet.instruction_id,
        scorer_id=scorer_id,
        ranking=ranking,
        measures=lowest | variants | measures,
    )


def write_scored(target: Path, scored: Sequence[ScoredTriplet]) -> None:
    """Scores, as the stage writes them."""
    write_records(target, ScoredTriplet, scored, COLUMNS)


def make_predicted(pair: Pair | None = None, difficulty: float = 0.5, **fields: Any) -> PredictedDifficulty:
    """How hard a pair is likely to be."""
    pair = pair or make_pair()
    known = {"pair_id": pair.id, "instruction_id": pair.instruction_id, "proxy_id": "proxy", "difficulty": difficulty}
    return PredictedDifficulty(**(known | fields))


def make_draw(of: ScoredTriplet | Pair | None = None, kept: bool = True, **fields: Any) -> Draw:
    """The draw of a scored triplet, or of a pair that was not answered; alone in its group, at even odds."""
    of = of or make_score()
    scored = isinstance(of, ScoredTriplet)
    known = {
        "pair_id": of.pair_id if scored else of.id,
        "triplet_id": of.triplet_id if scored else "",
        "instruction_id": of.instruction_id,
        "difficulty": of.ranking if scored else 0.5,
        "rank": 1,
        "group_size": 1,
        "inclusion_probability": 0.5,
        "draw": 0.25 if kept else 0.75,
        "kept": kept,
    }
    return Draw(**(known | fields))


def make_row(task: str = "films", text: str = "A dull plot.", label: str = "bad", **fields: Any) -> EvaluationRow:
    """A labelled text of an evaluation task."""
    return EvaluationRow(**({"task": task, "text": text, "label": label, "source_row": "1", "licence": "MIT"} | fields))


def make_prediction(
    row: EvaluationRow | None = None, system: str = "student", predicted: str = "", **fields: Any
) -> Prediction:
    """A system's answer on a row, by default the right one, as likely as can be of two labels."""
    row = row or make_row()
    known = {"row_id": row.id, "task": row.task, "system": system, "system_id": f"model_{system}", "gold": row.label}
    said = {"predicted": predicted or row.label, "probabilities": [1.0, 0.0]}
    return Prediction(**(known | said | fields))
