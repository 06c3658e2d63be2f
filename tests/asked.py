"""Every stage that asks the teacher, in turn, on a few texts and with a teacher that answers whatever it is asked."""

import json
import math
import re
from typing import Any

from compeffdist.domain import Domain
from compeffdist.evaluation.predictions import predict_rows, teacher_scorer
from compeffdist.instructions.attributes import count_attributes
from compeffdist.instructions.enumerate_attributes import enumerate_attributes
from compeffdist.instructions.generate_tasks import generate_tasks
from compeffdist.instructions.write_demonstrations import build_instructions, write_demonstrations
from compeffdist.params import (
    AttributesParams,
    DemonstrationsParams,
    EvaluationParams,
    EvaluationTask,
    OwnTask,
    ResponsesParams,
    TasksParams,
    TeacherParams,
)
from compeffdist.records import by_id
from compeffdist.teacher.conversation import Conversation
from compeffdist.teacher.requests import Answer, Request
from compeffdist.triplets.collect_responses import collect_responses
from tests.factories import make_pair, make_perspective, make_row, make_text
from tests.fakes import FakeTeacher

SEED = 42
WORDS_OF_SENTIMENT = re.compile("sentiment|polarity|opinion|emotion|feeling|attitude|positive|negative", re.IGNORECASE)
"""What a question about anything else has no business to say."""


def reply(request: Request) -> Answer | str:
    """What fits: the labels weighed, JSON under the schema, or a sentence."""
    if request.labels:
        weights = {label: 1.0 + place for place, label in enumerate(request.labels)}
        return Answer.of_labels({k: math.log(w / sum(weights.values())) for k, w in weights.items()}, 1, 0, 1)
    return json.dumps(fitting(json.loads(request.schema), "")) if request.schema else "It says what it says."


def fitting(schema: dict[str, Any], name: str, number: int = 0) -> Any:
    """A value that a schema allows, of words that make a usable record."""
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [""])[0])
    match schema["type"]:
        case "object":
            inner = enumerate(schema["properties"].items(), number)
            return {key: fitting(value, key, place) for place, (key, value) in inner}
        case "array":
            return [fitting(schema["items"], name, place) for place in range(max(1, schema["minItems"]))]
        case "integer":
            return schema["minimum"]
        case "boolean":
            return False
    words = {
        "attribute": ["loudness", "clarity", "length", "order", "detail", "weight", "colour", "distance"][number % 8],
        "labels": ["high", "middling", "low", "none", "odd"][number % 5],
        "name": "loudness found",
        "description": "Decide how loud all of it is.",
    }
    return words.get(name, f"{name} said {number}")


def ask_every_stage(domain: Domain, texts: list[str]) -> dict[str, list[Request]]:
    """The questions of each stage, in order."""
    teacher, asked = FakeTeacher(reply), dict[str, list[Request]]()

    def note(stage: str) -> None:
        asked[stage] = teacher.asked[sum(map(len, asked.values())) :]

    said = [make_text(text) for text in texts]

    def talk(stage: str) -> Conversation:
        return Conversation(teacher, domain, TeacherParams(temperature=0.5), SEED, stage)

    found = enumerate_attributes(
        said, AttributesParams(texts=2, max_per_text=4), domain.attributes, talk("enumerate_attributes")
    )
    note("enumerate_attributes")
    attributes = by_id(count_attributes(found.mentions, 0)[0])
    heads = sorted(attributes.values(), key=lambda attribute: attribute.name)[:2]
    perspectives = [make_perspective(head) for head in heads]
    own = OwnTask(name="urgent", question="How urgent is it?", labels=["urgent", "later"])
    tasks_params = TasksParams(per_perspective=5, analysis_per_perspective=1, seed_task=True, own=[own])
    tasks, _ = generate_tasks(perspectives, attributes, tasks_params, domain, talk("generate_tasks"), _distinct)
    note("generate_tasks")
    wanted = DemonstrationsParams(calls=2)
    demonstrations, _ = write_demonstrations(tasks, said, wanted, domain.demonstrations, talk("write_demonstrations"))
    note("write_demonstrations")
    instructions = build_instructions(tasks, demonstrations, wanted, SEED)
    pairs = [make_pair(i, said[0]) for i in instructions]
    collect_responses(
        pairs, by_id(instructions), by_id(said), ResponsesParams(), domain.monitored, talk("collect_responses")
    )
    note("collect_responses")
    generated = ResponsesParams(closed_labels="generate")
    collect_responses(pairs, by_id(instructions), by_id(said), generated, domain.monitored, talk("collect_sampled"))
    note("collect_sampled")
    rows = [make_row("mood", texts[0], "a")]
    question = domain.monitored.asked("letter")
    kinds = [EvaluationTask(name="mood", location="x.csv", labels=["a", "b"], question=question)]
    predict_rows(
        rows,
        domain.monitored.asked_in(EvaluationParams(tasks=kinds)),
        "teacher",
        "t",
        teacher_scorer(talk("evaluate_teacher")),
    )
    note("evaluate_teacher")
    return asked


def _distinct(texts: Any) -> Any:
    import numpy as np

    return np.eye(len(texts))
