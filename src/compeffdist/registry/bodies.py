"""Bodies of requests to MLflow's server, read here before it sees them, and written anew in the one form it gets.

MLflow reads more than this: it answers a body it cannot read with that body and a traceback, a deeply nested one with
an error of its own, and unpacks Parquet of any size. What is read here: JSON in each of its four forms, and CSV with a
heading; columns of strings, nulls for what a row has not.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from email.message import Message
from typing import Any

from compeffdist.errors import one_line
from compeffdist.params import ServingParams
from compeffdist.registry.artifacts import STRENGTH
from compeffdist.registry.bounds import TooLarge
from compeffdist.registry.questions import COLUMNS, expect_rows
from compeffdist.texts.json_values import parse_value, repeated_key
from compeffdist.texts.normalise import whole_characters

RECORDS, SPLIT, INSTANCES, INPUTS = "dataframe_records", "dataframe_split", "instances", "inputs"
FORMS, PARAMS = (SPLIT, RECORDS, INSTANCES, INPUTS), "params"
JSON, CSV = "application/json", "text/csv"
LONGEST_TYPE = 200
"""Characters of a content type that is read."""
Row = Mapping[str, Any]


class Refusal(Exception):
    """What a client is told in place of an answer, in one line, with an HTTP status."""

    def __init__(self, status: int, message: str, retry_after: int = 0) -> None:
        super().__init__(one_line(message, 300))
        self.status = status
        self.retry_after = retry_after
        """Seconds; 0: to come back is of no use."""


def rewritten(body: bytes, content_type: str, bounds: ServingParams) -> bytes:
    """The body that MLflow is given: JSON, `dataframe_split`, with `params` if there are any.

    Raises:
        Refusal: 415 if it is of another type, 413 if it has too many rows, 400 for all else that is wrong.
    """
    kind = _kind_of(content_type)
    if kind not in (JSON, CSV):
        raise Refusal(415, f"content type {one_line(content_type or 'none', 60)!r}: expected {JSON} or {CSV}, in UTF-8")
    try:
        text = body.decode("utf-8-sig")
        rows, params = _csv(text, bounds) if kind == CSV else _json(text)
        expect_rows(len(rows), bounds)
        columns = _columns(rows)
        data = [[_string(row.get(column), number, column) for column in columns] for number, row in enumerate(rows, 1)]
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is not UTF-8, at byte {error.start}") from None
    except TooLarge as error:
        raise Refusal(413, str(error)) from None
    except ValueError as error:
        raise Refusal(400, str(error)) from None
    return json.dumps({SPLIT: {"columns": columns, "data": data}, **({PARAMS: params} if params else {})}).encode()


def _kind_of(content_type: str) -> str:
    """The media type, in small letters; empty if it is none, or of text that is not UTF-8."""
    if len(content_type) > LONGEST_TYPE:
        return ""
    header = Message()
    header["Content-Type"] = content_type
    charset = header.get_param("charset", "")
    # codecs.lookup would remember every name that a client makes up
    is_utf8 = isinstance(charset, str) and charset.strip().lower() in ("", "utf-8", "utf8")
    return header.get_content_type() if is_utf8 else ""


def _csv(text: str, bounds: ServingParams) -> tuple[list[Row], dict[str, float]]:
    """Rows, and no params. The heading is judged before there is any row, and no more rows are read than may be asked,
    so that the work grows by the body and not by columns times rows. Raises ValueError, TooLarge."""
    rows: list[Row] = []
    try:
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        heading = next(lines, [])
        _expect_columns(set(heading))
        if len(set(heading)) < len(heading):
            raise ValueError("the heading names a column more than once")
        for fields in filter(None, lines):
            if len(rows) == bounds.rows:
                raise TooLarge(f"expected 1 to {bounds.rows} rows, got more")
            if len(fields) > len(heading):
                raise ValueError(f"row {len(rows) + 1}: more fields than the heading has")
            rows.append({column: field or None for column, field in zip(heading, fields, strict=False)})
    except csv.Error as error:
        raise ValueError(f"the body is not CSV: {error}") from None
    return rows, {}


def _json(text: str) -> tuple[list[Row], dict[str, float]]:
    """Rows and params. Raises ValueError."""
    try:
        given = parse_value(text)
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from None
    expected = f"expected a JSON object with one of {', '.join(FORMS)}"
    if not isinstance(given, dict):
        raise ValueError(f"{expected}, got {_kind(given)}")
    _expect_keys(given, (*FORMS, PARAMS), "the body", expected)
    forms = [form for form in FORMS if form in given]
    if len(forms) != 1:
        raise ValueError(f"{expected}, got {' and '.join(forms) or 'none of them'}")
    form = forms[0]
    rows = _split(given[form]) if form == SPLIT else _records(given[form], form)
    return rows, _params(given.get(PARAMS))


def _split(value: Any) -> list[Row]:
    shape = f"{SPLIT}: expected an object with `columns`, a list of names, and `data`, a list of rows"
    if not isinstance(value, dict) or not all(isinstance(value.get(key), list) for key in ("columns", "data")):
        raise ValueError(shape)
    _expect_keys(value, ("columns", "data", "index"), SPLIT, shape)
    columns, data = value["columns"], value["data"]
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise ValueError(f"{SPLIT}: columns must be strings, each once")
    for number, row in enumerate(data, 1):
        if not isinstance(row, list) or len(row) != len(columns):
            raise ValueError(f"row {number}: expected a list of {len(columns)} values, as there are columns")
    return [dict(zip(columns, row, strict=True)) for row in data]


def _records(value: Any, form: str) -> list[Row]:
    if form == INPUTS and isinstance(value, dict):  # column by column
        _expect_keys(value, COLUMNS, INPUTS, f"expected {', '.join(COLUMNS)}")
        columns = {name: held if isinstance(held, list) else [held] for name, held in value.items()}
        if len({len(held) for held in columns.values()}) > 1:
            raise ValueError(f"{INPUTS}: columns of different lengths")
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise ValueError(f"{form}: expected a list of objects, a row each")
    for number, row in enumerate(value, 1):
        if (twice := repeated_key(row, COLUMNS)) is not None:
            raise ValueError(f"row {number}: key {twice!r} stands more than once")
    return list(value)


def _params(value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{PARAMS}: expected an object, got {_kind(value)}")
    _expect_keys(value, (STRENGTH,), PARAMS, f"there is {STRENGTH}")
    strength = value.get(STRENGTH)
    if strength is None:
        return {}
    if isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 <= strength <= 1:
        raise ValueError(f"{STRENGTH} must be a number from 0 to 1")
    return {STRENGTH: float(strength)}


def _columns(rows: Sequence[Row]) -> list[str]:
    """Those of COLUMNS that any row has. Raises ValueError on others."""
    named = {str(name) for row in rows for name in row}
    _expect_columns(named)
    return [column for column in COLUMNS if column in named]


def _expect_columns(named: AbstractSet[str]) -> None:
    """Raises ValueError if there is neither text nor prompt, or a column that is none of COLUMNS."""
    if not named & {"text", "prompt"}:
        raise ValueError("no column is named text or prompt")
    if unknown := sorted(named - set(COLUMNS)):
        raise ValueError(f"unknown column {one_line(unknown[0], 60)!r}; expected {', '.join(COLUMNS)}")


def _string(value: Any, number: int, column: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"row {number}: {column} must be a string, got {_kind(value)}")
    return whole_characters(value)


def _expect_keys(value: Mapping[str, Any], known: Iterable[str], where: str, expected: str) -> None:
    known = tuple(known)
    if unknown := next((key for key in value if key not in known), None):
        raise ValueError(f"{where}: unknown key {one_line(unknown, 60)!r}; {expected}")
    if (twice := repeated_key(value, known)) is not None:
        raise ValueError(f"{where}: key {twice!r} stands more than once")


def _kind(value: Any) -> str:
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a truth value",
        type(None): "null",
    }
    return names.get(dict if isinstance(value, dict) else type(value), "a number")
