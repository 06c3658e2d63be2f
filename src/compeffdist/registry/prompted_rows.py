"""A user's file of questions: what each of its rows asks, or why it is not asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from compeffdist.errors import UserError
from compeffdist.params import FILE_SUFFIXES
from compeffdist.registry.questions import COLUMNS
from compeffdist.texts.normalise import whole_characters
from compeffdist.texts.tables import FileRow, read_rows

_READ = dict.fromkeys(COLUMNS, "what a row says is asked")


@dataclass(frozen=True)
class PromptedRow:
    """A row of a file of questions."""

    number: int
    """Of its line."""
    asked: Mapping[str, str]
    """What is sent: `text` or `prompt`, with what is asked of a text; empty of a row that is not asked."""
    reject: str = ""
    """Why a row is not asked: `too_large`, `empty`."""


def read_prompted_rows(
    path: Path, asked: Mapping[str, str] = MappingProxyType({}), text_field: str = ""
) -> list[PromptedRow]:
    """Rows of a file, each with a `text` or a `prompt`; with a text, `task`, or `question` and `labels` (a list, or
    separated by commas), may say what is asked of it, else that is `asked`. Other fields are left out, and halves of a
    character. What is null or blank says nothing.

    Args:
        path: CSV or Parquet by its name's end, else JSON Lines.
        text_field: the column of texts if it is not `text`; there are no prompts then.

    Raises:
        UserError: as `read_rows`; naming the row that has neither text nor prompt, or both, or a field of another type.
    """
    kind = kind_of(path)
    wanted = {text_field: "--text-field"} if text_field else {}
    rows = [_prompted(row, path, asked, text_field) for row in read_rows(path, kind, wanted, _READ)]
    if not rows:
        none = " with a column text or prompt (--text-field)" if kind == "parquet" and not text_field else ""
        raise UserError(f"{path}: no rows{none}")
    return rows


def kind_of(path: Path) -> str:
    """The kind of a file of questions: `csv` or `parquet` by its name's end, else `jsonl`."""
    return FILE_SUFFIXES.get(path.suffix.lower(), "jsonl")


def _prompted(row: FileRow, path: Path, asked: Mapping[str, str], text_field: str) -> PromptedRow:
    if row.fault:
        return PromptedRow(row.number, {}, row.fault)
    columns = {"text": text_field} if text_field else {"text": "text", "prompt": "prompt"}
    if all(row.fields.get(column) is None for column in columns.values()) and row.fields.keys() & columns.values():
        return PromptedRow(row.number, {}, "empty")
    keys = [key for key, column in columns.items() if isinstance(row.fields.get(column), str)]
    if kind_of(path) == "csv" and len(keys) > 1:  # of a CSV file, every column is filled in every row
        keys = [key for key in keys if row.fields[columns[key]].strip()] or keys[:1]
    if len(keys) != 1:
        expected = f"a string in {text_field!r}" if text_field else "a string `text` or a string `prompt`, and not both"
        hint = "" if text_field or keys else " (--text-field names another column)"
        raise UserError(f"{path}: row {row.number}: expected {expected}{hint}")
    said = {keys[0]: row.fields[columns[keys[0]]]}
    if keys == ["text"]:
        said |= _question(row.fields, f"{path}: row {row.number}") or asked
    said = {key: whole_characters(value) for key, value in said.items()}
    if not said[keys[0]].strip():
        return PromptedRow(row.number, {}, "empty")
    return PromptedRow(row.number, said)


def _question(value: Mapping[str, Any], where: str) -> dict[str, str]:
    """What a row says is asked of its text."""
    said = {key: value[key] for key in ("task", "question", "labels") if value.get(key) not in (None, "")}
    labels = said.get("labels")
    if isinstance(labels, list) and all(isinstance(label, str) and "," not in label for label in labels):
        said["labels"] = ",".join(labels)
    for key, held in said.items():
        if not isinstance(held, str):
            more = ", or a list of strings without commas" if key == "labels" else ""
            raise UserError(f"{where}: `{key}` must be a string{more}")
    return said
