"""What a registered version can be asked: its own tasks by name, any closed question, a prompt; everything bounded.

A version carries three files beside its weights. `tasks.json` has the tasks it was taught, each with its prompt and its
labels; `monitored.json` says which of them, its domain's own question, is asked of a text alone; `label_priors.json`
what the student says on average of the run's unlabelled texts, asked the questions that users ask most (the domain's,
their own tasks), and how much of that is taken out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.label_priors import Prior
from compeffdist.label_spelling import are_distinct
from compeffdist.params import LabelPriorsParams, ServingParams
from compeffdist.prompting import closed_question, inline, with_input
from compeffdist.registry.artifacts import MONITORED, PRIORS, TASKS
from compeffdist.registry.bounds import TooLarge
from compeffdist.texts.normalise import whole_characters

if TYPE_CHECKING:
    import pandas as pd

MAX_QUESTION_CHARACTERS = 2000
MAX_LABELS = 32
MAX_LABEL_CHARACTERS = 60
COLUMNS = ("text", "prompt", "task", "question", "labels")
NAMED_TASKS = 10
"""How many tasks a refusal names."""


@dataclass(frozen=True)
class Question:
    """A question that is asked of a text."""

    instruction: str
    """What stands before the text; empty for a prompt that is whole in itself."""
    labels: tuple[str, ...] = ()
    """Answered by the likelihood of each; empty: by generation."""

    def message(self, text: str) -> str:
        """The user message."""
        return with_input(self.instruction, text) if self.instruction else text


FORMER_TASK, FORMER_FIELD = "overall polarity", "polarity"
FORMER_QUESTION = "What is the overall sentiment of the {subject} towards what it speaks of?"
"""What texts were asked by versions from before there were domains."""
_FORMER = ("negative", "neutral", "positive")
WHOLE_PROMPT = Question("")


def _former_question() -> Question:
    return Question(closed_question(FORMER_QUESTION.format(subject="text"), _FORMER), _FORMER)


@dataclass(frozen=True)
class Carried:
    """What a version knows of questions."""

    tasks: Mapping[str, Question] = field(default_factory=lambda: {FORMER_TASK: _former_question()})
    priors: Mapping[str, Prior] = field(default_factory=dict)
    """By task."""
    strength: float = 0.0
    least: int = LabelPriorsParams().least
    monitored: str = FORMER_TASK
    """The task that is asked of a text alone, …"""
    field: str = FORMER_FIELD
    """… and by which word the answer then has the label, too."""

    def prior_of(self, question: Question) -> Prior | None:
        """The prior that the version carries of a question, by whatever name it is asked."""
        return next(
            (self.priors[name] for name, own in self.tasks.items() if own == question and name in self.priors), None
        )

    def to_files(self, texts: int) -> dict[str, Any]:
        """Contents of the files, by name; `texts` is how many each prior was estimated from."""
        tasks = [{"name": name, "prompt": q.instruction, "labels": list(q.labels)} for name, q in self.tasks.items()]
        priors = {name: dict(prior) for name, prior in self.priors.items()}
        how = "mean label probabilities over unlabelled texts of the run"
        return {
            TASKS: tasks,
            MONITORED: {"task": self.monitored, "field": self.field},
            PRIORS: {"strength": self.strength, "least": self.least, "texts": texts, "how": how, "priors": priors},
        }


def read_carried(files: Mapping[str, str | Path]) -> Carried:
    """What `Carried.to_files` gave, from the artifacts of a version (name -> path). A version without them is asked as
    it was before there were any."""
    if TASKS not in files or PRIORS not in files:
        return Carried()
    kept = [name for name in (TASKS, PRIORS, MONITORED) if name in files]
    read = {name: json.loads(Path(files[name]).read_text(encoding="utf-8")) for name in kept}
    tasks, priors, asked = read[TASKS], read[PRIORS], read.get(MONITORED, {"task": FORMER_TASK, "field": FORMER_FIELD})
    return Carried(
        tasks={task["name"]: Question(task["prompt"], tuple(task["labels"])) for task in tasks},
        priors=priors["priors"],
        strength=priors["strength"],
        least=priors["least"],
        monitored=asked["task"],
        field=asked["field"],
    )


@dataclass(frozen=True)
class Asked:
    """A row of a request."""

    question: Question
    text: str
    """The text, or the whole prompt."""
    plain: bool
    """Whether nothing but a text was given, so that the domain's question is asked."""


