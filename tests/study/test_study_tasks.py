"""`compeffdist study tasks` on a small run with a real scorer: every generated task has its line, mistakes are one."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compeffdist.artefacts import DEMONSTRATIONS, INSTRUCTIONS, SCORED, TASKS, TEXTS, TRIPLETS, WARM_UP, rejects_of
from compeffdist.cli.main import main
from compeffdist.difficulty.score_difficulty import score_triplets
from compeffdist.files import read_json, write_json
from compeffdist.params import load_params
from compeffdist.records import Triplet
from compeffdist.student.loading import student_id
from compeffdist.study import task_quality
from tests.evaluation.agreeing import SCREEN, questions, write_run
from tests.evaluation.agreeing import TEXTS as EACH
from tests.factories import make_task, make_text, write_scored
from tests.fakes import SYSTEM


def vectors(texts: Any) -> Any:
    """Of one text always the same."""
    made = [np.random.default_rng(sum(text.encode())).normal(size=8) for text in texts]
    return np.array([one / np.linalg.norm(one) for one in made])


@pytest.fixture
def run(tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Triplet]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(task_quality, "run_embedder", lambda params: vectors)
    triplets = write_run(tmp_path, base_folder)
    shutil.copytree(base_folder, WARM_UP)
    write_json(Path(WARM_UP) / "student.json", {"system_prompt": SYSTEM})
    params = load_params()
    warm_up = Path(WARM_UP)
    scored, _ = score_triplets(
        triplets, warm_up, params.difficulty, params.runtime, weights=student_id(warm_up), system=SYSTEM
    )
    write_scored(Path(SCORED), scored)
    of_each = {one.task_id: one for one in questions()}
    names = [make_task(perspective_id=SCREEN.id, name="screen verdict")]
    names += [make_task("scoring", perspective_id=SCREEN.id, name="screen score")]
    made = {task.id: task for task in names}
    for key, one in of_each.items():
        if key not in made:
            made[key] = make_task(one.type, perspective_id=one.perspective_id, name=one.task_name)
    TASKS.write(list(made.values()))
    TEXTS.write([make_text(f"text {n}") for n in range(EACH)])
    DEMONSTRATIONS.write([])
    rejects_of("write_demonstrations").write([])
    return triplets


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    main(["study", "tasks", "--json", *arguments])
    return json.loads(capsys.readouterr().out)


def test_every_generated_task_has_its_signs(run: list[Triplet], capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "--keep", "2", "9")
    assert found["records"] == {"tasks": 4, "answers": 48}  # the user's own is not generated
    of = {one["name"]: one for one in found["tasks"]}
    assert of.keys() == {"screen verdict", "screen score", "battery verdict", "battery words"}
    verdict = of["screen verdict"]
    assert verdict["signs"]["largest_answer"] == pytest.approx(10 / 12) and "largest_answer" in verdict["against"]
    assert verdict["signs"]["answer_overlap"] == pytest.approx(1.0)  # the same answers to the same texts
    assert verdict["signs"]["specificity"] is not None and of["screen score"]["signs"]["specificity"] is None
    assert found["specificity"]["pairs"] == 6 and found["pairs_of_tasks_with_shared_texts"] == 3
    assert set(found["flagged"]["largest_answer"]["instruction_ids"]) == {
        one["instruction_id"] for one in found["tasks"]
    }
    assert found["representatives"].keys() == {"2", "4"} and found["representatives"]["4"]["coverage"] == 1.0
    stood = [len(one["stands_for"]) for one in found["representatives"]["2"]["tasks"]]
    two = found["representatives"]["2"]
    assert sum(stood) == 4 and not {one["instruction_id"] for one in two["tasks"]} & set(two["left_out"])
    assert len(two["left_out"]) == 2 and found["representatives"]["4"]["left_out"] == []
    assert found == read_json(Path("report/tasks.json")) and "text 3" not in json.dumps(found)
    assert told(capsys, "--keep", "2", "9") == found


def test_bounds_are_options_and_scoring_can_be_left_out(
    run: list[Triplet], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_quality, "specificities", None)
    found = told(capsys, "--pairs", "0", "--largest-answer", "0.9", "--task-cosine", "-1")
    assert found["flagged"]["largest_answer"]["instruction_ids"] == []
    assert len(found["flagged"]["task_cosine"]["instruction_ids"]) == 4
    assert found["flagged"]["specificity"] == {"of": 0, "instruction_ids": []}


def test_the_table_names_the_poorest_and_why(run: list[Triplet], capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "tasks"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 generated tasks, 48 answers" and lines[-1] == "report/tasks.json"
    poorest = [line for line in lines if line.startswith("| screen verdict ")]
    assert poorest and "largest_answer 0.83 (good)" in poorest[0]
    assert any(line.startswith("specificity: 6 pairs") for line in lines)


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(["study", "tasks", *arguments])
    error = capsys.readouterr().err
    assert left.value.code == 1 and error.startswith("error: ") and error.count("\n") == 1
    assert not Path("report").exists()
    return error


def test_mistakes_of_the_user_are_one_line(run: list[Triplet], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--pairs: must not be below 0 (got -1)" in fails(capsys, "--pairs", "-1")
    assert "--keep: must be at least 1 (got 0)" in fails(capsys, "--keep", "5", "0")
    assert "--out: a.html: the name must end in .json" in fails(capsys, "--out", "a.html")
    write_json(Path(WARM_UP) / "student.json", {"system_prompt": SYSTEM, "seed": 2})
    assert "data/scored.parquet: made with other weights or settings than models/warmup" in fails(capsys)
    INSTRUCTIONS.write(questions()[:1])
    assert "data/instructions.jsonl: 1 generated tasks; a study needs at least two" in fails(capsys)
    Path(TRIPLETS).unlink()
    assert "data/triplets.parquet: no such file; run the stage that writes it" in fails(capsys)
