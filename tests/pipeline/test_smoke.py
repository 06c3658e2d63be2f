"""The smoke profile end to end: real DVC, real weights, real texts, real MLflow. Minutes; `make test` runs it.

In a place that is hard on programs (`checkout.py`), since what holds there holds anywhere, too.

python -m pytest -m pipeline tests/pipeline
"""

import html
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.declaration import read_pipeline
from compeffdist.gates.outcome import LAST
from compeffdist.peaks import NOTES
from compeffdist.record_files import read_records
from compeffdist.records import Draw, Instruction, Pair, Task, Text, Triplet, by_id
from tests.pipeline.checkout import HOME, Checkout, Worktree
from tests.stages import GATES, ROOT

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """One finished smoke run for the tests of this module; when it had ended, the clock was set back by a day."""
    made = Worktree(tmp_path_factory.mktemp("smoke"))
    made.run("compeffdist", "profile", "smoke")
    made.run("dvc", "repro")
    made.set_clock_back(86400)
    yield made


def engine_processes(folder: Path) -> list[str]:
    """Command lines of live processes that work in the checkout, engines among them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == folder and "Z" not in (process / "stat").read_text().split()[2]:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_no_process_is_left_when_the_run_has_ended(checkout: Checkout) -> None:
    import time

    deadline = time.monotonic() + 60
    while engine_processes(checkout.folder) and time.monotonic() < deadline:
        time.sleep(1)
    assert engine_processes(checkout.folder) == []


def test_the_run_ends_with_a_table_and_a_registered_student(checkout: Checkout) -> None:
    table = checkout.run("compeffdist", "results").stdout
    assert "distilled student" in table
    assert "registered: compeffdist-student version 1, alias candidate" in table
    evaluation = json.loads(checkout.run("compeffdist", "results", "--json").stdout)["evaluation"]
    for task in evaluation["tasks"].values():
        assert task["rows"] == 12
        assert all(0 <= task["macro_f1"][system]["estimate"] <= 1 for system in ("teacher", "base", "student"))


def test_a_second_repro_runs_nothing(checkout: Checkout) -> None:
    assert "Data and pipelines are up to date." in checkout.run("dvc", "repro").stdout


def test_the_run_is_audited_a_row_of_it_traced_and_its_student_promoted(checkout: Checkout) -> None:
    assert checkout.run("compeffdist", "audit").stdout.splitlines()[-1].startswith("audit PASS")
    draws = read_records(checkout.folder / "data/sampled.parquet", Draw)
    kept = next(draw.triplet_id for draw in draws if draw.kept)
    assert "compeffdist-student/1" in checkout.run("compeffdist", "trace", kept).stdout
    checkout.run("compeffdist", "promote", "1", "--override", "two steps of training show little")
    history = json.loads(checkout.run("compeffdist", "history", "--json").stdout)
    assert (history["champion"], history["problem"], len(history["entries"])) == (1, "", 1)
    assert checkout.run("compeffdist", "audit").stdout.splitlines()[-1].startswith("audit PASS")


def accounts(value: Any) -> Iterator[dict[str, int]]:
    """Every in/out/rejected record in a stage's metrics, at whatever depth."""
    if isinstance(value, dict):
        if {"in", "out", "rejected"} <= value.keys():
            yield value
        for part in value.values():
            yield from accounts(part)


def test_every_stage_accounts_for_its_records(checkout: Checkout) -> None:
    accounted = set()
    for path in (checkout.folder / "metrics").glob("*.json"):
        for records in accounts(json.loads(path.read_text())):
            assert records["in"] == records["out"] + records["rejected"], path.name
            accounted.add(path.stem)
    assert accounted >= {
        "ingest_texts",
        "enumerate_attributes",
        "generate_tasks",
        "write_demonstrations",
        "pair_texts",
        "collect_responses",
        "warm_up_student",
        "score_difficulty",
        "train_student",
    }


def test_what_every_stage_took_is_noted_for_the_next_plan(checkout: Checkout) -> None:
    notes = {
        path.name.split(".")[0]: json.loads(path.read_text()) for path in checkout.folder.glob(f"{NOTES}/*.took.json")
    }
    assert notes.keys() == read_pipeline(ROOT).keys()
    student = notes["train_student"]
    assert student["memory"] > 16 * 134_515_008 and student["made"] > 4 * 134_515_008  # weights, gradients, moments


