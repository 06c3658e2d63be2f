"""From attributes to responses."""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from compeffdist.label_spelling import are_distinct
from compeffdist.params.sections import (
    MOST_STEPS,
    Line,
    Name,
    NonNegativeInt,
    PositiveInt,
    Probability,
    Section,
    refuse_shared_name,
)


class AttributesParams(Section):
    """Attribute enumeration (paper section on attributes; official scripts 0, 1 and collect_attr)."""

    texts: PositiveInt
    """Texts asked about, drawn evenly over domains. Paper: 20,000."""
    max_per_text: PositiveInt = 12
    """Attributes the teacher may name for one text (official answers hold 10-12)."""
    max_tokens: PositiveInt = 1048
    normalisation: Literal["chained", "official"] = "chained"
    """`chained` applies all rules in turn and trims; `official` applies the first that fits, as published."""
    more_than: NonNegativeInt = 10
    """Keep attributes counted more than this often. Paper: 10."""


class ClustersParams(Section):
    """Affinity propagation over attribute embeddings (official clustering.py)."""

    preference_percentile: Annotated[float, Field(ge=0.0, le=100.0)] = 0.5
    """Percentile (0-100) of all similarities used as the preference. Official file: 0.5."""
    damping: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.9
    max_iterations: PositiveInt = 1000
    convergence_iterations: PositiveInt = 100
    """Iterations without a change of exemplars that count as converged. Official: 15, which can stop far too early."""
    weighting: Literal["relative", "scaled", "duplicated", "none"] = "relative"
    """How counts weigh: `scaled` multiplies similarity rows by 1 + floor(ln(1 + count)); `duplicated` repeats the
    points as the official code does, which states the same objective; `relative` divides those weights by their mean,
    so that the preference keeps its meaning (docs/method.md has the measurement)."""


class OwnTask(Section):
    """A question of the user's own, distilled beside the generated tasks. Exactly one of `labels`, `scale` and
    `fields`."""

    name: Name
    """By which it is asked: `compeffdist predict --task NAME`."""
    question: Line
    """A sentence that asks for the answer, such as "Which emotion does the writer show?". The form of the answer and
    the text follow it, as in `evaluation.tasks`: with the same question and labels there, the prompt is the same."""
    labels: list[Line] = Field(default_factory=list)
    """A closed set, of which an answer is one: one to three words each, in lower case, told apart by their letters."""
    scale: list[int] = Field(default_factory=list)
    """[lowest, highest]: an answer is a whole number between them."""
    fields: dict[str, Literal["string", "list", "boolean"]] = Field(default_factory=dict)
    """An answer is a JSON object with these fields, e.g. {target: string, reasons: list}."""
    texts: PositiveInt | None = None
    """Texts asked about, drawn evenly over domains; null: all."""

    @field_validator("question")
    @classmethod
    def _whole(cls, question: str) -> str:
        if set("{}") & set(question):
            raise ValueError("must be asked of a text alone: there are no fields of a row to put in for braces")
        return question

    @field_validator("fields")
    @classmethod
    def _named(cls, fields: dict[str, str]) -> dict[str, str]:
        if not all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in fields):
            raise ValueError("a field's name must be of lower-case letters, digits and '_', and begin with a letter")
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(map(bool, (self.labels, self.scale, self.fields))) != 1:
            raise ValueError("must have exactly one of labels, scale and fields")
        if self.labels and (len(self.labels) < 2 or not are_distinct(self.labels)):
            raise ValueError("labels must be two or more, and distinct")
        if self.scale and (len(self.scale) != 2 or not 0 < self.scale[1] - self.scale[0] <= MOST_STEPS):
            raise ValueError(f"scale must be [lowest, highest], two whole numbers at most {MOST_STEPS} apart")
        if self.scale and self.scale[0] < 0:
            raise ValueError("scale must not go below 0")
        return self


class TasksParams(Section):
    """Task generation per perspective (official scripts 2-6)."""

    per_perspective: PositiveInt
    """Tasks kept per perspective at most, analysis prompts not counted. Paper: about 20."""
    analysis_per_perspective: NonNegativeInt
    """Open-ended analysis prompts kept per perspective at most."""
    types: list[Literal["closed_classification", "open_classification", "scoring", "extraction", "structured"]] = Field(
        default=["closed_classification", "open_classification", "scoring", "extraction", "structured"],
        min_length=1,
    )
    """Types of task asked for, in turn; repeat one to have more of it."""
    max_tokens: PositiveInt = 1024
    near_duplicate_similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.92
    """Cosine similarity of task embeddings (name, description, labels) at which the later task is dropped."""
    seed_task: bool = False
    """Also distil the domain's monitored question, which every text is asked anyway (its answers are already paid
    for). Not in the paper."""
    own: list[OwnTask] = Field(default_factory=list)
    """Questions of your own that the student is to learn beside the generated tasks. Each is asked of the teacher for
    every text, or `texts` of them, beyond pairing.pairs; never of an evaluation row."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_shared_name("own", [task.name for task in self.own])
        return self


class DemonstrationsParams(Section):
    """Demonstrations per task (official scripts 7, 8)."""

    calls: PositiveInt = 16
    """Teacher calls per task; each gives up to two demonstrations. Paper: 16."""
    per_task: PositiveInt = 32
    """Demonstrations kept per task at most. Paper: 32."""
    shown: NonNegativeInt = 4
    """Demonstrations shown in an instruction."""
    max_tokens: PositiveInt = 512
    reference_characters: Annotated[int, Field(ge=40)] = 400
    """A reference text is cut to this length in the prompt. Of less, a withdrawn text could not be found in it."""


class PairingParams(Section):
    """Instructions x texts."""

    pairs: PositiveInt
    """Pairs in all. Paper: 100,000."""
    method: Literal["random", "matched"] = "random"
    """`matched` pairs a text with instructions of perspectives whose attributes it was found to have."""


class ResponsesParams(Section):
    """The teacher's answers to (instruction, text)."""

    max_tokens: PositiveInt = 256
    closed_labels: Literal["likelihood", "generate"] = "likelihood"
    """How a closed label set is answered: by the likelihood of each whole label, or by generation."""
    calibration: Literal["batch", "none"] = "batch"
    """`batch` divides label likelihoods by their mean over the texts asked with the same instruction
    (batch calibration), against a teacher that hardly ever says one of the labels. A label that a server behind an API
    only chose has no likelihood and stays as it is."""
    calibration_strength: Probability = 1.0
    """Power of that mean: 1 takes a question's leaning to a label out whole, 0.5 half of it (in logarithms), 0 none."""
