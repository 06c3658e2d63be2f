"""`compeffdist score` on files of any origin: every row comes out, bad input is one line."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compeffdist.cli.main import main
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student
from tests.fakes import SYSTEM

from .oracle import oracle_row, slow_measures

ROWS = [
    {"prompt": "the film was great", "response": "positive"},
    {"prompt": "the film was great", "response": ""},
    {"prompt": "a bore", "response": "the film was dreadful"},
]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("compeffdist.precision.cpu_multiplies", lambda dtype: False)


def run(folder: Path, source: str, target: str, *more: str) -> None:
    main(["score", "--model", str(folder), "--triplets", source, "--out", target, "--device", "cpu", *more])


def write_lines(name: str, rows: list[Any]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_scores_are_the_oracles_and_every_row_comes_out(base_folder: Path, capsys: Any) -> None:
    write_lines("rows.jsonl", ROWS)
    run(base_folder, "rows.jsonl", "scores.jsonl", "--ifd", "--json")
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["scored"], summary["rejected"]) == (3, 2, {"empty_response": 1})
    first, empty, last = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    assert (empty["id"], empty["reason"], empty["ranking"]) == ("2", "empty_response", None)
    model, tokenizer = load_student(base_folder, "cpu", "float32")
    for scored, row in ((first, ROWS[0]), (last, ROWS[2])):
        truth, bare = (
            slow_measures(
                oracle_row(
                    model,
                    TokenRow(
                        scored["id"],
                        encode_prompt(tokenizer, SYSTEM, prompt),
                        encode_response(tokenizer, row["response"], end=False),
                    ),
                    0.95,
                )
            )
            for prompt in (row["prompt"], "")
        )
        assert scored["ranking"] == pytest.approx(truth["ranking_excluding_zero"], abs=1e-5)
        assert scored["ifd"] == pytest.approx(truth["perplexity"] / bare["perplexity"], rel=1e-4)
        assert {name: scored[name] for name in truth} == pytest.approx(truth, rel=1e-4, abs=1e-5)


def test_parquet_in_and_out_gives_what_lines_do(base_folder: Path) -> None:
    write_lines("rows.jsonl", ROWS)
    pq.write_table(pa.Table.from_pylist([{**row, "note": 1} for row in ROWS]), "rows.parquet")
    run(base_folder, "rows.jsonl", "scores.jsonl")
    pq.write_table(pa.Table.from_pylist([{**row, "id": None} for row in ROWS]), "unnamed.parquet")
    run(base_folder, "unnamed.parquet", "unnamed.jsonl")
    assert Path("unnamed.jsonl").read_text() == Path("scores.jsonl").read_text()
    run(base_folder, "rows.parquet", "scores.parquet")
    lines = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    assert pq.read_table("scores.parquet").to_pylist() == lines


def test_an_adapter_is_scored_over_its_base(base_folder: Path, student_folder: Path, capsys: Any) -> None:
    write_lines("rows.jsonl", ROWS)
    run(base_folder, "rows.jsonl", "base.jsonl")
    if (student_folder / "adapter_config.json").exists():
        with pytest.raises(SystemExit):
            run(student_folder, "rows.jsonl", "student.jsonl")
        assert "holds an adapter; name the model it was trained on with --base" in capsys.readouterr().err
    run(student_folder, "rows.jsonl", "student.jsonl", "--base", str(base_folder))
    scored = [json.loads(line) for line in Path("student.jsonl").read_text().splitlines()]
    model, tokenizer = load_student(student_folder, "cpu", "float32", base_folder)
    prompt_ids = encode_prompt(tokenizer, SYSTEM, ROWS[2]["prompt"])
    response_ids = encode_response(tokenizer, ROWS[2]["response"], end=False)
    truth = oracle_row(model, TokenRow("3", prompt_ids, response_ids), 0.95)
    assert scored[2]["ranking"] == pytest.approx(slow_measures(truth)["ranking_excluding_zero"], abs=1e-5)
    assert Path("student.jsonl").read_text() != Path("base.jsonl").read_text()


def test_plain_prompts_need_no_chat_template(base_folder: Path) -> None:
    write_lines("rows.jsonl", ROWS)
    run(base_folder, "rows.jsonl", "chat.jsonl")
    run(base_folder, "rows.jsonl", "plain.jsonl", "--plain")
    assert Path("chat.jsonl").read_text() != Path("plain.jsonl").read_text()


@pytest.mark.parametrize(
    ("content", "more", "message"),
    [
        ('{"prompt": "a"}\n', [], "row 1 has no text 'response'; it has: prompt"),
        ('{"prompt": "a", "response": "b"}\nnot\n', [], "line 2 is not valid JSON"),
        ("[1]\n", [], "line 1 is not a JSON object but list"),
        ('{"prompt": "a", "response": "b", "response": "c"}\n', [], "line 1 has the key 'response' more than once"),
        ('{"id": [1], "prompt": "a", "response": "b"}\n', [], "row 1: its id [1] is neither text nor a whole number"),
        ("", [], "holds no rows"),
        ('{"id": 1, "prompt": "a", "response": "b"}\n' * 2, [], "row 2 repeats the id '1'"),
        ('{"prompt": "a", "response": "b"}\n', ["--top-p", "1.5"], "--top-p: Input should be less than 1"),
    ],
)
def test_bad_input_is_one_line(base_folder: Path, capsys: Any, content: str, more: list[str], message: str) -> None:
    Path("rows.jsonl").write_text(content)
    with pytest.raises(SystemExit) as left:
        run(base_folder, "rows.jsonl", "scores.jsonl", *more)
    error = capsys.readouterr().err
    assert left.value.code == 1
    assert message in error and error.count("\n") == 1
    assert not Path("scores.jsonl").exists()


def test_half_a_character_loses_its_row_alone_and_a_mark_at_the_head_none(base_folder: Path, capsys: Any) -> None:
    rows = [{**ROWS[0], "id": "a"}, {"id": "b\ud83d", "prompt": "a bore \ud83d", "response": "positive"}, ROWS[2]]
    lines = [json.dumps(row) for row in rows]
    Path("rows.jsonl").write_text("\n".join(lines), encoding="utf-8-sig")
    run(base_folder, "rows.jsonl", "scores.jsonl", "--json")
    assert json.loads(capsys.readouterr().out)["rejected"] == {"encoding_lost": 1}
    scored = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in scored] == [None, "encoding_lost", None]
    assert [row["ranking"] is None for row in scored] == [False, True, False]
    assert scored[0]["id"] == "a" and scored[1]["id"].startswith("b\N{REPLACEMENT CHARACTER} ")
    assert scored[2]["id"] == "3"


def test_numbers_are_ids_by_their_digits(base_folder: Path) -> None:
    lines = [f'{{"id": {written}, "prompt": "a", "response": "bore"}}' for written in ("0.0", "9007199254740993.0", 7)]
    Path("rows.jsonl").write_text("\n".join(lines))
    run(base_folder, "rows.jsonl", "scores.jsonl")
    scored = [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()]
    assert [row["id"] for row in scored] == ["0", "9007199254740993", "7"]


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("none.jsonl", "scores.jsonl", "none.jsonl: no such file"),
        ("rows.csv", "scores.jsonl", "rows.csv: expected a file whose name ends in .jsonl or .parquet"),
        ("rows.jsonl", "scores.csv", "scores.csv: the name of the output must end in"),
        ("rows.jsonl", "./rows.jsonl", "rows.jsonl: is what is scored, and would be lost"),
    ],
)
def test_a_file_that_cannot_be_is_named(base_folder: Path, capsys: Any, source: str, target: str, message: str) -> None:
    with pytest.raises(SystemExit):
        run(base_folder, source, target)
    assert message in capsys.readouterr().err
