"""The kinds of sheets that a person labels: how each is told, what is shown of a row, what a label may be.

Columns, labels and their meaning are those of the module that writes and reads the sheet; here stands what a page needs
beside them. A sheet more is one more entry.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compeffdist.errors import UserError, one_line
from compeffdist.prompting import with_input
from compeffdist.study import labels as difficulty
from compeffdist.study import perspective_labels as perspectives
from compeffdist.study.sheets import FORMULA
from compeffdist.texts.headers import header_of

MOST_SHOWN = 32_767
"""Characters of a cell that are shown: as many as a spreadsheet's holds."""
KEYS_OF_THE_PAGE = "jknu"
"""Which no label has."""
TEXT, LINE, FOLDED, ANSWER = "text", "line", "folded", "answer"
"""How a part is shown: as it is, in one line, opened on demand, as that which is labelled."""


@dataclass(frozen=True)
class Label:
    """One that may be given."""

    value: str
    """As it stands in the sheet."""
    key: str
    """One character, in lower case."""
    meaning: str = ""


@dataclass(frozen=True)
class Part:
    """A text of a row."""

    title: str
    text: str
    way: str = TEXT


@dataclass(frozen=True)
class Kind:
    """Sheets of one kind."""

    question: str
    """What a label answers."""
    id_column: str
    label_column: str
    labels: Sequence[Label]
    read: Callable[[Path], Mapping[str, object]]
    """The labels by id, of the reader that the sheet is for; raises UserError."""
    shown: Sequence[str]
    """Columns that parts are made of; a sheet may lack them."""
    parts: Callable[[Mapping[str, str]], list[Part]]
    """What is shown of a row, by its columns."""
    command: str
    """What a labelled sheet is for; its path follows."""


def kind_of(path: Path) -> Kind:
    """Which kind of sheet a CSV file is. Raises UserError if it is none, or cannot be read."""
    present, _ = header_of(path, "csv")
    for kind in KINDS:
        if kind.id_column in present and kind.label_column in present:
            return kind
    known = "; or ".join(f"{kind.id_column} and {kind.label_column}" for kind in KINDS)
    there = one_line(", ".join(present), 200) or "none"
    raise UserError(f"{path}: no sheet to label, which has the columns {known}; there are: {there}")


def told(cell: str) -> str:
    """A cell's text as it was before it was made harmless for spreadsheets, its lines ended as everywhere else."""
    text = cell.replace("\r\n", "\n").replace("\r", "\n")
    is_made = text.startswith("'") and text[1:].lstrip(" ").startswith(FORMULA)
    return text[1:] if is_made else text


# ---------------------------------------------------------------- difficulty

_INPUT, _, _OUTPUT = with_input("", "\0").partition("\0")
"""What stands before a text in a prompt, and behind the last one."""


def _question_text_and_answer(row: Mapping[str, str]) -> list[Part]:
    """A prompt taken apart: the instruction, its demonstrations, the text. One that is cut off stays whole."""
    prompt = told(row.get("prompt", ""))
    before, found, text = prompt.rpartition(_INPUT)
    question, _, examples = before.partition(_INPUT)
    if not found or not text.endswith(_OUTPUT):
        question, examples, text = prompt, "", ""
    line = " \N{MIDDLE DOT} ".join(filter(None, (told(row.get(name, "")) for name in ("task", "task_type"))))
    parts = [
        Part("Task", line, LINE),
        Part("Question", question),
        Part("Examples that were shown with it", f"{_INPUT}{examples}".strip() if examples else "", FOLDED),
        Part("Text", text.removesuffix(_OUTPUT)),
        Part("Answer", told(row.get("response", "")), ANSWER),
    ]
    return [part for part in parts if part.text]


# ---------------------------------------------------------------- perspectives


def _members_and_others(row: Mapping[str, str]) -> list[Part]:
    parts = [
        Part("The attributes of the perspective", told(row.get("members", "")), ANSWER),
        Part("Their exemplar", told(row.get("exemplar", "")), LINE),
        Part("The attributes of other perspectives that are nearest to it", told(row.get("elsewhere", ""))),
    ]
    return [part for part in parts if part.text]


KINDS = (
    Kind(
        question="How hard is it to answer so?",
        id_column="triplet_id",
        label_column=difficulty.LABEL,
        labels=[
            Label(str(step), str(step), meaning)
            for step, meaning in zip(
                difficulty.SCALE, ("anyone would at once", "", "", "", "an expert would have to think"), strict=True
            )
        ],
        read=difficulty.read_labels,
        shown=[name for name in difficulty.COLUMNS if name not in ("triplet_id", difficulty.LABEL)],
        parts=_question_text_and_answer,
        command="compeffdist study --labels",
    ),
    Kind(
        question="What is wrong with these attributes as one perspective?",
        id_column="perspective_id",
        label_column=perspectives.LABEL,
        labels=[
            Label(name, str(place), fault.told) for place, (name, fault) in enumerate(perspectives.FAULTS.items(), 1)
        ],
        read=perspectives.read_labels,
        shown=[name for name in perspectives.COLUMNS if name not in ("perspective_id", perspectives.LABEL)],
        parts=_members_and_others,
        command="compeffdist study perspectives --labels",
    ),
)
