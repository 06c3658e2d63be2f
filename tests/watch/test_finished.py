"""What is told of a run that is over, or of none: over the files of a real one in miniature."""

import json
import math
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.artefacts import REPORT, TRAINING_CURVE, TRIPLETS, rejects_of
from compeffdist.cli.main import main
from compeffdist.files import hash_file
from compeffdist.gates.outcome import Finding, Outcome, page_of, report_of
from compeffdist.params import load_params
from compeffdist.processes import process_id, run_process
from compeffdist.records import Reject
from compeffdist.stage_notes import note_path
from compeffdist.teacher.spending import Ledger, Spent
from compeffdist.watch import curves, freshness, gates, left_out, state, teacher
from compeffdist.watch.state import Watcher
from tests.factories import make_triplet
from tests.mini_run import MiniRun
from tests.mini_stages import TEACHER
from tests.watch.looking import files, states


def looked() -> dict[str, Any]:
    return Watcher().state()


def test_every_stage_of_a_finished_run_is_done_and_looking_changes_nothing(
    run: MiniRun, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(run.folder)
    state = looked()
    assert set(states(state).values()) == {"done"} and state["headline"] == "Done: every stage is up to date"
    assert state["run"] is None and state["faults"][1:] == []
    rejected = {one["stage"]: one for one in state["left_out"]}
    kept = run.records(rejects_of("collect_responses"))
    assert rejected["collect_responses"]["reasons"] == [{"reason": "label_not_in_set", "count": len(kept)}]
    assert rejected["collect_responses"]["latest"][0]["record_id"] == kept[-1].record_id
    assert len(state["answers"]) == 8 and all(one["question"] and one["answer"] for one in state["answers"])
    main(["watch", "--once"])
    assert capsys.readouterr().out.startswith("Done: every stage is up to date\n")
    main(["watch", "--json"])
    assert states(json.loads(capsys.readouterr().out)) == states(state)
    assert files(run.folder) == before


def test_a_run_that_bought_nothing_shows_the_last_of_its_triplets(run: MiniRun) -> None:
    Path("answers.sqlite").unlink()
    last = run.records(TRIPLETS)[-1]
    found = looked()["answers"]
    assert len(found) == 8 and (found[0]["at"], found[0]["answer"]) == (str(TRIPLETS), last.response)
    assert found[0]["question"].endswith(" ".join(last.prompt[-40:].split()))
    Path("sources.jsonl").write_text("")
    assert looked()["answers"] == []  # they are of an earlier run


def test_answers_bought_before_the_triplets_were_made_do_not_hide_them(run: MiniRun) -> None:
    last = run.records(TRIPLETS)[-1]
    with closing(sqlite3.connect("answers.sqlite")) as store, store:
        store.execute("UPDATE answers SET created_at = '2020-01-01T00:00:00+00:00'")
    newest = looked()["answers"][0]
    assert (newest["at"], newest["answer"]) == (str(TRIPLETS), last.response)
    assert newest["logprob"] is None  # which were written, or chosen unweighed
    with closing(sqlite3.connect("answers.sqlite")) as store, store:
        store.execute("UPDATE answers SET created_at = '2999-01-01T00:00:00+00:00'")
    assert looked()["answers"][0]["at"] == "2999-01-01T00:00:00+00:00"
    tell_of("ingest_texts", ended=time.time())  # a run that bought nothing is on
    assert looked()["answers"][0]["at"] == str(TRIPLETS)
    with Ledger(Path("answers.sqlite")) as ledger:
        ledger.add("collect_responses", TEACHER.id, "vllm", Spent(1, 2, 0, 3), 1)
    assert looked()["answers"][0]["at"] == "2999-01-01T00:00:00+00:00"


def test_triplets_are_shown_with_the_probability_of_their_labels(run: MiniRun, monkeypatch: pytest.MonkeyPatch) -> None:
    weighed = make_triplet(response="b", labels=["a", "b"], probabilities=[0.25, 0.75])
    unheard_of = make_triplet(response="c", labels=["a", "b"], probabilities=[1.0, 0.0])
    monkeypatch.setattr(freshness, "_is_there", lambda out: True)
    TRIPLETS.write([unheard_of, weighed])
    assert [one["logprob"] for one in looked()["answers"]] == [pytest.approx(math.log(0.75)), None]


def tell_of(stage: str, ended: float) -> None:
    """A note of a stage that did what it should, in a run that this process is."""
    own = process_id(run_process())
    note = {"process": own, "run": own, "began": ended - 5, "at": ended, "work": None, "losses": [], "error": ""}
    note_path(stage).parent.mkdir(parents=True, exist_ok=True)
    note_path(stage).write_text(json.dumps(note | {"ended": ended}))


def test_what_changed_is_told_and_what_follows_it_waits(run: MiniRun) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["texts"]["count"] += 1
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    found = {one["name"]: (one["state"], one["why"]) for one in looked()["stages"]}
    assert found["ingest_texts"] == ("stale", "texts changed")
    assert found["enumerate_attributes"] == ("waiting", "follows ingest_texts")
    assert found["resolve_models"] == ("done", "")


@pytest.mark.parametrize(("before_the_lock", "wanted"), [(10, "stale"), (-10, "ended")])
def test_a_finished_stage_is_stale_if_its_params_change_while_the_run_goes_on(
    run: MiniRun, before_the_lock: int, wanted: str
) -> None:
    tell_of("ingest_texts", Path("dvc.lock").stat().st_mtime - before_the_lock)
    assert states(looked())["ingest_texts"] == "done"
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["texts"]["count"] += 1
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert states(looked())["ingest_texts"] == wanted


@pytest.mark.parametrize(
    ("path", "content", "stage", "why"),
    [
        ("sources.jsonl", b'{"text": "another"}\n', "ingest_texts", "sources.jsonl changed"),
        (str(TRIPLETS), None, "collect_responses", f"{TRIPLETS} is not there, or changed"),
        (str(TRIPLETS), b"short", "collect_responses", f"{TRIPLETS} is not there, or changed"),
        ("code.yaml", b'pair_texts: "0000"\n', "pair_texts", "its code changed"),
        ("base/config.json", b"{}", "train_student", "base changed"),
    ],
)
def test_inputs_outs_and_code_that_changed_make_a_stage_stale(
    run: MiniRun, path: str, content: bytes | None, stage: str, why: str
) -> None:
    Path(path).unlink()
    if content is not None:
        Path(path).write_bytes(content)
    found = {one["name"]: (one["state"], one["why"]) for one in looked()["stages"]}
    assert found[stage] == ("stale", why)


def test_a_stage_with_another_command_is_stale(run: MiniRun) -> None:
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text())
    pipeline["stages"]["ingest_texts"]["cmd"] += " --again"
    Path("dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    found = {one["name"]: (one["state"], one["why"]) for one in looked()["stages"]}
    assert found["ingest_texts"] == ("stale", "its command changed")


def test_before_any_run_every_stage_waits(run: MiniRun) -> None:
    for gone in ("dvc.lock", "answers.sqlite", "answers.sqlite.seal"):
        Path(gone).unlink()
    for folder in ("data/rejects", "metrics", "models"):
        shutil.rmtree(folder)
    before = files(run.folder)
    state = looked()
    assert set(states(state).values()) == {"waiting"} and state["headline"].startswith("No run is on; 0 of ")
    assert not state["answers"] and not state["left_out"] and state["curve"] is None and state["report"] is None
    assert state["spending"]["total"]["calls"]["spent"] == 0 and state["faults"] == []
    assert files(run.folder) == before


def test_a_folder_that_is_no_checkout_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["--once"], ["--json"]):
        with pytest.raises(SystemExit) as left:
            main(["watch", *arguments])
        assert left.value.code == 1
        assert capsys.readouterr().err.startswith("error: dvc.yaml: cannot be read")


