"""Rows to measure scoring on: the pipeline's triplets where it has run, else real texts under written instructions.

Without a run: texts of the package corpora, eight instructions rendered by the library with four demonstrations each
(texts of the same corpora with their human labels), and as responses what needs no teacher, namely the human label,
or the text itself ("repeat the text"), which makes the long rows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compeffdist.difficulty.batching import TokenRow
from compeffdist.formatting import STUDENT_SYSTEM, encode_prompt, encode_response
from compeffdist.instructions.rendering import instruction_prompt, with_text
from compeffdist.models import cache_folder
from compeffdist.polarity import POLARITIES
from compeffdist.records import Instruction, Triplet, read_records
from compeffdist.texts.corpora import load_corpus

CORPORA = ("vader-amazon", "vader-movies", "vader-tweets", "vader-nyt")
SUBJECTS = ("product", "film", "event", "person", "company", "idea", "place", "service")
SHOWN = 4
ROWS_IN_TURN = 10
"""Rows of one instruction before the next one's turn: nine labels and a long response."""
LONG_WORDS = 80
"""About 100 tokens of English."""


def real_rows(triplets: Path, count: int, cache: str) -> tuple[str, list[tuple[str, str]]]:
    """Where the rows are from, and (prompt, response) of each; a tenth of the written ones are long."""
    if triplets.exists():
        records = read_records(triplets, Triplet)
        chosen = [records[place * len(records) // count] for place in range(count)] if len(records) > count else records
        return str(triplets), [(record.prompt, record.response) for record in chosen]
    return "package corpora under written instructions", written_rows(count, cache)


def written_rows(count: int, cache: str) -> list[tuple[str, str]]:
    """(prompt, response) of `count` rows, ten of each instruction in turn; texts come again if they run out."""
    labelled = [
        (row.text, row.label)
        for name in CORPORA
        for row in load_corpus(name, "all", cache_folder(cache))
        if row.label is not None and not row.fault
    ]
    long = _joined([text for text, _ in labelled])
    rows = []
    for number in range(count):
        subject = SUBJECTS[number // ROWS_IN_TURN % len(SUBJECTS)]
        if number % 10 == 9:
            text = long[number * 7919 % len(long)]
            rows.append((with_text(_instruction(subject, labelled, "repeat"), text), text))
        else:
            text, label = labelled[number * 7919 % len(labelled)]
            rows.append((with_text(_instruction(subject, labelled, "classify"), text), label))
    return rows


def long_rows(rows: Sequence[TokenRow], at_least: int) -> list[TokenRow]:
    """Those with responses of so many tokens."""
    return [row for row in rows if len(row.response_ids) >= at_least]


def token_rows(tokenizer: Any, rows: Sequence[tuple[str, str]]) -> list[TokenRow]:
    """In the student's chat format, as the pipeline scores them."""
    return [
        TokenRow(
            f"row{number:06d}",
            encode_prompt(tokenizer, STUDENT_SYSTEM, prompt),
            encode_response(tokenizer, response, end=False),
        )
        for number, (prompt, response) in enumerate(rows)
    ]


def _joined(texts: Sequence[str]) -> list[str]:
    """Texts of LONG_WORDS words and more, made of neighbours in a corpus."""
    long, parts = [], []
    for text in texts:
        parts.append(text)
        if sum(len(part.split()) for part in parts) >= LONG_WORDS:
            long.append(" ".join(parts))
            parts = []
    return long


def _instruction(subject: str, labelled: Sequence[tuple[str, str]], kind: str) -> str:
    start = SUBJECTS.index(subject) * SHOWN
    shown = labelled[start : start + SHOWN]
    description = f"Decide what the text feels about the {subject} it speaks of."
    task_type = "closed_classification"
    if kind == "repeat":
        shown = [(text, text) for text, _ in shown]
        description, task_type = f"Repeat the text about the {subject} word by word.", "analysis"
    form: Any = Instruction(
        task_id="",
        perspective_id="",
        demonstration_ids=[],
        prompt="",
        type=task_type,
        labels=list(POLARITIES),
        score_range=[],
        json_schema="",
        exact_spans=False,
        task_name=subject,
    )
    return instruction_prompt(description, form, shown)
