"""What texts are about, as data: `domains/NAME.yaml`, read and checked as params are.

    domain = domain_of(params)          # the one that param `domain` names
    domain.monitored.prompt("It works.")

Whoever needs a part of it is given that part. The docstring under each field is the reference of the files. A prompt is
a template: each of its places, such as `{text}`, must be there, and a brace stands for nothing else. The texts put in
are hostile and their braces stay what they are.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from compeffdist.artefact_kinds import Artefact
from compeffdist.errors import UserError, one_line
from compeffdist.given import Given
from compeffdist.label_spelling import are_distinct
from compeffdist.params import PARAMS_FILE, EvaluationParams, Line, Name, Params, Section, fault_of, load_params
from compeffdist.prompting import closed_question, with_input
from compeffdist.records import GENERATED_TYPES, FieldType, GeneratedType
from compeffdist.yaml12 import read_yaml

DOMAINS = Path("domains")
DEFAULT: str = Params.model_fields["domain"].default
_OURS = Path(__file__).parents[2] / DOMAINS
"""Of the checkout this code lies in, for commands that are run outside one."""
_PLACE = re.compile(r"\{([a-z_]+)\}")
RESERVED = frozenset(
    {"text", "prompt", "task", "question", "labels", "label", "probabilities", "prior", "answer", "row", "reject"}
)
"""What stands in a row beside the domain's word: what a registered model is asked with and answers, and rejects."""
PARTS: Mapping[GeneratedType, set[str]] = {
    "closed_classification": {"labels"},
    "open_classification": set(),
    "scoring": {"lowest", "highest"},
    "extraction": {"verbatim"},
    "structured": {"fields"},
}
"""Type of task -> what its definition has beside a description."""


def filled(template: str, **places: object) -> str:
    """A template with its places filled; what is put in is not looked into."""
    return _PLACE.sub(lambda place: str(places[place[1]]), template)


def _template(*places: str, optional: bool = False) -> AfterValidator:
    """Checks that a text has just these places."""

    def check(text: str) -> str:
        found = _PLACE.findall(text)
        if strange := re.search(r"\{[^{}]*\}?|\}", _PLACE.sub("", text)):
            raise ValueError(f"{one_line(strange[0], 40)!r}: a brace may only hold one of {', '.join(places)}")
        for unknown in sorted(set(found) - set(places)):
            raise ValueError(f"unknown placeholder {{{unknown}}}; there are {', '.join(f'{{{p}}}' for p in places)}")
        for missing in (place for place in places if place not in found and not optional):
            raise ValueError(f"the placeholder {{{missing}}} is missing")
        return text

    return AfterValidator(check)


class SystemPrompts(Section):
    """What stands before every question in place of a chat template's default."""

    teacher: Line
    """Unless `teacher.system_prompt` says another."""
    student: Line
    """Short on purpose: every token of it is paid for in every row."""


class RepeatedBy(Section):
    """Which label sets ask the monitored question over again, in whatever degrees."""

    words: list[Line] = Field(min_length=1)
    """A set repeats it if each of its labels has one of these words, …"""
    beside: list[Line] = Field(default_factory=list)
    """… and otherwise these alone."""
    absent: list[Line] = Field(default_factory=list)
    """Whole labels that do not count: they say that there is nothing of it."""


class Monitored(Section):
    """The one question asked of every text: it monitors class balance, may be a task (`tasks.seed_task`), is what
    evaluation and a registered model ask by default, and is worded in one way for all of them."""

    name: Name
    """Of the question among tasks."""
    field: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """A word for it, by which a registered model's answer to a text alone has the label, too."""
    question: Annotated[Line, _template("subject", optional=True)]
    """A sentence that asks for the label; `{subject}` is what a text is, such as "tweet" (`evaluation.tasks`)."""
    subject: Line = "text"
    """What a text is, in questions about it: "ticket"."""
    labels: list[Line] = Field(min_length=2)
    repeated_by: RepeatedBy

    def asked(self, subject: str = "") -> str:
        """The question alone."""
        return filled(self.question, subject=subject or self.subject)

    def instruction(self) -> str:
        """The part of the prompt before the text."""
        return closed_question(self.asked(), self.labels)

    def prompt(self, text: str) -> str:
        """The whole user message."""
        return with_input(self.instruction(), text)

    def asked_in(self, params: EvaluationParams) -> EvaluationParams:
        """The params with this question in every task that has none. Raises UserError for one whose labels are not the
        question's."""
        for task in params.tasks:
            other = next((label for label in task.labels if label not in self.labels), None)
            if other is not None and not task.question:
                raise UserError(
                    f"evaluation.tasks: {task.name!r} has no question, so that the domain's is asked, which is not "
                    f"answered with {other!r} ({', '.join(self.labels)}): give the task a question of its own"
                )
        tasks = [
            task.model_copy(update={"question": task.question or self.asked(task.subject)}) for task in params.tasks
        ]
        return params.model_copy(update={"tasks": tasks})

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not are_distinct(self.labels):
            raise ValueError("labels: two are the same")
        if self.field in RESERVED:
            raise ValueError(f"field: {self.field!r} stands in a registered model's rows already: choose another word")
        if {"{", "}"} & {*self.subject}:
            raise ValueError(f"subject: {self.subject!r} has a brace")
        return self


