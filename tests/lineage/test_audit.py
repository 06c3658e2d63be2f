"""An untouched run passes; any flipped byte, lost row or untrue tag is found and named."""

import json
import random
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from compeffdist.artefacts import TEXTS, TRIPLETS
from compeffdist.cli.main import main
from compeffdist.declaration import CODE
from compeffdist.gates.outcome import report_of
from compeffdist.ledger import Ledger
from compeffdist.lineage.byte_checks import cache_links, committed_inputs_links, workspace_links
from compeffdist.lineage.checkout import version_problems
from compeffdist.lineage.links import Link
from compeffdist.lineage.model_checks import version_links
from compeffdist.lineage.record_checks import ACCOUNTS, record_links
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.versions import Version
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Triplet
from compeffdist.registry.artifacts import manifest, model_files, verify_version
from compeffdist.registry.tracking import open_tracking
from compeffdist.teacher.store import store_problems
from tests.lineage.conftest import MODEL, World, without_the_text


@contextmanager
def flipped(path: Path, generator: random.Random) -> Iterator[None]:
    """One bit of one byte of a file changed, and put back."""
    before, mode = path.read_bytes(), path.stat().st_mode
    place = generator.randrange(len(before))
    path.chmod(mode | stat.S_IWUSR)
    try:
        with path.open("r+b") as stream:
            stream.seek(place)
            stream.write(bytes([before[place] ^ (1 << generator.randrange(8))]))
        yield
    finally:
        path.write_bytes(before)
        path.chmod(mode)


def missed(paths: list[Path], broken: Callable[[], bool]) -> list[Path]:
    """The files in which a flipped byte goes unnoticed."""
    generator, unnoticed = random.Random(1), []
    planted = [path for path in paths if path.stat().st_size]
    for path in planted:
        with flipped(path, generator):
            if not broken():
                unnoticed.append(path)
    print(f"{len(planted) - len(unnoticed)} of {len(planted)} planted faults found")
    return unnoticed


def failed(links: Iterator[Link]) -> bool:
    return any(link.status == "FAIL" for link in links)


def failures(world: World) -> list[str]:
    return [str(link) for link in world.auditor().audit().failures]


def test_an_untouched_run_passes(world: World) -> None:
    audit = world.auditor().audit()
    assert audit.passed, audit.failures
    checks = {link.check for link in audit.links}
    assert checks == {
        *("bytes", "inputs", "chain", "cache", "records", "parents", "accounts", "evaluate", "store", "weights"),
        *("registry", "ledger"),
    }
    assert {link.subject for link in audit.links if link.status == "SKIP"} == {"teacher", "student", "embedder"}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What `compeffdist audit` prints of a run that is broken."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["audit", *arguments])
    assert left.value.code == 1
    return capsys.readouterr().out.splitlines()


def without_artefacts(world: World) -> None:
    """As in a fresh clone: what git does not have is not there."""
    name_model(world)
    for item in world.repository.workspace_lock().outs.values():
        if item.path.startswith(("data/", "models/", "report/")):
            path = world.folder / item.path
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(world.repository.cache)


def name_model(world: World) -> None:
    path = world.folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["registry"]["model_name"] = MODEL
    path.write_text(yaml.safe_dump(params))


