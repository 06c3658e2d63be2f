"""Arms are run by DVC itself, up to the evaluation; what was made is found again, what a kill left is removed."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from compeffdist.cli.main import main
from compeffdist.declaration import read_pipeline
from compeffdist.experiments.results import LAST, Results, stages_before
from compeffdist.experiments.running import DVC_RUNS, _processes
from compeffdist.lineage.repository import LOCK, Lock, Repository
from tests.experiments.toy import RAN, commit, make_checkout
from tests.stages import ROOT

pytestmark = pytest.mark.pipeline
EXPERIMENT = {
    "question": "Does a higher rate help?",
    "seeds": [42, 1],
    "judged_on": ["films"],
    "reference": "some",
    "arms": {"some": {"sampling.rate": 0.5}, "most": {"sampling.rate": 0.95}},
}
ONE = {"arms": {"some": {"sampling.rate": 0.5}}}
"""Enough where nothing is compared: a run of DVC takes seconds."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("toy") / "checkout"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(RAN, str(folder.parent / "ran"))
        environment.delenv("DVC_SITE_CACHE_DIR")  # as users have it: by the checkout's own configuration
        make_checkout(folder, ROOT)
        yield folder


@pytest.fixture(autouse=True)
def here(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)


def write(name: str, **changes: object) -> None:
    Path(f"experiments/{name}.yaml").write_text(yaml.safe_dump({**EXPERIMENT, **changes}, sort_keys=False))
    commit(Path(), name)


def ran() -> Counter[str]:
    """The stages that ran since this was asked last."""
    path = Path(os.environ[RAN])
    found = Counter(path.read_text().split())
    path.write_text("")
    return found