class ExampleAttribute(Section):
    """An attribute of the example text, as the teacher is to name it."""

    attribute: Line
    description: Line
    value: Line


class AttributePrompts(Section):
    """What an attribute is."""

    prompt: Annotated[str, _template("count", "example_text", "example", "text")]
    """Asks for the attributes of a text, in JSON."""
    example_text: Line
    example: list[ExampleAttribute] = Field(min_length=1)
    """Some of its attributes: shows small teachers what is general and what belongs to the text."""


class Side(Section):
    """A side of an attribute that tasks look at, with the name and purpose of an example."""

    side: Line
    name: Line
    purpose: Line


class AnswerField(Section):
    """A field of a structured answer."""

    field: Line
    type: FieldType


class Definition(Section):
    """The definition of an example task: `description`, and what its type has beside it."""

    description: Line
    labels: list[Line] | None = Field(default=None, min_length=2)
    lowest: int | None = None
    highest: int | None = None
    verbatim: bool | None = None
    fields: list[AnswerField] | None = Field(default=None, min_length=2)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key, named in {"labels": self.labels or [], "fields": [one.field for one in self.fields or []]}.items():
            if not are_distinct(named):
                raise ValueError(f"{key}: two are the same")
        if self.lowest is not None and self.highest is not None and self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest} is not below highest {self.highest}")
        return self


class TaskType(Section):
    """How tasks of a type are shown."""

    sides: list[Side] = Field(min_length=1)
    """Looked at in turn: left to themselves, small teachers look at one side only."""
    definition: Definition
    """Of a task about the example attribute."""


class TaskPrompts(Section):
    """How tasks are asked for (`instructions.task_questions`)."""

    analysis_prompt: Annotated[str, _template("names", "explained", "count")]
    ideas_prompt: Annotated[
        str, _template("count", "attribute", "wanted", "example_attribute", "example", "quoted_attribute", "meaning")
    ]
    definition_prompt: Annotated[
        str, _template("answered_by", "wish", "example_attribute", "example", "name", "purpose")
    ]
    example_attribute: Line
    """The attribute of all examples: one hardly ever named, so that a copied example shows."""
    example_words: list[Line] = Field(min_length=1)
    """Words by which a task about it is known."""
    types: dict[str, TaskType]
    """By type of task."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in sorted({*GENERATED_TYPES} ^ self.types.keys()):
            raise ValueError(f"types: {name!r} is {'missing' if name in GENERATED_TYPES else 'no type of task'}")
        for name, wanted in PARTS.items():
            there = {key for key, value in self.types[name].definition if value is not None} - {"description"}
            for key in sorted(wanted ^ there):
                said = "is missing" if key in wanted else f"is not of {name}"
                raise ValueError(f"types.{name}.definition: {key} {said}")
        return self


class DemonstrationPrompts(Section):
    """How demonstrations are asked for."""

    prompt: Annotated[str, _template("styles", "task", "count", "wishes", "output")]
    subjects: list[Line] = Field(min_length=2)
    """What instances are about, in turn by hash: small teachers copy the references unless given another subject."""


class Domain(Section):
    """The whole of a domain's file."""

    name: Name
    """The file's name; not in it."""
    system_prompts: SystemPrompts
    monitored: Monitored
    attributes: AttributePrompts
    tasks: TaskPrompts
    demonstrations: DemonstrationPrompts


def domain_names(folder: Path = DOMAINS) -> list[str]:
    """The domains there are."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.is_file())


def load_domain(name: str, folder: Path = DOMAINS) -> Domain:
    """A domain by its name. Raises UserError, naming file and key: a file that is missing or cannot be read, broken
    YAML, unknown key, wrong type, a placeholder that is missing or unknown, an example that does not fit its type."""
    path = folder / f"{name}.yaml"
    try:
        raw = read_yaml(path.read_bytes(), str(path))
    except FileNotFoundError:
        known = ", ".join(domain_names(folder)) or "none"
        raise UserError(f"{path}: no such file; the param `domain` names one of: {known}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if not isinstance(raw, dict) or "name" in raw:
        raise UserError(f"{path}: expected a mapping of sections at the top level, without a name")
    try:
        return Domain.model_validate({"name": name, **raw})
    except ValidationError as error:
        raise UserError(f"{path}: {one_line(fault_of(error), 300)}") from None


def stage_domain(given: Given) -> Domain:
    """The domain of a stage that depends on its file. Raises UserError as `load_domain`."""
    given.path(Artefact(f"{DOMAINS}/{given.params.domain}.yaml"))
    return load_domain(given.params.domain)


def domain_of(params: Params, folder: Path = DOMAINS) -> Domain:
    """The domain that params name. Raises UserError as `load_domain`."""
    return load_domain(params.domain, folder)


def domain_here() -> Domain:
    """The domain of the params in the working folder; without any, the default one of the checkout this code lies in.
    Raises UserError as `load_params` and `load_domain`."""
    return domain_of(load_params()) if PARAMS_FILE.exists() else load_domain(DEFAULT, _OURS)
