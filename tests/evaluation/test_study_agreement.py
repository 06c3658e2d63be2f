"""`compeffdist study agreement` with real weights: everything is accounted for, and mistakes are one line."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from compeffdist.artefacts import SAMPLED, STUDENT, TRIPLETS
from compeffdist.cli.main import main
from compeffdist.files import read_json, write_json
from compeffdist.records import Triplet
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import label_logprobs
from tests.evaluation.agreeing import TEXTS, write_run
from tests.factories import LABELS, make_draw, make_pair, make_score
from tests.fakes import SYSTEM
from tests.student.tiny import tiny_model_folder

COMMAND = ["study", "agreement"]


@pytest.fixture
def run(tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Triplet]:
    monkeypatch.chdir(tmp_path)
    return write_run(tmp_path, base_folder)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    main([*COMMAND, "--json", *arguments])
    return json.loads(capsys.readouterr().out)


def test_every_answered_pair_is_judged_or_left_out_with_a_reason(
    run: list[Triplet], capsys: pytest.CaptureFixture[str]
) -> None:
    # five questions of twelve texts, five of each trained on; one of them is an extraction
    found = told(capsys, "--rows", "20")
    assert found["records"] == {
        "in": 60,
        "judged": {"unseen": 20},
        "left_out": {"answer_is_no_label": 7, "not_drawn": 8, "kept_for_training": 25},
    }
    assert found["unseen"]["all"]["rows"] == 20 and "seen" not in found
    assert found == read_json(Path("report/agreement.json")) and "text 3" not in json.dumps(found)
    both = told(capsys, "--rows", "1000", "--seen")
    assert both["records"] == {
        "in": 60,
        "judged": {"unseen": 28, "seen": 20},
        "left_out": {"answer_is_no_label": 7, "not_drawn": 0, "kept_for_training": 5},
    }
    assert both["seen"]["all"]["rows"] == 20
    assert told(capsys, "--rows", "1000")["unseen"] == both["unseen"]


def test_the_figures_are_of_the_prompts_of_training_under_the_student_s_system_prompt(
    run: list[Triplet], base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny_model_folder(tmp_path / "other", seed=5)
    (other / "student.json").write_text((Path(STUDENT) / "student.json").read_text())
    found = told(capsys, "--rows", "1000", "--model", str(other))
    unseen = [one for n, one in enumerate(run[: 4 * TEXTS]) if n % TEXTS >= 5]
    for name, folder in (("base", base_folder), ("student", other)):
        model, tokenizer = load_student(folder, "cpu")
        equal = 0
        for one in unseen:
            labels = ["1", "2", "3", "4", "5"] if one.task_type == "scoring" else LABELS
            [said] = label_logprobs(model, tokenizer, [one.prompt], labels, system=SYSTEM)
            equal += max(labels, key=said.__getitem__) == one.response
        estimate = found["unseen"]["all"]["priors_in"][name]["equal"]["estimate"]
        assert math.isclose(estimate, equal / len(unseen))


def test_the_table_says_what_of_which_rows(run: list[Triplet], capsys: pytest.CaptureFixture[str]) -> None:
    main([*COMMAND, "--rows", "28", "--least", "7", "--seen"])
    said = capsys.readouterr()
    lines = said.out.splitlines()
    for name, rows in (("screen", 14), ("battery life", 7), ("my own", 7)):
        assert any(line.startswith(f"| {name} ") and f"| {rows} " in line for line in lines)
    assert any(line.startswith("| no score ") for line in lines)
    assert "60 answered pairs: judged 28 unseen, 20 seen; left out 7 answer is no label" in said.out
    assert "with nothing taken out: base" in said.out and lines[-1] == "report/agreement.json"
    assert "agreement: base: 48/48" in said.err and "took" in said.err


def test_the_same_command_says_the_same_and_another_seed_draws_others(
    run: list[Triplet], capsys: pytest.CaptureFixture[str]
) -> None:
    first = told(capsys, "--rows", "12")
    TRIPLETS.write(run[::-1])
    assert told(capsys, "--rows", "12") == first
    drawn = set()
    for seed in ("1", "2", "3"):
        lines = told(capsys, "--rows", "12", "--least", "1", "--seed", seed)["unseen"]["perspectives"]
        drawn.add(tuple((line["perspective"], line["rows"]) for line in lines))
    assert len(drawn) > 1


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main([*COMMAND, *arguments])
    error = capsys.readouterr().err
    assert left.value.code == 1 and error.startswith("error: ") and error.count("\n") == 1
    assert not Path("report").exists()
    return error


def test_arguments_that_make_no_sense_are_one_line(run: list[Triplet], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--rows: must be at least 1 (got 0)" in fails(capsys, "--rows", "0")
    assert "--least: must be at least 1 (got -1)" in fails(capsys, "--least", "-1")
    assert "--out: a.html: the name must end in .json" in fails(capsys, "--out", "a.html")


def test_a_file_that_is_not_there_and_a_model_that_is_not(
    run: list[Triplet], base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nowhere" in fails(capsys, "--model", "path:nowhere")
    assert "student.json: no such file" in fails(capsys, "--model", str(base_folder))
    Path(TRIPLETS).unlink()
    assert "data/triplets.parquet: no such file; run the stage that writes it" in fails(capsys)


def test_what_a_student_of_other_rows_has_seen_is_not_known(
    run: list[Triplet], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(STUDENT) / "student.json"
    provenance = read_json(path)
    write_json(path, provenance | {"triplet_ids_sha256": "0" * 64})
    assert "models/student: it was trained on other rows than those of data/training.parquet" in fails(capsys)
    write_json(path, provenance | {"base_id": "model_other"})
    assert "models/student: it was trained from model_other, but models/student.json is model_" in fails(capsys)


def test_mode_proxy_is_refused(run: list[Triplet], capsys: pytest.CaptureFixture[str]) -> None:
    SAMPLED.write([*SAMPLED.read(), make_draw(make_pair(text_id="text_unasked"), kept=False)])
    assert "data/sampled.parquet: the run is in mode proxy" in fails(capsys)


def test_a_run_that_left_nothing_out_has_nothing_unseen(run: list[Triplet], capsys: pytest.CaptureFixture[str]) -> None:
    answered = [one for n, one in enumerate(run) if n % TEXTS != TEXTS - 1]
    TRIPLETS.write(answered)
    SAMPLED.write([make_draw(make_score(one, 0.5), kept=True) for one in answered])
    assert "nothing unseen is there to judge" in fails(capsys)
