"""A benchmark's tasks as data: `benchmarks/NAME/TASK.yaml` says what is asked and in which form it is answered."""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field as Setting
from pydantic import field_validator, model_validator

from compeffdist.errors import UserError
from compeffdist.instructions.rendering import tuples_form
from compeffdist.instructions.schemas import tuples_of
from compeffdist.params import ABSENT, QUESTION_FIELD, Line, Name, Section, TuplePart, read_section
from compeffdist.prompting import closed_question, inline

Metric = Literal["macro_f1", "micro_f1", "sentiment_graph_f1"]

JOINED = " AND "
"""Between the pieces of a part that stands in the text in pieces."""


class OfficialScript(Section):
    """How the script of the benchmark's authors counts the tuples of an answer (`official.py`)."""

    repeated: Literal["each", "once"]
    """How often a predicted tuple counts that stands in the answer several times."""
    malformed: Literal["wrong", "dropped", "loses_the_row"]
    """What a tuple with a part too few or too many does: it counts as wrong, or not at all, or no tuple of its row
    does."""
    cut: Literal["nothing", "three", "all"]
    """What is read of an answer that was cut off, of its whole tuples."""


class BenchmarkTask(Section):
    """What is asked of each row of a task, and how the answers are judged."""

    name: Name
    """The file's name; not in it."""
    family: Name
    """Tasks of a family have a mean of their own."""
    question: Line
    """`{target}` is filled with the row's target."""
    labels: list[Line] = Setting(default_factory=list)
    """For a task that is answered with one label; else `fields`."""
    fields: list[TuplePart] = Setting(default_factory=list)
    """The parts of a tuple, in the order of the rows' gold tuples."""
    metric: Metric = "macro_f1"
    max_tokens: int = Setting(default=150, gt=0)
    """Of an answer of tuples."""
    official: OfficialScript | None = None
    """Of a task of tuples; needed for `--parity official`."""

    @field_validator("question")
    @classmethod
    def _askable(cls, question: str) -> str:
        if set(QUESTION_FIELD.findall(question)) - {"target"}:
            raise ValueError("a brace may only name the row's target: {target}")
        return question

    @model_validator(mode="before")
    @classmethod
    def _metric_of_tuples(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("fields") and "metric" not in given:
            return {**given, "metric": "micro_f1"}
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.labels) == bool(self.fields):
            raise ValueError("has either labels or fields")
        if bool(self.labels) != (self.metric == "macro_f1"):
            raise ValueError(f"metric: {self.metric} is not of {'labels' if self.labels else 'tuples'}")
        if self.labels and self.official is not None:
            raise ValueError("official: is of tuples")
        if self.metric == "sentiment_graph_f1" and len(self.fields) != len(GRAPH_PARTS):
            raise ValueError(f"metric: sentiment_graph_f1 wants four fields: {', '.join(GRAPH_PARTS)}")
        return self

    @property
    def answer_schema(self) -> dict[str, Any]:
        """JSON schema of an answer of tuples."""
        return tuples_of(self.fields)

    def instruction(self, target: str | None) -> str:
        """The question with the form of its answer."""
        question = QUESTION_FIELD.sub(lambda _: inline(target or ""), self.question)
        if self.labels:
            return closed_question(question, self.labels)
        return f"{question} {tuples_form([part.described for part in self.fields])}"

    def shown(self, gold: str | list[list[str]]) -> str:
        """A row's gold answer as a demonstration shows it."""
        if isinstance(gold, str):
            return gold
        names = [part.name for part in self.fields]
        told = [row for row in gold if any(part != ABSENT for part in row)]
        return json.dumps([dict(zip(names, row, strict=True)) for row in told], ensure_ascii=False)


BENCHMARKS = Path("benchmarks")
_OURS = Path(__file__).parents[3] / BENCHMARKS
"""Of the checkout this code lies in, for commands that are run outside one."""


def benchmark_data(part: str) -> Path:
    """A folder of `benchmarks/`: this folder's, or that of this code's checkout."""
    return BENCHMARKS / part if (BENCHMARKS / part).is_dir() else _OURS / part


def task_folder() -> Path:
    """Where the benchmark's tasks are defined."""
    return benchmark_data("sentibench")


GRAPH_PARTS = ("holder", "target", "expression", "polarity")
"""What the four fields of a sentiment graph are, whatever they are called."""


def load_benchmark_tasks(folder: Path, names: list[str] | None = None) -> list[BenchmarkTask]:
    """The tasks of a folder of YAML files, in the order of `names`, or all by name.

    Raises:
        UserError: one line naming file and key; a name that no file has.
    """
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if not known:
        raise UserError(f"{folder}: holds no task (one YAML file each)")
    strange = [name for name in names or [] if name not in known]
    if strange:
        raise UserError(f"{strange[0]}: no such task in {folder}; there are {', '.join(known)}")
    return [read_section(BenchmarkTask, folder / f"{name}.yaml", name=name) for name in dict.fromkeys(names or known)]