@pytest.mark.parametrize("path", ["dvc.lock", "params.yaml", "code.yaml", str(rejects_of("ingest_texts")), "dvc.yaml"])
@pytest.mark.parametrize("content", [b"\x80: {[", b"stages: {a: 3}", b""])
def test_what_is_half_written_is_told_and_stays_as_it_was(run: MiniRun, path: str, content: bytes) -> None:
    watcher = Watcher()
    before = watcher._look()
    sound = Path(path).read_bytes()
    Path(path).write_bytes(content)
    now = watcher._look()
    assert now["stages"][0]["name"] == before["stages"][0]["name"]
    if content and (path != "code.yaml" or b"\x80" in content):  # which may hold any keys
        assert any(fault.startswith(f"{path}: ") or path == "params.yaml" for fault in now["faults"])
    Path(path).write_bytes(sound)
    after = watcher._look()
    assert states(after) == states(before) and sorted_out(after) == sorted_out(before)
    assert after["faults"] == before["faults"]


def sorted_out(state: dict[str, Any]) -> list[Any]:
    """What was left out by stage: the one whose file is the newest stands first."""
    return sorted(state["left_out"], key=lambda one: str(one["stage"]))


def test_spending_is_held_against_the_budget(run: MiniRun, capsys: pytest.CaptureFixture[str]) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("prices.yaml").write_text(
        "currency: EUR\ndate: 2026-11-29\nprices:\n  vllm: {prompt_tokens: 1.0, answer_tokens: 2.0}\n"
    )
    params["runtime"] |= {"budget": {"total": {"calls": 50, "money": 9.5}}, "prices": "prices.yaml"}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    with Ledger(load_params().runtime.store and Path("answers.sqlite")) as ledger:
        before = sum(row.calls for row in ledger.rows())
        ledger.add("collect_responses", TEACHER.id, "vllm", Spent(7, 2_000_000, 0, 1_000_000), 7, 1, 2.0)
    total = looked()["spending"]["total"]
    assert total["calls"] == {"spent": before + 7, "bound": 50} and total["money"]["bound"] == 9.5
    assert total["failures"] == 1
    main(["watch", "--once"])
    assert f"{before + 7:,} of 50 calls" in capsys.readouterr().out


