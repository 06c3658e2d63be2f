"""Bodies of requests: what is read of each form, and how each fault is told in one line."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.params import ServingParams
from compeffdist.registry.bodies import CSV, JSON, Refusal, rewritten

BOUNDS = ServingParams(rows=3)
ROWS = [{"text": "a", "task": None}, {"text": "b", "task": "mood"}]
EXPECTED = {"dataframe_split": {"columns": ["text", "task"], "data": [["a", None], ["b", "mood"]]}}


def read(body: bytes, kind: str = JSON) -> Any:
    return json.loads(rewritten(body, kind, BOUNDS))


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": ROWS},
        {"dataframe_records": [{"text": "a"}, {"task": "mood", "text": "b"}]},
        {"instances": ROWS},
        {"inputs": ROWS},
        {"inputs": {"text": ["a", "b"], "task": [None, "mood"]}},
        {"dataframe_split": {"index": [7, 8], "columns": ["task", "text"], "data": [[None, "a"], ["mood", "b"]]}},
    ],
)
def test_every_form_is_read_to_the_same_rows(body: dict[str, Any]) -> None:
    assert read(json.dumps(body).encode()) == EXPECTED
    assert read(b"\xef\xbb\xbf" + json.dumps(body).encode(), "application/json; charset=UTF-8") == EXPECTED


def test_csv_is_read_by_its_heading_and_what_is_empty_is_not_there() -> None:
    assert read(b'text,task\r\na,\r\n"b",mood\r\n', CSV) == EXPECTED
    assert read(b'{"inputs": {"text": "a"}}')["dataframe_split"]["data"] == [["a"]]


def test_params_go_along_and_halves_of_characters_do_not() -> None:
    body = b'{"instances": [{"text": "gr\\ud83deat"}], "params": {"prior_strength": 0.5}}'
    assert read(body) == {
        "dataframe_split": {"columns": ["text"], "data": [["great"]]},
        "params": {"prior_strength": 0.5},
    }
    assert "params" not in read(b'{"instances": [{"text": "a"}], "params": {"prior_strength": null}}')


def records(*rows: Any, **more: Any) -> bytes:
    return json.dumps({"dataframe_records": list(rows), **more}).encode()


ODD_TYPES = (
    "application/json; charset=latin-1",
    "x" * 900,
    "application/json" + ';"' * 400_000,
    "application/json; charset*=latin-1''utf-8",
    "text/csv; header=present; charset=utf-16",
    "application/json/more",
)
DEEP = b'{"instances":' + b"[" * 200_000


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "not JSON: Expecting value"),
        (b'{"dataframe_records": [', 400, "not JSON"),
        (DEEP, 400, "not JSON: nested too deeply"),
        (b"\xff\xfe", 400, "not UTF-8, at byte 0"),
        (b"[1]", 400, "expected a JSON object with one of dataframe_split, .* got a list"),
        (b"9" * 10_000, 400, "got a number"),
        (b"{}", 400, "got none of them"),
        (b'{"prompt": "x"}', 400, "unknown key 'prompt'; expected a JSON object"),
        (b'{"inputs": [], "instances": []}', 400, "got instances and inputs"),
        (b'{"inputs": [], "inputs": []}', 400, "key 'inputs' stands more than once"),
        (b'{"dataframe_records": {"text": "a"}}', 400, "expected a list of objects"),
        (b'{"dataframe_split": {"columns": ["text"]}}', 400, "and `data`, a list of rows"),
        (b'{"dataframe_split": {"columns": ["text", "text"], "data": []}}', 400, "strings, each once"),
        (b'{"dataframe_split": {"columns": ["text"], "data": [["a"], ["a", "b"]]}}', 400, "row 2: .* 1 values"),
        (b'{"inputs": {"text": ["a", "b"], "task": ["c"]}}', 400, "different lengths"),
        (b'{"instances": [{"text": "a", "text": "b"}]}', 400, "row 1: key 'text' stands more than once"),
        (records(), 400, "expected 1 to 3 rows, got 0"),
        (records(*[{"text": "a"}] * 4), 413, "expected 1 to 3 rows, got 4"),
        (records({"review": "a"}), 400, "no column is named text or prompt"),
        (records({"text": "a", "taks": "mood"}), 400, "unknown column 'taks'; expected text, prompt"),
        (records({"text": "a"}, {"text": 3}), 400, "row 2: text must be a string, got a number"),
        (records({"text": {"a": "b"}}), 400, "row 1: text must be a string, got an object"),
        (records({"text": "a", "labels": ["b", "c"]}), 400, "labels must be a string, got a list"),
        (b'{"instances": [{"text": NaN}]}', 400, "row 1: text must be a string, got a number"),
        (records({"text": "a"}, params=[1]), 400, "params: expected an object, got a list"),
        (records({"text": "a"}, params={"temperature": 1}), 400, "unknown key 'temperature'; there is prior_strength"),
        (records({"text": "a"}, params={"prior_strength": 7}), 400, "a number from 0 to 1"),
        (records({"text": "a"}, params={"prior_strength": True}), 400, "a number from 0 to 1"),
    ],
)
def test_each_fault_is_one_line(body: bytes, status: int, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as refused:
        rewritten(body, JSON, BOUNDS)
    assert refused.value.status == status and len(str(refused.value)) <= 300 and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"text\na,b\n", "row 1: more fields"),
        (b'text\n"a\n', "not CSV"),
        (b"review\na\n", "no column is named"),
        (b"", "no column is named"),
        (b"text,taks\na,b\n", "unknown column 'taks'"),
        (b"text,task,text\na,b,c\n", "a column more than once"),
        (b"text\n\n", "expected 1 to 3 rows, got 0"),
    ],
)
def test_faults_of_csv_are_told(body: bytes, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as refused:
        rewritten(body, CSV, BOUNDS)
    assert refused.value.status == 400


def test_csv_is_no_more_work_than_its_bytes() -> None:
    """No heading is as wide, and no table as long, that columns times rows could be."""
    wide = b"text" + b"," * 30_000 + b"\n" + b"a\n" * 30_000
    start = time.process_time()
    with pytest.raises(Refusal, match="unknown column ''"):
        rewritten(wide, CSV, BOUNDS)
    with pytest.raises(Refusal, match="expected 1 to 3 rows, got more") as refused:
        rewritten(b"text,task\n" + b"a\n" * 30_000, CSV, BOUNDS)
    assert refused.value.status == 413 and time.process_time() - start < 5
    assert read(b"text,task\n\na\n\nb,mood\n\n", CSV) == EXPECTED  # blank lines are no rows, nor beyond a bound
    assert len(read(b"text\na\nb\nc\n\n\n", CSV)["dataframe_split"]["data"]) == BOUNDS.rows


@pytest.mark.parametrize(
    "kind",
    ["Text/CSV", "text/csv; header=present", "text/csv;charset=utf8", 'text/csv; charset="UTF-8"; header=present'],
)
def test_a_type_is_read_with_whatever_parameters_it_has(kind: str) -> None:
    assert read(b"text\na\n", kind)["dataframe_split"]["data"] == [["a"]]
    assert read(b'{"inputs": {"text": "a"}}', kind.lower().replace(CSV, JSON))["dataframe_split"]["data"] == [["a"]]


@pytest.mark.parametrize("kind", ["", "application/vnd.apache.parquet", *ODD_TYPES])
def test_other_types_are_refused_as_such(kind: str) -> None:
    with pytest.raises(Refusal, match="expected application/json or text/csv") as refused:
        rewritten(b"{}", kind, BOUNDS)
    assert refused.value.status == 415


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["text", "dataframe_split"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "inputs", "x"]), inner),
)


@given(st.dictionaries(st.sampled_from(["dataframe_split", "dataframe_records", "inputs", "params"]), JSON_VALUES))
def test_whatever_is_sent_is_rewritten_or_refused(body: dict[str, Any]) -> None:
    try:
        read(json.dumps(body).encode())
    except Refusal as refused:
        assert refused.status in (400, 413)