def results(name: str) -> list[dict[str, str]]:
    with Path(f"experiments/results/{name}.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_an_experiment_from_its_file_to_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    write("rates")
    ran()
    before = Path(LOCK).read_bytes(), Path("params.yaml").read_bytes()
    main(["experiments", "rates", "--dry"])
    said = capsys.readouterr().out
    assert "rates: some (seeds 42): as the run in this folder\n" in said
    assert "rates: most, some (seeds 42, 1): sample_triplets, train_student, evaluate_student\n" in said
    assert "rates: 4 runs, 4 to make: no answers, about 0:06" in said  # 1.5 s of training each
    assert not ran()

    main(["experiments", "rates"])
    assert ran()["evaluate_student"] == 3, "an arm that is the run in this folder takes it as it is"
    assert (Path(LOCK).read_bytes(), Path("params.yaml").read_bytes()) == before, "the working folder is another's"
    said = capsys.readouterr().out
    assert "rates: At 2 seeds, better than some: most (+" in said
    page = Path("experiments/results/rates.md").read_text()
    assert "the mean of films, label priors" in page
    assert "A run has 60 answers of its teacher about pairs; 8 of them had to be bought. The 4 runs took 0:" in page
    assert "Does a higher rate help?" in page and "| most" in page and "`sampling.rate: 0.95`" in page
    rows = results("rates")
    assert [(row["arm"], row["seed"], row["task"]) for row in rows][:3] == [
        ("some", "42", "films"),
        ("some", "42", "series"),
        ("some", "42", "mean"),
    ]
    assert {row["macro_f1"] for row in rows if row["task"] == "series"} == {"0.3333"}
    shares = {(row["arm"], row["seed"]): float(row["macro_f1"]) for row in rows if row["task"] == "mean"}
    assert max(shares["some", "42"], shares["some", "1"]) < 0.75 < min(shares["most", "42"], shares["most", "1"])
    assert shares["some", "42"] != shares["some", "1"], "another seed draws another student"

    pages = {path: path.read_bytes() for path in Path("experiments/results").iterdir()}
    main(["experiments", "rates"])
    assert not ran(), "what was made is not made again"
    assert {path: path.read_bytes() for path in Path("experiments/results").iterdir()} == pages
    main(["experiments", "rates", "--dry"])
    assert "4 runs, 0 to make" in capsys.readouterr().out


def test_an_arm_that_another_experiment_made_is_not_made_again() -> None:
    write("rates")
    write("more", arms={**EXPERIMENT["arms"], "few": {"sampling.rate": 0.2}})  # type: ignore[dict-item]
    main(["experiments", "rates"])
    ran()
    main(["experiments", "more", "--arms", "few"])
    assert ran()["evaluate_student"] == 2
    assert {row["arm"] for row in results("more")} == {"some", "few"}


def test_weights_that_only_an_arm_has_leave_the_cache_and_records_stay() -> None:
    write("rates")
    repository = Repository()
    own = repository.workspace_lock().outs["models/student"]
    for _, md5 in repository.listing(own) or []:  # as if the clock had been set back since the checkout's own run
        os.utime(repository.object_path(md5), (time.time() + 86400,) * 2)
    main(["experiments", "rates"])
    repository = Repository()
    listed = repository.listing(own)
    assert listed and all(repository.object_path(md5).exists() for _, md5 in listed)
    others = 0
    for _, commit_id in repository.history.refs("refs/exps"):
        lock = Lock((repository.file_at(commit_id, LOCK) or b"").decode(), (commit_id,))
        student = lock.outs["models/student"]
        listed = repository.listing(student)
        assert listed and all(repository.object_path(md5).exists() == (student == own) for _, md5 in listed)
        assert repository.locate(lock.outs["data/student_predictions.parquet"])
        others += student != own
    assert others >= 3


def test_changed_code_or_params_make_the_runs_anew() -> None:
    write("rates")
    only = ["experiments", "rates", "--arms", "some"]
    main(only)
    code = Path("code.yaml").read_text()
    ran()
    Path("code.yaml").write_text(code.replace("evaluate_student: '1'", "evaluate_student: '2'"))
    commit(Path(), "other code")
    main(only)
    assert ran()["evaluate_student"] == 2
    Path("code.yaml").write_text(code)
    commit(Path(), "the former code")
    main(only)
    assert not ran(), "the first runs are found again behind other commits"


def test_a_run_that_fails_is_told_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("failing", arms={**EXPERIMENT["arms"], "half": {"sampling.rate": 0.55}})  # type: ignore[dict-item]
    main(["experiments", "rates"])
    monkeypatch.setenv("TOY_FAILS", "train_student")
    with pytest.raises(SystemExit) as ended:
        main(["experiments", "failing"])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "2 runs failed, the first: failing-half-42-" in said.err and "Traceback" not in said.err
    assert "error: train_student cannot go on; its lines are in .compeffdist/experiments/failing-half-42-" in said.out
    page = Path("experiments/results/failing.md").read_text()
    assert "2 runs of the experiment are not on this page" in page and "| half" not in page


def test_files_of_the_user_s_own_come_along(monkeypatch: pytest.MonkeyPatch) -> None:
    own = ("data/sources/mine.csv", "data/sources/set/part.jsonl", "models/local/mine/model.safetensors")
    for path in map(Path, own):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    monkeypatch.setenv("TOY_NEEDS", " ".join(own))
    write("owned", seeds=[5], **ONE)
    ran()
    main(["experiments", "owned"])
    assert ran()["evaluate_student"] == 1


@pytest.mark.parametrize("killed", ["command", "dvc"])
def test_what_a_kill_leaves_is_ended_and_removed_and_other_runs_of_dvc_stay(
    killed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(f"killed {killed}", **({"seeds": [7], **ONE} if killed == "command" else {"seeds": [17]}))
    other = DVC_RUNS / "tmpother"
    other.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "compeffdist.cli.main", "experiments", f"killed {killed}"]
    slow = {**os.environ, "TOY_SLOW": "60"}
    started = subprocess.Popen(command, env=slow, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stage = wait_for("toy.py sample_triplets")
    os.kill(started.pid if killed == "command" else wait_for("dvc exp run"), signal.SIGKILL)
    if killed == "dvc":  # the command is told of it, ends the stage and goes on with its next run
        wait_for("toy.py sample_triplets", but=stage)
        os.kill(started.pid, signal.SIGKILL)
    started.wait()
    assert {*DVC_RUNS.glob("tmp*")} - {other}, "there is nothing to remove: the test shows nothing"
    main(["experiments", f"killed {killed}"])
    assert not Path(f"/proc/{stage}").exists()
    assert [*DVC_RUNS.glob("tmp*")] == [other]
    main(["experiments", f"killed {killed}", "--dry"])
    assert ", 0 to make" in capsys.readouterr().out


def wait_for(words: str, but: int = 0) -> int:
    """The process that was started in this checkout with these words in its command."""
    for _ in range(600):
        for pid in _processes():
            with suppress(OSError):
                told = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if words in told and "sh -c" not in told and pid != but:
                    return pid
        time.sleep(0.1)
    raise AssertionError(f"nothing runs {words}")


def test_a_file_of_the_user_s_that_changed_makes_the_runs_anew() -> None:
    write("sourced", seeds=[8], **ONE)
    main(["experiments", "sourced"])
    ran()
    source = Path("data/sources/new.csv")
    source.write_text("text\nA new one.\n")
    main(["experiments", "sourced"])
    assert ran()["evaluate_student"] == 1, "as the folder is now, whatever was last run in it"
    domain = Path("domains/sentiment.yaml")
    before = domain.read_text()
    domain.write_text(f"{before}# more\n")
    commit(Path(), "another domain")
    main(["experiments", "sourced"])
    assert ran()["evaluate_student"] == 1
    source.unlink()
    domain.write_text(before)
    commit(Path(), "as before")
    main(["experiments", "sourced"])
    assert not ran()


def test_answers_that_left_the_cache_are_made_again_under_the_same_name() -> None:
    write("lost", seeds=[9], **ONE)
    main(["experiments", "lost"])
    repository = Repository()
    for ref, commit_id in repository.history.refs("refs/exps"):
        if "lost-" in ref:
            lock = Lock((repository.file_at(commit_id, LOCK) or b"").decode(), (commit_id,))
            repository.object_path(lock.outs["data/student_predictions.parquet"].md5).unlink()
    ran()
    main(["experiments", "lost"])
    assert ran()["evaluate_student"] == 1
    main(["experiments", "lost"])
    assert not ran()


def test_a_run_that_is_not_what_was_wanted_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    write("other", seeds=[10], **ONE)
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(Results, "_md5_now", lambda self, path: "of another file")
        main(["experiments", "other"])
    assert "was run, but is not what was wanted: sample_triplets: another d" in capsys.readouterr().err


def test_every_dependency_of_the_real_pipeline_is_an_out_or_the_user_s() -> None:
    """What is neither is compared with the working folder: a part of an out would always differ."""
    pipeline = read_pipeline(ROOT)
    outs = {out for stage in pipeline.values() for out in stage.outs}
    stages = stages_before(pipeline, LAST)
    assert stages[-1].name == LAST and "register_student" not in {stage.name for stage in stages}
    leaves = {dep for stage in stages for dep in stage.deps if dep not in outs}
    parts = {dep for dep in leaves if any(dep.startswith(f"{out}/") for out in outs)}
    assert parts == {"models/student/student.json"}
    assert leaves - parts == {"data/sources", "data/withdrawals.jsonl", "domains/${domain}.yaml", "models/local"}


def test_an_experiment_starts_from_a_commit(capsys: pytest.CaptureFixture[str]) -> None:
    write("rates")
    params = Path("params.yaml").read_text()
    Path("params.yaml").write_text(f"{params}\n")
    with pytest.raises(SystemExit):
        main(["experiments", "rates"])
    Path("params.yaml").write_text(params)
    assert "error: params.yaml is not as in the commit checked out" in capsys.readouterr().err
