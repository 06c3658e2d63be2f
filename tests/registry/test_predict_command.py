"""`compeffdist predict` from arguments to lines."""

import json
from pathlib import Path

import pytest

from compeffdist.cli.main import main
from compeffdist.params import RegistryParams
from compeffdist.registry.register import register_student


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