def test_the_curve_of_the_last_training_is_shown(run: MiniRun) -> None:
    curve = Path(TRAINING_CURVE)
    curve.parent.mkdir(exist_ok=True)
    curve.write_text("step,loss,learning_rate,gradient_norm\n1,2.5,0,0\n2,nan,0,0\n3,1.5,0,0\n")
    assert looked()["curve"] == {"stage": "train_student", "live": False, "points": [(1, 2.5), (3, 1.5)]}
    curve.write_text("step,loss\n" + "".join(f"{n},{1 / n}\n" for n in range(1, 30_000)))
    assert 300 < len(looked()["curve"]["points"]) <= 600
    curve.write_text("step,loss\n1,")
    assert looked()["curve"] is None


def test_hostile_texts_are_one_bounded_line_each(run: MiniRun, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b]0;owned\x07<script>alert(1)</script>\n\u202e password=hunter2secret " + "x" * 5000
    rejects_of("ingest_texts").write([Reject(stage="ingest_texts", record_id=evil, reason=evil, detail=evil)])
    state = looked()
    texts = [text for one in state["left_out"] if one["stage"] == "ingest_texts" for text in one["latest"][0].values()]
    assert len(texts) == 3
    assert all(len(text) <= 300 and text.isprintable() and "hunter2secret" not in text for text in texts)
    main(["watch", "--once"])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "hunter2secret" not in printed and len(printed) < 30_000


GATE = {"cmd": "true", "outs": [], "metrics": [{str(report_of("texts")): {"cache": False}}]}


def test_gates_are_shown_as_they_end_with_what_does_not_hold(run: MiniRun) -> None:
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text())
    for name in ("check", "ingest_texts"):  # the three gates are one stage here
        pipeline["stages"].pop(name)
    pipeline["stages"]["check_texts"] = GATE
    Path("dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    broken = Finding("texts.rows", False, 3, low=10, param="gates.texts.rows", advice="<b>look</b>")
    report_of("texts").write(Outcome("texts", "stop", [broken, Finding("texts.ids", True, 0)], {}).to_json())
    assert looked()["gates"][0]["state"] == "waiting"  # of an earlier run
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    lock["stages"]["check_texts"] = {"cmd": "true", "outs": [{"path": str(report_of("texts"))}]}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    page = Path(page_of("texts"))
    page.parent.mkdir(parents=True)
    page.write_text("x")
    (gate,) = looked()["gates"]
    assert (gate["state"], gate["expectations"], gate["broken"], gate["page"]) == ("failed", 2, 1, str(page))
    assert gate["lines"] == ["texts.rows is 3, must be at least 10 (gates.texts.rows). <b>look</b>."]


def test_the_report_is_led_to_once_it_is_written_though_the_last_gate_failed(run: MiniRun) -> None:
    Path(REPORT).parent.mkdir(exist_ok=True)
    Path(REPORT).write_text("x")
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text())
    pipeline["stages"]["write_report"] = {"cmd": "true", "deps": [str(TRIPLETS)], "outs": [str(REPORT)]}
    pipeline["stages"]["judge_student"] = {"cmd": "true", "deps": [str(REPORT)]}
    Path("dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False))
    assert looked()["report"] is None  # it is of an earlier run
    lock = yaml.safe_load(Path("dvc.lock").read_text())
    triplets = {"path": str(TRIPLETS), "md5": hash_file(Path(TRIPLETS), "md5")}
    lock["stages"]["write_report"] = {"cmd": "true", "deps": [triplets], "outs": [{"path": str(REPORT)}]}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    state = looked()
    assert (states(state)["write_report"], states(state)["judge_student"]) == ("done", "waiting")
    assert state["report"] == str(REPORT)
    Path("sources.jsonl").write_text("")
    assert looked()["report"] is None


READERS = (
    *((state, name) for name in ("hash_file", "read_note")),
    *((teacher, name) for name in ("latest_answers", "parquet_file", "read_identity", "read_json", "spendings")),
    *((module, "read_json") for module in (curves, gates)),
    (left_out, "parquet_file"),
)


def test_what_did_not_change_is_not_read_again(run: MiniRun, monkeypatch: pytest.MonkeyPatch) -> None:
    report_of("texts").write(Outcome("texts", "stop", [], {}).to_json())
    calls: Counter[str] = Counter()

    def counted(name: str, read: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            calls[name] += 1
            return read(*given, **named)

        return call

    for module, name in READERS:
        monkeypatch.setattr(module, name, counted(f"{module.__name__}.{name}", getattr(module, name)))
    watcher = Watcher()
    watcher._look()
    assert calls["compeffdist.watch.state.hash_file"] and calls["compeffdist.watch.left_out.parquet_file"]
    assert calls["compeffdist.watch.teacher.spendings"] and calls["compeffdist.watch.teacher.read_json"]
    calls.clear()
    watcher._look()
    assert not calls
    Path("sources.jsonl").write_text("")
    watcher._look()
    assert calls == {"compeffdist.watch.state.hash_file": 1}