@pytest.mark.parametrize("arguments", [[], ["--failures"], ["--model", "1"]])
def test_where_no_artefact_is_there_one_line_says_what_to_do(
    own_world: World, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    without_artefacts(own_world)
    first, *between, last = printed(capsys, *arguments)
    assert first.startswith("of the run in dvc.lock no file of records is on this machine (")
    assert first.endswith("make it with: make repro; or, where a remote has it, bring it with: dvc pull")
    assert not any(line.split()[1] in ("bytes", "records") for line in between)
    assert last.startswith("audit FAIL: ")
    told = json.loads("\n".join(printed(capsys, "--json")))
    assert told.keys() == {"passed", "links"} and not told["passed"]
    assert sum(link["check"] == "records" for link in told["links"]) >= 10


def test_what_is_there_and_wrong_is_told_beside_that_line(own_world: World, capsys: pytest.CaptureFixture[str]) -> None:
    without_artefacts(own_world)
    metrics = next(item.path for item in own_world.repository.workspace_lock().outs.values() if "metrics/" in item.path)
    (own_world.folder / metrics).write_text("{}")
    first, *between, _ = printed(capsys, "--failures")
    assert "no file of records" in first
    assert any(line.startswith(f"FAIL  bytes     {metrics}  ") for line in between)


def test_of_a_state_of_git_that_is_not_there_the_line_says_which_it_is(
    own_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    without_the_text(own_world)
    without_artefacts(own_world)
    first, *_ = printed(capsys, "--model", "1")
    assert re.match(r"of the run in dvc\.lock of commit [0-9a-f]{10} .* bring it with: dvc fetch --all-commits$", first)


def test_where_one_artefact_is_there_each_is_told(own_world: World, capsys: pytest.CaptureFixture[str]) -> None:
    without_artefacts(own_world)
    (own_world.folder / TEXTS).write_bytes(b"other bytes")
    lines = printed(capsys, "--failures")
    assert sum(line.startswith("FAIL  records ") for line in lines) >= 10
    assert "no file of records" not in lines[0]


def test_a_version_is_audited_with_its_own_data(world: World) -> None:
    audit = world.auditor().version_audit(world.versions[0])
    assert audit.passed, audit.failures
    assert any(link.subject == f"models:/{MODEL}/1 tags" for link in audit.links)


def test_a_flipped_byte_in_any_artefact_is_found(world: World) -> None:
    lock = world.repository.workspace_lock()
    outs = [world.folder / path for path in lock.outs]
    files = [file for out in outs for file in (out.rglob("*") if out.is_dir() else [out]) if file.is_file()]
    assert len(files) >= 30
    assert missed(files, lambda: failed(workspace_links(world.repository, lock))) == []


def test_a_flipped_byte_in_any_cache_object_is_found(world: World) -> None:
    objects = [path for _, path in world.repository.cached_objects()]
    assert len(objects) >= 25
    assert missed(objects, lambda: failed(cache_links(world.repository, world.repository.locks()))) == []


def test_a_cache_object_that_cannot_be_read_is_told_and_not_stumbled_over(own_world: World) -> None:
    """As a remote may give it: DVC takes what is in its cache for what its name says."""
    repository, auditor = own_world.repository, own_world.auditor()
    lock = repository.locks()[0]
    kept = repository.object_path(lock.md5("data/pairs.parquet") or "")
    (own_world.folder / "data/pairs.parquet").unlink()
    before, generator, unreadable = kept.read_bytes(), random.Random(3), 0
    kept.chmod(0o644)
    for place in generator.sample(range(len(before)), 40):
        kept.write_bytes(before[:place] + bytes([before[place] ^ (1 << generator.randrange(8))]) + before[place + 1 :])
        links = [*auditor._contents(Snapshot(repository, lock))]
        unreadable += any(link.status == "FAIL" and link.check == "records" for link in links)
    kept.write_bytes(before)
    assert unreadable > 15


def test_a_flipped_byte_anywhere_in_the_store_is_found(world: World) -> None:
    size = world.store.stat().st_size
    generator = random.Random(3)
    unnoticed = []
    for _ in range(300):
        with flipped(world.store, generator):
            if not store_problems(world.store):
                unnoticed.append(size)
    assert unnoticed == []
    assert store_problems(world.store) == []


def test_a_flipped_byte_in_a_registered_version_is_found(world: World) -> None:
    version = world.versions[0]
    with model_files(open_tracking(), MODEL, "1") as folder:
        # of each kind of file one: tests/registry/test_artifacts.py has them all
        chosen = list({Path(name).suffix: folder / name for name in manifest(folder)}.values())
        assert len(chosen) >= 5
        assert missed(chosen, lambda: failed(version_links(version, world.snapshot))) == []


def test_the_artefact_is_named(world: World) -> None:
    with flipped(world.folder / "data/triplets.parquet", random.Random(2)):
        found = failures(world)
    assert any(line.startswith("FAIL  bytes     data/triplets.parquet  MD5 is") for line in found)
    assert any("dvc checkout --force" in line for line in found)


def test_a_record_that_does_not_fit_its_id_is_named(own_world: World) -> None:
    path = own_world.folder / "data/tasks.jsonl"
    path.write_text(path.read_text().replace("Judge the", "Rate the", 1))
    own_world.dvc_commit("generate_tasks")  # as if the edit were meant: hashes fit, ids do not
    found = failures(own_world)
    assert any(
        "records   data/tasks.jsonl" in line and "does not match the record's contents" in line for line in found
    )
    assert any("chain" in line and "write_demonstrations read data/tasks.jsonl" in line for line in found)


def test_records_of_another_version_of_the_code_are_said_to_be_unread_and_hide_nothing(own_world: World) -> None:
    path = own_world.folder / TRIPLETS
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"compeffdist.record": "sample@2"}), path)
    own_world.dvc_commit("collect_responses")
    lock = own_world.repository.workspace_lock()
    told = [link for link in record_links(Snapshot(own_world.repository, lock)) if link.subject == TRIPLETS]
    assert [link.status for link in told] == ["SKIP"]
    assert "holds sample@2 records, which another version of this code wrote" in told[0].detail
    # of the version that was trained on the former records all is looked at, of this state no further
    assert sum(link.check == "accounts" for link in own_world.auditor().audit().links) == len(ACCOUNTS) + 1
    text = next(iter(own_world.records(TEXTS)))
    plan = own_world.forgetting().plan(text.id)
    assert any(TRIPLETS in line for line in plan.unlooked)


