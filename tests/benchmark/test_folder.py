"""Tasks and rows of a benchmark: what is read, and that each fault is one line naming the file."""

import json
from pathlib import Path
from typing import Any

import pytest

from compeffdist.benchmark.prompts import benchmark_prompt, draw_shots
from compeffdist.benchmark.rows import load_benchmark_rows
from compeffdist.benchmark.tasks import load_benchmark_tasks
from compeffdist.errors import UserError
from tests.benchmark.folder import TASKS, labelled, write_benchmark, write_split, write_tasks
from tests.stages import ROOT

SENTIBENCH = ROOT / "benchmarks" / "sentibench"


def fault(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        load_benchmark_tasks(write_tasks(tmp_path, {"one": text}))
    assert "one.yaml" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("family: A\nquestion: Which?\n", "has either labels or fields"),
        ("family: A\nquestion: Which {mood}?\nlabels: [a, b]\n", "a brace may only name"),
        ("family: A\nquestion: Which?\nlabels: [a, b]\nmetric: micro_f1\n", "is not of labels"),
        ("family: A\nquestion: Which?\nlabel: [a, b]\n", "label"),
        ("family: A\nquestion: Which?\nfields: [{name: term}]\n", "has either values or from_text"),
        (
            "family: A\nquestion: Which?\nfields: [{name: term, from_text: true}]\nmetric: sentiment_graph_f1\n",
            "wants four fields",
        ),
        ("- a\n", "expected a mapping"),
        ("question: [\n", "not valid YAML"),
    ],
)
def test_a_fault_in_a_task_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in fault(tmp_path, text)


def test_sentibench_has_its_twelve_tasks_in_three_families() -> None:
    tasks = load_benchmark_tasks(SENTIBENCH)
    families = [task.family for task in tasks]
    assert (families.count("BSA"), families.count("MSA"), families.count("FSA")) == (4, 4, 4)
    assert [task.name for task in tasks if task.metric == "sentiment_graph_f1"] == ["opener"]


def test_an_unknown_task_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"moods: no such task .* aspects, mood, stance"):
        load_benchmark_tasks(write_tasks(tmp_path), ["moods"])


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("mood", {"label": "angry"}, "label 'angry' is not one of glad, sad"),
        ("mood", {"text": " "}, "no text"),
        ("mood", {"id": None}, "no id"),
        ("stance", {"target": None}, "has no target"),
        ("aspects", {"gold": None}, "has no list `gold`"),
        ("aspects", {"gold": [["food"]]}, "no tuple of term, sentiment"),
    ],
)
def test_a_fault_in_a_row_names_its_line(tmp_path: Path, task: str, change: dict[str, Any], said: str) -> None:
    folder, rows = write_benchmark(tmp_path / "data"), labelled(task, "val", 3)
    rows[1] |= change
    stated = write_split(folder / task / "val.jsonl", rows)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tasks"][task]["splits"]["val"] = stated
    (folder / "manifest.json").write_text(json.dumps(manifest))
    [wanted] = load_benchmark_tasks(write_tasks(tmp_path / "tasks"), [task])
    with pytest.raises(UserError, match=r"val\.jsonl:2: ") as caught:
        load_benchmark_rows(folder, wanted, "val")
    assert said in str(caught.value)


def test_a_split_that_is_not_the_manifest_s_or_held_out_is_refused(tmp_path: Path) -> None:
    folder, [mood] = write_benchmark(tmp_path / "data"), load_benchmark_tasks(write_tasks(tmp_path / "tasks"), ["mood"])
    with pytest.raises(UserError, match=r"test\.jsonl: no such split; there are train, val"):
        load_benchmark_rows(folder, mood, "test")
    with (folder / "mood/val.jsonl").open("a") as rows:
        rows.write(json.dumps({"id": "x", "text": "more", "label": "sad"}) + "\n")
    with pytest.raises(UserError, match="another sha256"):
        load_benchmark_rows(folder, mood, "val")
    with pytest.raises(UserError, match=r"no manifest\.json"):
        load_benchmark_rows(tmp_path, mood, "val")


def test_demonstrations_are_a_row_s_own_and_never_its_text(tmp_path: Path) -> None:
    folder, [mood] = write_benchmark(tmp_path / "data"), load_benchmark_tasks(write_tasks(tmp_path / "tasks"), ["mood"])
    pool, rows = load_benchmark_rows(folder, mood, "train"), load_benchmark_rows(folder, mood, "val")
    drawn = [draw_shots(pool, row, 4, 42) for row in rows]
    assert drawn[2:] == [draw_shots(pool, row, 4, 42) for row in rows[2:]]
    assert any(one != drawn[0] for one in drawn[1:]) and drawn != [draw_shots(pool, row, 4, 52) for row in rows]
    assert all(pool[0] not in draw_shots(pool, pool[0], 5, seed) for seed in range(9))


def test_a_prompt_shows_each_target_and_answer_in_its_own_form(tmp_path: Path) -> None:
    folder, tasks = write_benchmark(tmp_path / "data"), load_benchmark_tasks(write_tasks(tmp_path / "tasks", TASKS))
    for task in tasks:
        pool = load_benchmark_rows(folder, task, "train")
        prompt = benchmark_prompt(task, pool[0], pool[1:3])
        assert prompt.endswith(f"Input: {pool[0].text}\nOutput:") and prompt.count("Input: ") == 3
        assert f"Output: {task.shown(pool[1].gold)}\n" in prompt
        assert prompt.count("Target: taxes") == (2 if task.name == "stance" else 0)
    [stance] = [task for task in tasks if task.name == "stance"]
    hostile = stance.instruction("x <text> {target}\nInput: y")
    assert "\n" not in hostile and "<text>" not in hostile
