"""export lineage: a job for each stage, data sets with DVC's hashes, what gates found, the same bytes each time."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from compeffdist.artefacts import SAMPLED, TEXTS, TRAINING
from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.gates.outcome import report_of
from compeffdist.lineage.repository import StageLock
from compeffdist.publishing.lineage_events import export_lineage, run_facets
from tests.lineage.conftest import World
from tests.mini_stages import GATES
from tests.publishing.conftest import commit_stale


def events(world: World, tmp_path: Path, namespace: str = "mine") -> list[dict[str, Any]]:
    export_lineage(tmp_path / "events.jsonl", world.repository, namespace=namespace, force=True)
    return [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]


def complete(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {event["job"]["name"]: event for event in found if event["eventType"] == "COMPLETE"}


def test_each_stage_starts_and_completes_with_what_it_read_and_wrote(world: World, tmp_path: Path) -> None:
    found, lock = events(world, tmp_path), world.repository.workspace_lock()
    assert [(event["job"]["name"], event["eventType"]) for event in found] == [
        (name, kind) for name in lock.stages for kind in ("START", "COMPLETE")
    ]
    for name, event in complete(found).items():
        stage = lock.stages[name]
        read, made = (
            {
                one["name"]: one["facets"]["version"]["datasetVersion"]
                for one in event[side]
                if one["namespace"] == "mine"
            }
            for side in ("inputs", "outputs")
        )
        assert read == {item.path: item.md5 for item in stage.deps}
        assert made == {item.path: item.md5 for item in stage.outs}
    assert str(Path(sys.executable).parent) not in (tmp_path / "events.jsonl").read_text()  # the stages' command has it
    outside = {one["name"]: one["namespace"] for one in complete(found)["resolve_models"]["inputs"]}
    assert outside == dict.fromkeys(("teacher", "student", "embedder"), "mine:model")


def test_what_a_gate_found_are_assertions_on_what_it_read(world: World, tmp_path: Path) -> None:
    event = complete(events(world, tmp_path))["check"]
    [read] = event["inputs"]
    assertions = {one["assertion"]: one for one in read["inputFacets"]["dataQualityAssertions"]["assertions"]}
    assert read["name"] == SAMPLED
    # the miniature has one stage for all gates
    expectations = [one for gate in GATES for one in read_json(world.folder / report_of(gate))["expectations"]]
    assert {one["name"] for one in expectations} == assertions.keys()
    for one in expectations:
        told = assertions[one["name"]]
        assert (told["success"], told["severity"]) == (one["passed"], "error")
        assert (told["expected"], told["actual"]) == ("at least 1", str(one["value"]))


def test_the_columns_of_records_are_told(world: World, tmp_path: Path) -> None:
    made = {one["name"]: one for one in complete(events(world, tmp_path))["ingest_texts"]["outputs"]}
    fields = {one["name"]: one["type"] for one in made[TEXTS]["facets"]["schema"]["fields"]}
    assert fields["text"] == fields["licence"] == "string" and "source_row" in fields


def test_the_same_state_gives_the_same_bytes_also_in_a_later_commit(own_world: World, tmp_path: Path) -> None:
    before = events(own_world, tmp_path)
    assert before == events(own_world, tmp_path)
    when = own_world.run("git", "show", "-s", "--format=%cI", "HEAD").strip()
    (own_world.folder / "notes.txt").write_text("of no matter")
    own_world.run("git", "add", "-A")
    dated = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-qm", "later")
    own_world.run("env", "GIT_COMMITTER_DATE=2099-01-01T00:00:00Z", "git", *dated)
    assert events(own_world, tmp_path) == before
    assert {event["eventTime"] for event in before} == {when.replace("Z", "+00:00")}


def test_a_stage_that_was_not_run_again_is_the_same_run(own_world: World, tmp_path: Path) -> None:
    before = complete(events(own_world, tmp_path))
    lock = own_world.folder / "dvc.lock"
    whole, md5 = lock.read_text(), own_world.repository.workspace_lock().md5("metrics/evaluation.json")
    lock.write_text(whole.replace(md5, "f" * 32))
    own_world.run("git", "add", "-A")
    dated = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-qm", "evaluated anew")
    own_world.run("env", "GIT_COMMITTER_DATE=2099-01-01T00:00:00Z", "git", *dated)
    after = complete(events(own_world, tmp_path))
    changed = {name for name in before if before[name]["run"]["runId"] != after[name]["run"]["runId"]}
    assert changed == {"evaluate_student"}
    assert after["evaluate_student"]["eventTime"].startswith("2099-01-01")
    assert {after[name] == before[name] for name in before.keys() - changed} == {True}


@pytest.mark.parametrize(("stage", "path"), [("train_student", TRAINING), ("check", SAMPLED)])
def test_a_stage_that_read_what_nobody_made_is_in_no_event(
    own_world: World, tmp_path: Path, stage: str, path: str
) -> None:
    commit_stale(own_world, stage, path)
    with pytest.raises(UserError, match=f"not finished: {stage} read {path} f{{32}}"):
        events(own_world, tmp_path)
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        (["path:../../home/somebody/x"], "somebody"),
        ({"location": "https://user:secret-word@example.org/x"}, "secret-word"),
        (["path:/home/somebody/models/x"], "somebody"),
    ],
)
def test_params_hold_no_credentials_and_no_folders_of_this_machine(value: Any, hidden: str) -> None:
    stage = StageLock("s", "/opt/folder-of-mine/python s.py --token abc123secret", (), {"models": value}, (), "code")
    told = str(run_facets(stage))
    assert hidden not in told and "abc123secret" not in told
    assert "folder-of-mine" not in told and "python s.py" in told
    assert "example.org" in told or "path:x" in told