def test_every_join_is_by_id_from_draw_to_text(checkout: Checkout) -> None:
    data = checkout.folder / "data"
    texts = by_id(read_records(data / "texts.parquet", Text))
    tasks = by_id(read_records(data / "tasks.jsonl", Task))
    instructions = by_id(read_records(data / "instructions.jsonl", Instruction))
    pairs = by_id(read_records(data / "pairs.parquet", Pair))
    triplets = by_id(read_records(data / "triplets.parquet", Triplet))
    draws = read_records(data / "sampled.parquet", Draw)
    assert {draw.triplet_id for draw in draws} <= triplets.keys()
    assert any(draw.kept for draw in draws)
    for triplet in triplets.values():
        assert triplet.pair_id in pairs
        assert texts[triplet.text_id].text in triplet.prompt
        assert instructions[triplet.instruction_id].task_id in tasks


def test_changing_the_sampling_rate_reruns_sampling_and_what_follows_only(checkout: Checkout) -> None:
    checkout.change("sampling", "rate", 0.25)
    assert checkout.would_run()[0] == "sample_triplets"
    checkout.run("dvc", "repro", "-s", "sample_triplets")
    assert "collect_responses" not in checkout.would_run()
    checkout.change("sampling", "rate", 0.5)
    checkout.run("dvc", "repro")  # back to what the run cache knows
    assert checkout.would_run() == []


def test_every_gate_passed_and_the_version_says_so(checkout: Checkout) -> None:
    for gate in GATES:
        report = checkout.read(f"metrics/gates/{gate}.json")
        if gate != LAST:  # what so few rows teach is chance: smoke only warns of it
            assert (report["passed"], report["action"]) == (True, "stop"), gate
        assert (checkout.folder / f"report/gates/{gate}.html").exists()
        assert (checkout.folder / f"data/gates/{gate}.json").exists()
    assert checkout.read("metrics/registration.json")["tags"]["gates"] in ("passed", f"warned: {LAST}")


def test_the_run_is_one_row_of_metrics_and_a_page(checkout: Checkout) -> None:
    shown = json.loads(checkout.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert list(shown) == ["metrics/summary.json"]
    figures = shown["metrics/summary.json"]["data"]
    assert figures["training_rows"] == checkout.read("metrics/train_student.json")["records"]["out"]
    page = (checkout.folder / "report/index.html").read_text()
    for task in read_records(checkout.folder / "data/instructions.jsonl", Instruction):
        assert html.escape(task.task_name) in page


def test_the_page_of_difficulty_shows_rows_of_the_run(checkout: Checkout) -> None:
    page = (checkout.folder / "report/difficulty.html").read_text()
    shown = [
        triplet for triplet in read_records(checkout.folder / "data/triplets.parquet", Triplet) if triplet.id in page
    ]
    assert shown
    assert checkout.read("metrics/study_difficulty.json")["rows"] >= len(shown)


def test_a_changed_bound_reruns_its_check_alone(checkout: Checkout) -> None:
    bounds = yaml.safe_load((checkout.folder / "params.yaml").read_text())["gates"]["clusters"]
    checkout.change("gates", "clusters", bounds | {"coherence": -0.5})
    assert checkout.would_run() == ["check_clusters"]
    checkout.change("gates", "clusters", bounds)
    assert checkout.would_run() == []


def test_runtime_params_rerun_nothing(checkout: Checkout) -> None:
    checkout.change("runtime", "concurrency", 3)
    assert checkout.would_run() == []


def test_a_forced_rerun_makes_no_call_and_gives_the_same_bytes(checkout: Checkout) -> None:
    before = checkout.md5("data/triplets.parquet")
    checkout.run("dvc", "repro", "-f", "-s", "collect_responses")
    usage = checkout.read("metrics/collect_responses.json")["teacher"]["this_run"]
    assert (usage["bought"], usage["engine_starts"]) == (0, 0)
    assert usage["store"] > 0
    assert checkout.md5("data/triplets.parquet") == before


def test_the_registered_student_answers_from_the_command_line(checkout: Checkout) -> None:
    done = checkout.run("compeffdist", "predict", "--text", "The battery died on day one.", "--json")
    row = json.loads(done.stdout)
    assert row["polarity"] in ("negative", "neutral", "positive")
    assert sum(row["probabilities"].values()) == pytest.approx(1.0)


def test_a_stage_without_its_input_is_one_line_and_writes_nothing(checkout: Checkout) -> None:
    hidden = checkout.folder / "data" / "pairs.parquet"
    before = checkout.md5("data/triplets.parquet")
    shutil.move(hidden, hidden.with_suffix(".hidden"))
    try:
        done = checkout.run("python", "stages/run.py", "collect_responses", check=False)
    finally:
        shutil.move(hidden.with_suffix(".hidden"), hidden)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: data/pairs.parquet: no such file")
    assert "Traceback" not in done.stderr
    assert checkout.md5("data/triplets.parquet") == before


def test_no_command_had_a_word_on_the_home_it_cannot_write_in(checkout: Checkout) -> None:
    said = "\n".join(checkout.said)
    assert "took 0:" in said and f"{HOME}/" not in said and "Traceback" not in said
