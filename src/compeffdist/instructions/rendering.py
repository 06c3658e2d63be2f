"""An instruction as models see it: definition, output format, k demonstrations, then the text.

The official layout is not published beyond its `Input:`/`Output:` blocks; SENTIBENCH shows 4 demonstrations. The
line that states the output format is derived from the task's type, not left to the teacher's wording.
"""

import json
from collections.abc import Sequence
from typing import Protocol

from compeffdist.instructions.schemas import tuple_parts
from compeffdist.prompting import inline, one_of, with_input


class Answerable(Protocol):
    """What a task and an instruction both say of the answer they want."""

    @property
    def type(self) -> str: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def score_range(self) -> list[int]: ...
    @property
    def json_schema(self) -> str: ...
    @property
    def exact_spans(self) -> bool: ...


def output_format(task: Answerable) -> str:
    """One sentence stating the form of the answer."""
    match task.type:
        case "closed_classification":
            return one_of(task.labels)
        case "open_classification":
            return "Answer with a label of one to three words only."
        case "scoring":
            return f"Answer with one whole number from {task.score_range[0]} to {task.score_range[1]} only."
        case "extraction":
            copied = ", each copied exactly from the text" if task.exact_spans else ""
            return f"Answer with a JSON list of at most five strings{copied}; an empty list if there is none."
        case "structured":
            schema = json.loads(task.json_schema)
            if parts := tuple_parts(schema):
                return tuples_form([part["description"] for part in parts.values()])
            fields = ", ".join(f'"{name}"' for name in schema["properties"])
            return f"Answer with a JSON object with the fields {fields}."
        case _:
            return "Answer in one or two sentences."


def tuples_form(described: Sequence[str]) -> str:
    """The form of an answer that is a list of tuples, whose parts are described."""
    parts = f"{', '.join(described[:-1])} and {described[-1]}" if len(described) > 1 else described[0]
    return f"Answer with a JSON list of objects with {parts}; an empty list if there is none."


def definition(description: str, task: Answerable) -> str:
    """Description and output format, without repeating a format the description already ends with."""
    form = output_format(task)
    return description if description.endswith(form) else f"{description} {form}"


def instruction_prompt(description: str, task: Answerable, demonstrations: Sequence[tuple[str, str]]) -> str:
    """The instruction text shown before the user's text; demonstrations are (input, output)."""
    shown = [f"Input: {inline(given)}\nOutput: {inline(answer)}" for given, answer in demonstrations]
    return "\n\n".join([definition(description, task), *shown])


def with_text(instruction: str, text: str) -> str:
    """The whole user message: the instruction with the text in place."""
    return with_input(instruction, text)
