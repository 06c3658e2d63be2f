"""Evaluation and label priors."""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from compeffdist.label_spelling import are_distinct
from compeffdist.params.sections import (
    FILE_SUFFIXES,
    QUESTION_FIELD,
    Line,
    Name,
    PositiveInt,
    Probability,
    Section,
    as_text,
    in_sources,
    one_line,
    refuse_shared_name,
)


def _subject(value: str) -> str:
    if {"{", "}"} & {*value}:
        raise ValueError("must not have a brace")
    return one_line(value) if value else value


class EvaluationTask(Section):
    """A labelled set and the question it answers."""

    name: Name
    """By which figures, tables and predictions call it."""
    location: Line
    """A labelled file in `data/sources/` (its name is enough), jsonl, csv, tsv or parquet by its suffix, or a package
    corpus with labels: those with ratings of `texts.sources` (negative, neutral, positive), `vader-tweets-strength`,
    `sarcasm-headlines`, `movie-writing`, `movie-verdicts`, `convention-stance`."""
    part: Literal["all", "train", "evaluation"] = "all"
    """For a set that is also a source of texts: which of its documents, by a hash of their id, are asked about."""
    question: str = ""
    """A sentence that asks for the label, such as "Which emotion does the writer show?". The form of the answer and the
    text follow it. `{target}` is filled with the field `target` of the row. Empty: the domain's monitored
    question."""
    labels: list[Annotated[Line, BeforeValidator(as_text)]] = Field(min_length=2)
    """As the model is to say them, numbers by their digits; those of the rows are matched with them whatever their
    case."""
    label_map: dict[str, Line] = Field(default_factory=dict)
    """Labels as the rows have them -> one of `labels`, where the two differ, such as {"0": sadness, "1": joy}."""
    rows: PositiveInt | None = None
    """Rows drawn, evenly over labels; null: all there are."""
    subject: Annotated[str, AfterValidator(_subject)] = ""
    """What a text is, in the domain's monitored question: "tweet", "movie review sentence", …; empty: as the domain
    says."""
    text_field: Line = "text"
    """Column or key that holds the text."""
    label_field: Line = "label"
    """Column or key that holds the label."""
    licence: Line = "unstated"
    """Of the rows."""

    @property
    def is_file(self) -> bool:
        """Whether the rows are in a file of the user's rather than in a package corpus."""
        return "/" in self.location or bool(PurePosixPath(self.location).suffix)

    @property
    def kind(self) -> str:
        """Of the file: `jsonl`, `csv` or `parquet`."""
        return FILE_SUFFIXES[PurePosixPath(self.location).suffix.lower()]

    @property
    def question_fields(self) -> list[str]:
        """The fields of a row that the question needs, in its order."""
        return list(dict.fromkeys(QUESTION_FIELD.findall(self.question)))

    @field_validator("location")
    @classmethod
    def _in_its_folder(cls, location: str) -> str:
        return in_sources(location) if PurePosixPath(location).suffix else location

    @field_validator("label_map", mode="before")
    @classmethod
    def _keys_as_text(cls, given: Any) -> Any:
        """YAML reads `0:` as a number and `true:` as a truth value; the rows' labels are matched by their text."""
        return {as_text(key): as_text(value) for key, value in given.items()} if isinstance(given, dict) else given

    @field_validator("question")
    @classmethod
    def _askable(cls, question: str) -> str:
        if question:
            one_line(question)
        names = QUESTION_FIELD.findall(question)
        if not all(map(str.strip, names)) or set("{}") & set(QUESTION_FIELD.sub("", question)):
            raise ValueError("a brace may only name a field of the row, as {target} does")
        return question

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str]) -> list[str]:
        if not are_distinct(labels):
            raise ValueError("two labels are the same")
        return labels

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.is_file and PurePosixPath(self.location).suffix.lower() not in FILE_SUFFIXES:
            raise ValueError(f"{self.location}: the name of a labelled file must end in {', '.join(FILE_SUFFIXES)}")
        strange = [label for label in self.label_map.values() if label not in self.labels]
        if strange:
            raise ValueError(f"label_map: {strange[0]!r} is not one of labels ({', '.join(self.labels)})")
        return self


class EvaluationParams(Section):
    """Evaluation of teacher, base student and student on the same rows and prompts."""

    tasks: list[EvaluationTask] = Field(min_length=1)
    """The labelled sets, one entry a task."""
    bootstrap: PositiveInt = 2000
    """Resamples for the intervals."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Of the intervals."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_shared_name("tasks", [task.name for task in self.tasks])
        return self


class LabelPriorsParams(Section):
    """A model's liking for some labels whatever the text, taken out of what it answers (docs/label-priors.md): teacher,
    base student and student alike, in evaluation, in `compeffdist predict` and where the student is served. What the
    student is trained on has its own knob, responses.calibration."""

    strength: Probability = 1.0
    """How much of the prior is taken out: label likelihoods are divided by prior ** strength. 0: nothing, and no prior
    is estimated. Where true labels are known to be very uneven, less than 1 is better."""
    texts: PositiveInt = 100
    """Unlabelled texts of the run, drawn evenly over domains, that are asked to estimate a question's prior: so many
    likelihoods for each question that the registered version carries a prior of. An evaluation task's prior is that of
    its own texts."""
    least: PositiveInt = 8
    """Distinct texts of one request that are enough to estimate a prior of a question the version carries none of; with
    fewer, it is asked about inputs without content, and half as much is taken out."""
