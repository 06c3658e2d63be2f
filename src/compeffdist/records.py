"""The record types of every artefact: their fields, schema versions and content ids.

An id is a hash of what a record *is*: the canonical JSON of its identity fields, which include its parents' ids.
Ids are the same from run to run and machine to machine; every join in the library is by id, never by position.

`record_files.py` writes and reads the artefacts made of them.
"""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args

from compeffdist.canonical import canonical_json, hash_text

PROBABILITY_DECIMALS = 6
"""To which a teacher's label probabilities are kept: the last bits of a logarithm differ from machine to machine."""
ID_HEX_DIGITS = 24
"""96 bits: for ten million records the chance that any two share an id is below 1e-15."""


def content_id(prefix: str, identity: dict[str, Any]) -> str:
    """`prefix` + "_" + the first 24 hex digits of SHA-256 over the canonical JSON of `identity`."""
    return f"{prefix}_{hash_text(canonical_json(identity))[:ID_HEX_DIGITS]}"


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of an artefact. `id` is computed from the fields named in IDENTITY when the record is made. Raises
    ValueError if an `id` is given that does not match the contents."""

    PREFIX: ClassVar[str]
    VERSION: ClassVar[int] = 1
    IDENTITY: ClassVar[tuple[str, ...]]
    OPEN: ClassVar[str] = ""
    """Name of a field, if there is one, whose items are columns of their own; whoever writes the file says which."""

    id: str = ""

    def __post_init__(self) -> None:
        expected = content_id(self.PREFIX, self.identity())
        if self.id and self.id != expected:
            raise ValueError(f"id {self.id} does not match the record's contents (expected {expected})")
        object.__setattr__(self, "id", expected)

    def identity(self) -> dict[str, Any]:
        """What the id is a hash of."""
        return {name: getattr(self, name) for name in self.IDENTITY}

    def to_row(self) -> dict[str, Any]:
        """The record as a plain dict in field order, items of the open field last."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return row | row.pop(self.OPEN) if self.OPEN else row

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """The inverse of `to_row`. Raises ValueError on an unknown or missing field or a wrong id."""
        unknown = row.keys() - cls.__dataclass_fields__.keys()
        if cls.OPEN:
            known = {name: value for name, value in row.items() if name not in unknown}
            row = known | {cls.OPEN: {name: value for name, value in row.items() if name in unknown}}
        elif unknown:
            raise ValueError(f"unknown field {sorted(unknown)[0]!r}")
        try:
            return cls(**row)
        except TypeError as error:
            raise ValueError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Text(Record):
    """A user text after normalisation. Identity: the text itself, so a duplicate has the same id."""

    PREFIX = "text"
    IDENTITY = ("text",)

    text: str
    domain: str
    source: str
    """Name of the source in params."""
    source_row: str
    """Where in the source: a row number or the source's own id."""
    licence: str


@dataclass(frozen=True, kw_only=True)
class Mention(Record):
    """One attribute the teacher named for one text."""

    PREFIX = "mention"
    IDENTITY = ("text_id", "answer_id", "position")

    text_id: str
    answer_id: str
    """Key of the raw answer in the response store."""
    position: int
    """0-based place in the answer's list."""
    raw_name: str
    names: list[str]
    """Normalised names: one, or several where the raw name held a slash."""
    description: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Attribute(Record):
    """A normalised attribute name with its counts over all mentions."""

    PREFIX = "attribute"
    IDENTITY = ("name",)

    name: str
    count: int
    """Occurrences over all mentions (not distinct texts)."""
    text_count: int
    raw_names: list[str]
    descriptions: list[str]
    """The most frequent descriptions, most frequent first (ties in alphabetical order)."""