def test_a_lost_row_and_a_missing_parent_are_named(own_world: World) -> None:
    path = own_world.folder / "data/triplets.parquet"
    triplets = read_records(path, Triplet)
    write_records(path, Triplet, triplets[1:])
    own_world.dvc_commit("collect_responses")
    found = failures(own_world)
    assert any(
        "accounts  data/pairs.parquet to data/triplets.parquet" in line and f"{triplets[0].pair_id} was lost" in line
        for line in found
    )
    assert any("parents" in line and f"its parent {triplets[0].id} is nowhere" in line for line in found)


def test_code_params_and_sources_that_changed_since_are_named(own_world: World) -> None:
    with (own_world.folder / "sources.jsonl").open("a") as stream:
        stream.write("{}\n")
    params = own_world.folder / "params.yaml"
    params.write_text(params.read_text().replace("min_characters: 30", "min_characters: 31"))
    found = "\n".join(failures(own_world))
    assert "sources.jsonl (stage ingest_texts)" in found
    assert "texts (stage ingest_texts)" in found


def test_code_that_means_something_else_since_is_named_and_a_comment_is_not(own_world: World) -> None:
    script = own_world.folder / "stages/pair_texts.py"
    script.write_text(f"# said otherwise\n{script.read_text()}")
    assert failures(own_world) == []
    script.write_text("PAIRS = 2\n")
    assert any("inputs" in line and "stage pair_texts" in line for line in failures(own_world))
    own_world.run("git", "checkout", "-q", "stages")
    (own_world.folder / CODE).write_text('pair_texts: "0123456789abcdef"\n')
    own_world.commit("fingerprints that no run had")
    lock = own_world.repository.locks()[0]
    links = committed_inputs_links(own_world.repository, lock, own_world.run("git", "rev-parse", "HEAD").strip())
    assert [link.status for link in links] == ["PASS"]  # the commit before holds the lock, too, and fits
    later = replace(lock, commits=())
    links = committed_inputs_links(own_world.repository, later, own_world.run("git", "rev-parse", "HEAD").strip())
    assert ["code of stage pair_texts" in link.detail for link in links] == [True]


def test_an_untrue_tag_and_an_edited_ledger_are_named(own_world: World) -> None:
    open_tracking().set_model_version_tag(MODEL, "1", "teacher_id", "model_other")
    ledger = own_world.folder / "data/withdrawals.jsonl"
    Ledger(ledger).append("withdraw", {"text_id": "text_x"})
    ledger.write_text(ledger.read_text().replace("text_x", "text_y"))
    found = "\n".join(failures(own_world))
    assert "teacher_id is model_other" in found
    assert "ledger" in found and "withdrawals.jsonl" in found


def test_a_tag_that_makes_the_gates_look_better_is_named(own_world: World) -> None:
    report = own_world.folder / report_of("sample")
    report.write_text('{"passed": false, "action": "warn"}')
    own_world.dvc_commit("check")
    found = "\n".join(failures(own_world))
    assert "gates is passed, the data says warned: sample" in found
    assert "gate.sample is passed, the data says warned" in found


def test_a_registered_student_that_is_not_the_one_of_the_data_is_named(world: World) -> None:
    other = world.versions[0].tags["student_md5"][::-1]
    assert verify_version(open_tracking(), MODEL, 1, world.versions[0].tags["student_md5"]) == []
    assert verify_version(open_tracking(), MODEL, 1, other) == [
        f"the registered student is not the one with MD5 {other} that its data leads to"
    ]


def test_a_version_without_a_manifest_says_what_to_do(own_world: World) -> None:
    open_tracking().delete_model_version_tag(MODEL, "1", "files_sha256")
    found = "\n".join(failures(own_world))
    assert "files.json is not kept with the version" in found and "dvc repro -f -s register_student" in found


