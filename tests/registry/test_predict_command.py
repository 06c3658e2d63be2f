"""`compeffdist predict` from arguments to lines."""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compeffdist.cli.main import main
from compeffdist.params import RegistryParams
from compeffdist.registry.register import register_student
from compeffdist.registry.tracking import open_registry
from compeffdist.registry.weights import named_version


@pytest.fixture
def uri(student_folder: Path, base_folder: Path) -> str:
    name = f"command-{student_folder.parent.name}"
    register_student(student_folder, base_folder, RegistryParams(model_name=name, experiment="tests"), {})
    return f"models:/{name}@candidate"


def test_predict_prints_a_line_a_row_in_order(uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "the film was great"}\n{"prompt": "say something"}\n', encoding="utf-8")
    main(["predict", "--model", uri, "--file", str(rows), "--json"])
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["polarity"] == max(first["probabilities"], key=first["probabilities"].__getitem__)
    assert second["prompt"] == "say something" and "answer" in second

    main(["predict", "--model", uri, "--text", "the film was great", "--text", "a\x1b[2Jb"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == first["polarity"]
    assert len(lines) == 2 and "\x1b" not in lines[1]


def test_a_refused_row_is_one_line_and_a_failure(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["predict", "--model", uri, "--text", "x" * 9000])
    assert left.value.code == 1
    assert "at most 8000" in capsys.readouterr().err.splitlines()[-1]


def test_a_file_is_answered_row_by_row_whatever_is_in_it(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mark at its head, half an emoji, a text too large, one that is empty: each row has its line."""
    path = tmp_path / "rows.jsonl"
    lines = [
        '{"text": "the film was \\ud83d great"}',
        json.dumps({"text": "x" * 9000}),
        '{"text": "a bore"}',
        '{"text": " \\ud83d "}',
        "",
        '{"text": "fine", "question": "Which \\ud83d?", "labels": ["good", "bad"]}',
    ]
    path.write_text("\n".join(lines), encoding="utf-8-sig")
    main(["predict", "--model", uri, "--file", str(path), "--json"])
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row.get("text", row.get("reject")) for row in rows] == [
        "the film was  great",
        "too_large",
        "a bore",
        "empty",
        "fine",
    ]
    assert rows[1] == {"row": 2, "reject": "too_large"}
    assert rows[4]["question"] == "Which ?" and rows[4]["label"] in ("good", "bad")
    assert f"{path}: 3 of 5 rows asked; rejected: 1 empty, 1 too_large" in printed.err
    main(["predict", "--model", uri, "--file", str(path)])
    assert capsys.readouterr().out.splitlines()[1] == "rejected too_large"


def test_a_row_of_too_many_tokens_is_rejected_and_the_others_are_answered(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPEFFDIST_SERVING_TOKENS", "3000")
    path, out, long = tmp_path / "rows.jsonl", tmp_path / "out.jsonl", "x y " * 1800
    path.write_text("\n".join(json.dumps({"text": text}) for text in ("fine", long, "", "dull")))
    main(["predict", "--model", uri, "--file", str(path), "--json"])
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert rows[1:3] == [{"row": 2, "reject": "too_large"}, {"row": 3, "reject": "empty"}]
    assert [row["text"] for row in (rows[0], rows[3])] == ["fine", "dull"]
    counted = f"{path}: 2 of 4 rows asked; rejected: 1 empty, 1 too_large"
    assert counted in printed.err
    main(["predict", "--model", uri, "--file", str(path), "--out", str(out)])
    assert counted in capsys.readouterr().err
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row.get("student_reject") for row in written] == [None, "too_large", "empty", None]
    assert "student_label" in written[3] and "student_label" not in written[1]
    with pytest.raises(SystemExit):
        main(["predict", "--model", uri, "--text", long])
    assert "row 1: a request of more than 3000 tokens" in capsys.readouterr().err


def test_halves_of_characters_in_arguments_are_left_out(uri: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--text", "a bore \udcff", "--question", "Which\udcff?", "--labels", "good\udcff,bad"]
    main(["predict", "--model", uri, *given, "--json"])
    [row] = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["text"], row["question"], set(row["probabilities"])) == ("a bore ", "Which?", {"good", "bad"})


def test_a_row_that_the_version_refuses_is_named_as_in_the_file(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.jsonl"
    rows: list[dict[str, str]] = [{"text": f"text {n}"} for n in range(300)]
    rows[1]["text"], rows[280]["task"] = "", "none such"
    path.write_text("\n\n" + "\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit):
        main(["predict", "--model", uri, "--file", str(path)])
    assert "row 283: no task 'none such'" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["text", "task"])
def test_a_key_that_stands_twice_is_refused(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{{"{key}": "a", "text": "good", "{key}": "b"}}\n')
    with pytest.raises(SystemExit):
        main(["predict", "--model", uri, "--file", str(path)])
    assert f"rows.jsonl: line 1 has the key '{key}' more than once" in capsys.readouterr().err


def test_a_text_is_answered_without_libraries_that_answer_none(uri: str) -> None:
    unused = ["fastapi", "polars", "datasets"]
    if "full" in uri:  # peft brings them
        unused += ["torch._dynamo", "triton", "scipy.optimize", "sklearn"]
    code = f"""
import sys
from compeffdist.cli.main import main
main(["predict", "--model", {uri!r}, "--text", "the film was great"])
print([name for name in {unused!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def _with_requirement(line: str) -> Callable[[Path], None]:
    def change(version: Path) -> None:
        (version / "requirements.txt").write_text(f"torch=={importlib.metadata.version('torch')}\n{line}\n")

    return change


def _of_another_python(version: Path) -> None:
    named = (version / "MLmodel").read_text()
    (version / "MLmodel").write_text(named.replace("python_version: 3.", "python_version: 2."))


@pytest.mark.parametrize(
    ("change", "warned"),
    [
        (lambda _: None, False),
        (_with_requirement("pydantic==0.1"), True),
        (_with_requirement("pydantic>=99"), True),
        (_with_requirement("no-such-package==1"), True),
        (_of_another_python, True),
    ],
)
def test_mlflow_warns_of_a_version_that_is_not_made_for_here(
    uri: str, change: Callable[[Path], None], warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_registry()
    version = named_version(client, uri)
    place = Path(client.get_model_version_download_uri(version.name, version.version).removeprefix("file://"))
    change(place)
    from mlflow import pyfunc

    said: list[str] = []
    monkeypatch.setattr(pyfunc._logger, "warning", lambda message, *_, **__: said.append(message))
    monkeypatch.setattr("mlflow.utils.requirements_utils._logger", pyfunc._logger)
    main(["predict", "--model", uri, "--text", "the film was great"])
    assert bool(said) is warned