@dataclass(frozen=True, kw_only=True)
class Perspective(Record):
    """A cluster of attributes: one analytical perspective."""

    PREFIX = "perspective"
    IDENTITY = ("member_ids",)

    member_ids: list[str]
    """Attribute ids, most frequent first; of equally frequent ones, those most like the exemplar."""
    member_names: list[str]
    member_counts: list[int]
    exemplar: str
    """Name of the exemplar chosen by affinity propagation."""
    total_count: int
    coherence: float
    """Mean cosine similarity of the members to the exemplar, itself included, weighted by count: over mentions, so that
    a frequent exemplar speaks for all. 1.0 for a singleton."""
    member_coherence: float | None = None
    """Mean cosine similarity of the other members to the exemplar, each counting once; 1.0 for a singleton, and null in
    files of an earlier day."""

    @property
    def head(self) -> str:
        """The most frequent member, which names the perspective."""
        return self.member_names[0]


GeneratedType = Literal["closed_classification", "open_classification", "scoring", "extraction", "structured"]
"""Types of task that the teacher defines in full, and `tasks.types` and a domain speak of."""
GENERATED_TYPES: tuple[GeneratedType, ...] = get_args(GeneratedType)
TASK_TYPES = ("analysis", *GENERATED_TYPES)
FieldType = Literal["string", "list", "boolean"]
"""What a field of a structured answer holds."""


@dataclass(frozen=True, kw_only=True)
class Task(Record):
    """A task on one text, fully defined. `type` is explicit and decides how an answer is parsed."""

    PREFIX = "task"
    IDENTITY = ("perspective_id", "name", "description", "type", "labels", "score_range", "json_schema", "exact_spans")

    perspective_id: str
    name: str
    description: str
    """The task as shown to models, output format included."""
    type: str
    """One of TASK_TYPES."""
    labels: list[str] = field(default_factory=list)
    """Closed label set; empty for the other types."""
    score_range: list[int] = field(default_factory=list)
    """[lowest, highest] whole number for `scoring`; empty otherwise."""
    json_schema: str = ""
    """Canonical JSON of the schema for `structured` and `extraction`; empty otherwise."""
    exact_spans: bool = False
    """Whether extracted strings must stand in the text."""


@dataclass(frozen=True, kw_only=True)
class Demonstration(Record):
    """A worked example of a task, on a text the teacher wrote in the style of real ones."""

    PREFIX = "demonstration"
    IDENTITY = ("task_id", "input", "output")

    task_id: str
    input: str
    output: str
    answer_id: str
    reference_text_ids: list[str]
    """The real texts whose style it follows."""


@dataclass(frozen=True, kw_only=True)
class Instruction(Record):
    """A task as shown to teacher and student: definition, then k demonstrations. The text is appended on use."""

    PREFIX = "instruction"
    IDENTITY = ("task_id", "demonstration_ids", "prompt")

    task_id: str
    perspective_id: str
    demonstration_ids: list[str]
    """Those shown in `prompt`, in order."""
    prompt: str
    type: str
    labels: list[str]
    score_range: list[int]
    json_schema: str
    exact_spans: bool
    task_name: str


@dataclass(frozen=True, kw_only=True)
class Pair(Record):
    """An instruction to be applied to a text."""

    PREFIX = "pair"
    VERSION = 2
    IDENTITY = ("instruction_id", "text_id")

    instruction_id: str
    text_id: str
    method: str
    """`random`, `matched`, or `own` for the user's own tasks and the seed task, which go with every text."""
    part: str = "scored"
    """`scored`: the teacher is asked, and the answer scored. `predicted`: difficulty is predicted, and the teacher
    asked only if the sampler keeps the pair (`difficulty.mode: proxy`)."""


@dataclass(frozen=True, kw_only=True)
class Triplet(Record):
    """(instruction, text, response): the id covers text, instruction, teacher identity, decoding and response.

    The response belongs to it because a calibrated label depends on the other texts asked with the instruction."""

    PREFIX = "triplet"
    VERSION = 3
    IDENTITY = ("instruction_id", "text_id", "teacher_id", "decoding_id", "response")

    pair_id: str
    instruction_id: str
    text_id: str
    teacher_id: str
    decoding_id: str
    answer_id: str
    prompt: str
    """The user message: the instruction with the text in place."""
    response: str
    """Parsed and checked; what the student is trained to write."""
    task_type: str
    task_name: str
    monitored: str | None = None
    """The teacher's label of the text by the question that its domain asks of every text; None without an answer."""
    labels: list[str] = field(default_factory=list)
    """What could be answered, where the teacher weighed each whole label; empty where it wrote or only chose."""
    probabilities: list[float] = field(default_factory=list)
    """Of `labels`, calibrated as the response was, to PROBABILITY_DECIMALS."""