def read_request(model_input: "pd.DataFrame", carried: Carried, bounds: ServingParams) -> list[Asked]:
    """What each row asks: `text` alone the domain's question, with `task` that task, with `question` and `labels` that
    question; `prompt` alone a free answer. Raises ValueError naming the first row that is out of bounds; TooLarge if
    there are too many."""
    unknown = sorted(set(map(str, model_input.columns)) - set(COLUMNS))
    if unknown:
        raise ValueError(f"unknown column {unknown[0]!r}; expected {', '.join(COLUMNS)}")
    if not {"text", "prompt"} & set(model_input.columns):  # a server drops columns that the signature does not name
        raise ValueError("no column is named text or prompt")
    expect_rows(len(model_input), bounds)
    asked = []
    for number, row in enumerate(model_input.to_dict("records"), 1):
        texts = {str(key): whole_characters(value) for key, value in row.items() if isinstance(value, str)}
        given = {key: text for key, text in texts.items() if text.strip()}
        try:
            asked.append(_row(given, carried, bounds))
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from None
    return asked


def _row(given: Mapping[str, str], carried: Carried, bounds: ServingParams) -> Asked:
    kinds = [kind for kind in ("text", "prompt") if kind in given]
    if len(kinds) != 1:
        raise ValueError("expected a non-empty text or a non-empty prompt, and not both")
    value, beside = given[kinds[0]], sorted(given.keys() - set(kinds))
    if len(value) > bounds.characters:
        raise ValueError(f"{len(value)} characters, at most {bounds.characters}")
    if kinds == ["prompt"]:
        if beside:
            raise ValueError(f"a prompt is asked as it is, without {beside[0]}")
        return Asked(WHOLE_PROMPT, value, plain=False)
    match beside:
        case []:
            return Asked(carried.tasks[carried.monitored], value, plain=True)
        case ["task"]:
            return Asked(_task(given["task"], carried.tasks), value, plain=False)
        case ["labels", "question"]:
            return Asked(ask_closed(given["question"], given["labels"]), value, plain=False)
    raise ValueError(
        f"a text goes alone, with a task, or with a question and its labels; there are text, {', '.join(beside)}"
    )


def expect_rows(count: int, bounds: ServingParams) -> None:
    """Raises ValueError if a request has no rows, TooLarge if it has too many."""
    if not 0 < count <= bounds.rows:
        raise (TooLarge if count else ValueError)(f"expected 1 to {bounds.rows} rows, got {count}")


def _task(name: str, tasks: Mapping[str, Question]) -> Question:
    if name not in tasks:
        more = f" and {len(tasks) - NAMED_TASKS} more" if len(tasks) > NAMED_TASKS else ""
        raise ValueError(f"no task {name[:80]!r}; there are {', '.join(list(tasks)[:NAMED_TASKS])}{more}")
    return tasks[name]


def ask_closed(question: str, labels: str) -> Question:
    """A question never seen and its labels, separated by commas, in the prompt that training and evaluation use. Raises
    ValueError if they are out of bounds."""
    chosen = tuple(inline(label) for label in labels.split(","))
    if len(question) > MAX_QUESTION_CHARACTERS:
        raise ValueError(f"the question has {len(question)} characters, at most {MAX_QUESTION_CHARACTERS}")
    if not 2 <= len(chosen) <= MAX_LABELS:
        raise ValueError(f"expected 2 to {MAX_LABELS} labels separated by commas, got {len(chosen)}")
    if not all(0 < len(label) <= MAX_LABEL_CHARACTERS for label in chosen):
        raise ValueError(f"a label must have 1 to {MAX_LABEL_CHARACTERS} characters")
    if not are_distinct(chosen):
        raise ValueError("two labels are the same")
    return Question(closed_question(inline(question), chosen), chosen)


def by_question(asked: Sequence[Asked]) -> dict[Question, list[int]]:
    """Places of the rows that ask the same question, in order."""
    places: dict[Question, list[int]] = {}
    for place, row in enumerate(asked):
        places.setdefault(row.question, []).append(place)
    return places
