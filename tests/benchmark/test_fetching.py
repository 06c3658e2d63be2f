"""`compeffdist benchmark fetch`: real git repositories in, a folder for `evaluate --benchmark` out; or nothing."""

import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from compeffdist.benchmark.converting import UNHELD
from compeffdist.benchmark.fetching import source_files
from compeffdist.benchmark.rows import load_benchmark_rows
from compeffdist.benchmark.sources import load_source, source_file
from compeffdist.benchmark.tasks import load_benchmark_tasks
from compeffdist.cli.main import main
from compeffdist.errors import UserError
from tests.benchmark.upstream import MARKED, SOUP, declare, git, sha256, write_source
from tests.stages import ROOT

OUT = Path("data/benchmarks/mini")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What says where `mini` comes from, in the working folder with the repositories."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return write_source(tmp_path)


def fetch(*arguments: str) -> None:
    main(["benchmark", "fetch", "mini", *arguments])


def fault(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on a fault that leaves nothing behind."""
    before = sorted(Path("data").rglob("*"))
    with pytest.raises(SystemExit):
        fetch(*arguments)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said
    assert sorted(Path("data").rglob("*")) == before
    return said


def rows(task: str, split: str = "train") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (OUT / task / f"{split}.jsonl").read_text().splitlines()]


def test_what_is_fetched_can_be_evaluated_on(source: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    fetch()
    assert "terms: test 1, train 2, val 1" in capsys.readouterr().out
    for task in load_benchmark_tasks(Path("benchmarks/mini")):
        for split, stated in source["tasks"][task.name]["splits"].items():
            assert len(load_benchmark_rows(OUT, task, split)) == stated["rows"]
    assert [path.name for path in OUT.parent.iterdir()] == ["mini"]


def test_rows_are_those_of_the_schema(source: dict[str, Any]) -> None:
    fetch()
    bare = {"label": None, "target": None, "score": None, "gold": None, "opinions": None, "source_id": None}
    assert rows("mood") == [
        {"id": "mood/train/0", "text": "I sing \N{GRINNING FACE}", **bare, "label": "glad", "score": 2.75}
    ]
    assert rows("stance", "test") == [
        {"id": "stance/test/0", "text": "No more of it", **bare, "label": "against", "target": "taxes"}
    ]
    # in the order of the text; a term at two places stands twice, at one place with two categories once
    soup = {"id": "terms/train/0", "text": SOUP, **bare, "source_id": "1:0"}
    gold = [["soup", "positive"], ["bread", "negative"], ["soup", "positive"]]
    late = {"id": "terms/train/1", "text": "We came late.", **bare, "gold": [], "source_id": "1:1"}
    assert rows("terms") == [soup | {"gold": gold}, late]
    [quad] = rows("quads")
    assert quad["gold"] == [["food quality", "NULL", "good", "positive"]]


def test_categories_are_spelt_as_the_tasks_spell_them_and_stand_once(source: dict[str, Any]) -> None:
    fetch()
    wanted = [["food quality", "positive"], ["food style_options", "positive"], ["food quality", "negative"]]
    assert rows("categories")[0]["gold"] == wanted


def test_graphs_keep_the_places_and_pieces_are_joined(source: dict[str, Any]) -> None:
    fetch()
    told = rows("graphs")
    assert [row["gold"] for row in told] == [
        [["NULL", "stay", "Best AND ever !", "positive"]],
        [["I", "NULL", "hated", "negative"]],
        [["NULL", "NULL", "NULL", "NULL"]],
    ]
    assert [row["opinions"] for row in told] == [row["opinions"] for row in MARKED]
    assert [row["source_id"] for row in told] == ["h/1", "h/2", "h/3"]


def test_validation_rows_are_those_that_another_file_lists(source: dict[str, Any]) -> None:
    fetch()
    assert [row["source_id"] for row in rows("terms", "val")] == ["1:2"]
    assert [row["id"] for row in rows("categories", "val")] == ["categories/val/0"]
    assert [row["source_id"] for row in rows("categories")] == ["1:0", "1:1"]


def test_the_manifest_says_what_no_hash_was_held_against(source: dict[str, Any]) -> None:
    fetch()
    manifest = json.loads((OUT / "manifest.json").read_text())
    assert manifest["repositories"] == source["repositories"] and manifest["licence"] == "none declared"
    splits = manifest["tasks"]["mood"]["splits"]
    assert splits["test"]["note"] == UNHELD and "note" not in splits["train"]
    assert splits["train"]["source_sha256"] == source["tasks"]["mood"]["splits"]["train"]["sha256"]
    assert splits["test"]["source_sha256"] == splits["train"]["source_sha256"]
    assert splits["train"]["sha256"] == sha256((OUT / "mood/train.jsonl").read_bytes())


@pytest.mark.parametrize("kind", ["", "--bare"])
def test_clones_are_read_at_the_commit_whatever_is_checked_out(
    source: dict[str, Any], kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("main", "earlier"):
        git(tmp_path, "clone", "-q", *([kind] if kind else []), f"file://{tmp_path}/{name}", f"mine/{name}")
        shutil.rmtree(tmp_path / name)  # nothing else is asked
    said = fault(capsys, "--from", "mine/main")
    assert "no clone with commit" in said and f"file://{tmp_path}/earlier" in said
    fetch("--from", "mine/earlier", "--from", "mine/main")
    assert len(rows("terms")) == 2


def test_a_file_that_is_another_is_named_and_the_former_folder_stays(
    source: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source["tasks"]["graphs"]["splits"]["train"]["sha256"] = "0" * 64
    declare(tmp_path, source)
    assert "graphs/train.json in commit" in fault(capsys) and not OUT.exists()
    source["tasks"]["graphs"]["splits"].pop("train")
    declare(tmp_path, source)
    fetch()
    former = (OUT / "manifest.json").read_bytes()
    source["row_lists"]["dev"]["sha256"] = "0" * 64
    declare(tmp_path, source)
    assert "dev.json in commit" in fault(capsys) and (OUT / "manifest.json").read_bytes() == former


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "mood/gone.json"}, "mood/gone.json in commit"),
        ({"rows": 7}, "mood/test.json: 1 rows for mood/test, not 7"),
        ({"path": "stance/test.json"}, "label 'against' is not one of the task's"),
        ({"path": "graphs/test.json", "rows": 3}, "row 0 of mood/test is not of form label"),
        ({"rows": 0}, "mini.yaml: tasks.mood.splits.test.rows"),
        ({"only": "nothing"}, "no row list 'nothing'"),
        ({"only": "dev"}, "mood/test.json: a row has no ID"),
    ],
)
def test_a_source_that_does_not_fit_writes_nothing(
    source: dict[str, Any], change: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source["tasks"]["mood"]["splits"]["test"] |= change
    declare(tmp_path, source)
    assert said in fault(capsys)
    assert not OUT.exists()


def test_a_folder_that_holds_something_else_is_never_replaced(
    source: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    assert "mine: is there and was not written" in fault(capsys, "--out", "mine")
    assert (tmp_path / "mine/letter.txt").read_text() == "dear"
    fetch("--out", "new")
    (tmp_path / "new/mood/train.jsonl").write_text("")
    fetch("--out", "new")  # its own
    assert (tmp_path / "new/mood/train.jsonl").read_text()


def test_a_commit_that_is_not_there_says_what_to_do(
    source: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source["repositories"]["main"]["commit"] = "1" * 40
    declare(tmp_path, source)
    assert "name the clone with --from" in fault(capsys)
    assert "nowhere: no such folder" in fault(capsys, "--from", "nowhere")
    (tmp_path / "plain").mkdir()
    assert "plain: in no git repository" in fault(capsys, "--from", "plain")


def test_a_server_that_never_answers_ends_in_time_with_all_that_was_started(
    source: dict[str, Any], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source["repositories"]["main"]["url"] = f"http://127.0.0.1:{server.getsockname()[1]}/main"
        declare(tmp_path, source)
        with pytest.raises(UserError, match=r"git fetch .*: no end after 1 s"):
            source_files(load_source(source_file("mini")), seconds=1.0)
        asking, _ = server.accept()
        asking.settimeout(20)
        with asking:
            while asking.recv(4096):  # ends when the helper that asked has ended
                pass


def test_a_server_that_wants_a_password_is_a_line_and_asks_nobody(
    source: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    asked = tmp_path / "asked"
    helper = tmp_path / "askpass"
    helper.write_text(f"#!/bin/sh\ntouch {asked}\n")
    helper.chmod(0o755)
    monkeypatch.setenv("GIT_ASKPASS", str(helper))
    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source["repositories"]["main"]["url"] = f"http://127.0.0.1:{server.server_port}/main"
        declare(tmp_path, source)
        assert "terminal prompts disabled" in fault(capsys)
        server.shutdown()
    assert not asked.exists()


def test_only_benchmarks_that_have_a_source_can_be_fetched(source: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"maxi: no such benchmark can be fetched; there are mini"):
        source_file("maxi")


def test_sentibench_s_source_has_every_split_of_every_task_and_a_hash_of_all_but_test() -> None:
    source = load_source(ROOT / "benchmarks/sources/sentibench.yaml")
    tasks = {task.name: task for task in load_benchmark_tasks(ROOT / "benchmarks/sentibench")}
    assert set(source.tasks) == set(tasks)
    for name, task in source.tasks.items():
        assert set(task.splits) == {"train", "val", "test"}
        assert {split for split, stated in task.splits.items() if stated.sha256 is None} == {"test"}
        assert (task.form == "label") == bool(tasks[name].labels)
    assert sum(split.rows for task in source.tasks.values() for split in task.splits.values()) == 44_234