@dataclass(frozen=True, kw_only=True)
class ScoredTriplet(Record):
    """How hard one triplet is for the warmed-up student (method section 9; paper section on difficulty)."""

    PREFIX = "score"
    VERSION = 5
    IDENTITY = ("triplet_id", "scorer_id")
    OPEN = "measures"

    triplet_id: str
    pair_id: str
    instruction_id: str
    scorer_id: str
    """Hash of warm-up weights, tokenizer, template and scoring settings."""
    ranking: float
    """The ranking score under the pipeline's setting of `difficulty.exclude_zero`, in [0, 1]."""
    measures: dict[str, float | None]
    """Each difficulty measure by name, a column of its own in the file (`measures/registry.py`); None where the row has
    no value."""


@dataclass(frozen=True, kw_only=True)
class PredictedDifficulty(Record):
    """How hard a pair is likely to be once it is answered, predicted by the proxy from instruction and text."""

    PREFIX = "predicted"
    IDENTITY = ("pair_id", "proxy_id")

    pair_id: str
    instruction_id: str
    proxy_id: str
    """Hash of the proxy and of the scorer it reads prompts with."""
    difficulty: float
    """On the scale of `ScoredTriplet.ranking`."""


@dataclass(frozen=True, kw_only=True)
class Draw(Record):
    """The sampler's decision on one pair, kept or not."""

    PREFIX = "draw"
    VERSION = 3
    IDENTITY = ("pair_id", "inclusion_probability", "draw")

    pair_id: str
    triplet_id: str
    """The scored triplet; empty for a pair whose difficulty was predicted."""
    instruction_id: str
    difficulty: float
    """By `sampling.metric`, larger is harder."""
    rank: int
    """1-based rank in its group, easiest first, ties by pair id; 0, and a group of 0, below the confidence floor."""
    group_size: int
    inclusion_probability: float
    draw: float
    """Uniform in [0, 1); kept when below the inclusion probability."""
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Reject(Record):
    """A record that a stage did not pass on, and why."""

    PREFIX = "reject"
    IDENTITY = ("stage", "record_id", "reason", "detail")

    stage: str
    record_id: str
    reason: str
    """A short fixed word such as `duplicate` or `label_not_in_set`: metrics count by it."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class EvaluationRow(Record):
    """A labelled text of an evaluation task, after the same normalisation as user texts."""

    PREFIX = "row"
    IDENTITY = ("task", "text", "label", "fields")

    task: str
    """Name of the task in params."""
    text: str
    label: str
    source_row: str
    """The row's own id in the corpus, or its number in the file."""
    licence: str
    fields: str = ""
    """What the task's question is filled with beside the text: canonical JSON, field -> value; empty if nothing."""

    def identity(self) -> dict[str, Any]:
        """Without `fields` where there are none."""
        return {name: value for name, value in super().identity().items() if value or name != "fields"}

    @property
    def question_fields(self) -> dict[str, str]:
        """`fields`, parsed."""
        return dict(json.loads(self.fields)) if self.fields else {}


@dataclass(frozen=True, kw_only=True)
class Prediction(Record):
    """One system's answer on one evaluation row."""

    PREFIX = "prediction"
    IDENTITY = ("row_id", "system_id")

    row_id: str
    task: str
    system: str
    """`teacher`, `base` or `student`."""
    system_id: str
    gold: str
    predicted: str
    """The likeliest label, after its prior was taken out (`evaluation.priors`); of a tie, the first in the task's
    declared order."""
    probabilities: list[float]
    """Of the task's labels, in declared order, as the system gave them, no prior taken out; they sum to 1. Exactly 1
    and 0 where a teacher behind an API only chose a label: no confidence, and none is read from it
    (metrics/evaluate_teacher.json counts such answers)."""


R = TypeVar("R", bound=Record)


def by_id(records: Iterable[R]) -> dict[str, R]:
    """Index records by their id."""
    return {record.id: record for record in records}
