"""Rows to measure scoring on: the pipeline's triplets where it has run, else real texts under written instructions.

Rows come as the stage gets them, all of an instruction's together. Written ones: texts of the package corpora, eight
instructions rendered by the library with four demonstrations each (texts of the same corpora with their human labels),
and as responses what needs no teacher, namely the human label, or the text itself ("repeat the text"), which makes the
long rows.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compeffdist.domain import domain_here
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.instructions.rendering import instruction_prompt, with_text
from compeffdist.models import cache_folder, model_folder, resolve_model
from compeffdist.params import load_params
from compeffdist.record_files import read_records
from compeffdist.records import Instruction, Triplet
from compeffdist.student.batching import TokenRow
from compeffdist.texts.corpora import load_corpus

CORPORA = ("vader-amazon", "vader-movies", "vader-tweets", "vader-nyt")
SUBJECTS = ("product", "film", "event", "person", "company", "idea", "place", "service")
SHOWN = 4
TURN, LONG_TURN = 8, 12
"""Written rows of an instruction before the next one's turn; in a laptop run most have about eight."""
LONG_WORDS = 90
"""Well over 100 tokens of English."""
WRITTEN = "texts of the package corpora under written instructions"


def student_folder() -> Path:
    """The base student of params.yaml."""
    params = load_params()
    cache = cache_folder(params.runtime.cache)
    return model_folder(resolve_model("student", params.models.student, cache), cache)


def real_rows(triplets: Path, count: int, cache: str) -> tuple[str, list[tuple[str, str]]]:
    """Where the rows are from, and (prompt, response) of at most `count`, instruction by instruction."""
    if not triplets.exists():
        return WRITTEN, written_rows(count, cache)
    records = sorted(read_records(triplets, Triplet), key=lambda record: (record.instruction_id, record.id))
    source = f"{min(count, len(records))} of {len(records)} triplets of {triplets}"
    return source, [(record.prompt, record.response) for record in records[:count]]


def long_rows(triplets: Path, count: int, at_least: int, tokenizer: Any, cache: str) -> tuple[str, list[TokenRow]]:
    """Where rows whose responses have `at_least` tokens are from, and `count` of them; the run's if it has enough."""
    source, texts = real_rows(triplets, sys.maxsize, cache) if triplets.exists() else (WRITTEN, [])
    found = [row for row in token_rows(tokenizer, texts) if len(row.response_ids) >= at_least]
    if len(found) < count:
        source, texts = WRITTEN, written_rows(count, cache, long=True)
        found = [row for row in token_rows(tokenizer, texts) if len(row.response_ids) >= at_least]
    return source, found[:count]


def written_rows(count: int, cache: str, *, long: bool = False) -> list[tuple[str, str]]:
    """(prompt, response) of `count` rows, an instruction's together; texts come again if they run out."""
    labelled = [
        (row.text, row.label)
        for name in CORPORA
        for row in load_corpus(name, "all", cache_folder(cache))
        if row.label is not None and not row.fault
    ]
    texts = _joined([text for text, _ in labelled])
    rows = []
    for number in range(count):
        place = number * 7919
        if long:
            instruction = _instruction(SUBJECTS[number // LONG_TURN % len(SUBJECTS)], labelled, "repeat")
            text = response = texts[place % len(texts)]
        else:
            instruction = _instruction(SUBJECTS[number // TURN % len(SUBJECTS)], labelled, "classify")
            text, response = labelled[place % len(labelled)]
        rows.append((with_text(instruction, text), response))
    return rows


def token_rows(tokenizer: Any, rows: Sequence[tuple[str, str]]) -> list[TokenRow]:
    """In the student's chat format, as the pipeline scores them."""
    return [
        TokenRow(
            f"row{number:06d}",
            encode_prompt(tokenizer, domain_here().system_prompts.student, prompt),
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
        labels=domain_here().monitored.labels,
        score_range=[],
        json_schema="",
        exact_spans=False,
        task_name=subject,
    )
    return instruction_prompt(description, form, shown)