def test_a_ledger_that_was_cut_off_at_its_end_is_named(own_world: World) -> None:
    ledger = Ledger(own_world.folder / "data/withdrawals.jsonl")
    for number in range(2):
        ledger.append("withdraw", {"text_id": f"text_{number}"})
    own_world.commit("withdrawals")
    ledger.append("withdraw", {"text_id": "text_3"})
    assert not any("cut off" in line for line in failures(own_world))
    ledger.path.write_bytes(b"".join(ledger.path.read_bytes().splitlines(keepends=True)[:1]))
    assert any("withdrawals.jsonl  lines that the last commit has were cut off" in line for line in failures(own_world))


def test_a_stage_that_never_ran_is_named(own_world: World) -> None:
    definition = own_world.folder / "dvc.yaml"
    definition.write_text(definition.read_text() + "  publish:\n    cmd: 'true'\n")
    assert any("stage publish has not run" in line for line in failures(own_world))


def test_promotion_is_refused_by_what_the_audit_finds_in_the_data(own_world: World) -> None:
    params = yaml.safe_load((own_world.folder / "params.yaml").read_text())
    params["registry"]["model_name"] = MODEL
    params["runtime"] |= {"store": str(own_world.store), "cache": str(own_world.folder / "cache")}
    (own_world.folder / "params.yaml").write_text(yaml.safe_dump(params))
    assert version_problems(1) == []
    with flipped(own_world.folder / "data/sampled.parquet", random.Random(4)):
        assert any(line.startswith("bytes data/sampled.parquet: MD5 is") for line in version_problems(1))


@pytest.mark.pipeline
def test_an_old_version_is_audited_from_the_cache_after_the_data_moved_on(own_world: World) -> None:
    source = own_world.folder / "sources.jsonl"
    source.write_text(source.read_text() + '{"text": "a new text on the screen of the thing"}\n')
    own_world.repro()
    own_world.commit("more texts")
    version: Version = own_world.versions[0]
    audit = own_world.auditor().version_audit(version)
    assert audit.passed, audit.failures
    assert any(link.check == "bytes" and "in the cache" in link.detail for link in audit.links)
    lost = own_world.repository.object_path(version.lock(own_world.repository.locks()).md5("data/pairs.parquet"))  # type: ignore[union-attr]
    lost.chmod(0o600)
    lost.unlink()
    found = [str(link) for link in own_world.auditor().version_audit(version).failures]
    assert any("data/pairs.parquet" in line and "dvc fetch --all-commits" in line for line in found)


@pytest.mark.pipeline
def test_a_clone_that_pulled_from_a_remote_traces_and_audits(own_world: World, tmp_path: Path) -> None:
    own_world.run("dvc", "remote", "add", "-d", "origin", str(tmp_path / "remote"))
    own_world.commit("remote")
    own_world.run("dvc", "push", "-q")
    own_world.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = World(tmp_path / "clone", own_world.uri)
    clone.run("dvc", "pull", "-q")
    assert clone.run("dvc", "status").strip() == "Data and pipelines are up to date."
    assert "Running stage" not in clone.run("dvc", "repro", "--dry")
    audit = clone.auditor().audit()
    assert audit.passed, audit.failures
    assert any(link.check == "store" and link.status == "SKIP" for link in audit.links)
    trace = clone.tracer().trace(f"models:/{MODEL}/1")
    assert trace.ancestors and not trace.missing


@pytest.mark.pipeline
def test_what_a_remote_gives_back_otherwise_than_it_was_pushed_is_not_taken(own_world: World, tmp_path: Path) -> None:
    own_world.run("dvc", "remote", "add", "-d", "origin", str(tmp_path / "remote"))
    own_world.commit("remote")
    own_world.run("dvc", "push", "-q")
    md5 = str(own_world.repository.locks()[0].md5("data/pairs.parquet"))
    kept = tmp_path / "remote/files/md5" / md5[:2] / md5[2:]
    kept.chmod(0o600)
    body = bytearray(kept.read_bytes())
    body[len(body) // 2] ^= 1
    kept.write_bytes(body)
    own_world.run("git", "clone", "-q", ".", str(tmp_path / "clone"))
    clone = World(tmp_path / "clone", own_world.uri)
    with pytest.raises(pytest.fail.Exception, match="data/pairs"):
        clone.run("dvc", "pull")
    assert not (clone.folder / "data/pairs.parquet").exists()
    found = [str(link) for link in clone.auditor().audit().failures]
    assert any("data/pairs.parquet" in line for line in found), found
