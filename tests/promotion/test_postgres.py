"""A registry that several people share: a real `mlflow server` on a real PostgreSQL, and clones that promote in it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from compeffdist.doctor.places import mlflow
from compeffdist.errors import UserError
from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.params import Params, load_params
from compeffdist.registry.register import register_student
from compeffdist.registry.tracking import open_tracking
from tests.mini_run import MODEL, MiniRun
from tests.promotion.mlflow_server import MlflowServer, running_server
from tests.promotion.postgres import PASSWORD, USER, Postgres, running_postgres
from tests.promotion.racing import race

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_server(tmp_path_factory.mktemp("server"), postgres.address()) as running:
        yield running


def shows_the_password(said: str) -> bool:
    return any(secret in said for secret in (PASSWORD, USER, "pa%2Fss", "ss@wo", "wo:rd", "ss%40wo"))


@pytest.fixture
def clones(
    server: MlflowServer, tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[MiniRun, MiniRun]:
    """Two clones of a repository with two runs, their data pulled and their students registered at the server."""
    run = MiniRun.made(tmp_path / "run", server.address, base_folder)
    params = yaml.safe_load((run.folder / "params.yaml").read_text())
    params["registry"]["model_name"] = MODEL
    params["runtime"] |= {"store": str(run.store), "cache": str(run.folder / "cache")}
    (run.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run.run("dvc", "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    run.commit("shared")
    run.run("dvc", "push", "-q")
    assert run.register(monkeypatch) == 1
    with (run.folder / "sources.jsonl").open("a") as sources:
        sources.write('{"text": "a new text on the screen of the thing"}\n')
    run.repro()
    run.commit("more texts")
    run.run("dvc", "push", "-q")
    assert run.register(monkeypatch) == 2
    run.run("git", "clone", "-q", "--bare", ".", str(tmp_path / "origin.git"))
    made = []
    for number in range(2):
        run.run("git", "clone", "-q", str(tmp_path / "origin.git"), str(tmp_path / f"clone {number}"))
        clone = MiniRun(tmp_path / f"clone {number}", server.address)
        for name, value in {"user.name": f"Person {number}", "user.email": f"{number}@example.invalid"}.items():
            clone.run("git", "config", name, value)
        clone.run("dvc", "pull", "-q")
        clone.run("dvc", "fetch", "-q", "--all-commits")
        made.append(clone)
    return made[0], made[1]


def test_of_two_clones_one_promotes_the_other_is_told_and_pulls_and_the_first_rolls_back(
    clones: tuple[MiniRun, MiniRun],
    server: MlflowServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(clones[0].folder)
    assert race(load_params(), tmp_path, 1, clones=True, audited=True) == [["told, then that it is behind", "won"]]
    [entry] = Ledger(clones[0].folder / PROMOTIONS).entries()
    first = int(entry.body["to"])
    winner, other = clones if first == 1 else clones[::-1]
    number = winner.folder.name.removeprefix("clone ")
    assert entry.who == f"Person {number} <{number}@example.invalid>"
    # the ledger goes by git, as it does between people
    winner.commit("promote")
    winner.run("git", "push", "-q")
    other.run("git", "clean", "-qfd", "data")
    other.run("git", "checkout", "-q", "--", ".")
    other.run("git", "pull", "-q")
    other.run("compeffdist", "promote", str(3 - first), "--override", "made for a test")
    other.commit("promote")
    other.run("git", "push", "-q")
    behind = subprocess.run(["compeffdist", "rollback"], cwd=winner.folder, capture_output=True, text=True, check=False)
    assert behind.returncode == 1 and "git pull" in behind.stdout
    winner.run("git", "pull", "-q")
    winner.run("compeffdist", "rollback", "--reason", "worse")
    history = json.loads(winner.run("compeffdist", "history", "--json"))
    assert (history["champion"], history["former_champion"], history["problem"]) == (first, None, "")
    assert [entry["action"] for entry in history["entries"]] == ["promote", "promote", "rollback"]
    for number in (1, 2):
        assert "FAIL" not in winner.run("compeffdist", "audit", "--model", str(number))
    assert not shows_the_password(server.log.read_text())


@pytest.mark.parametrize("student_folder", ["lora"], indirect=True)
def test_a_database_named_without_a_server_keeps_its_password_to_itself(
    postgres: Postgres,
    params: Params,
    student_folder: Path,
    base_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres.address())
    made = register_student(student_folder, base_folder, params.registry, {"gates": "passed"})
    client = open_tracking()
    version = client.get_model_version(params.registry.model_name, str(made.version))
    run = client.get_run(str(version.run_id))
    assert not shows_the_password(f"{version.tags} {version.description} {version.source} {run.to_dictionary()}")
    findings = list(mlflow())
    assert [finding.state for finding in findings] == ["ok", "note"]
    written = [path for path in (tmp_path / "mlruns").rglob("*") if path.is_file()]
    assert written, "the note says that files stay here"
    assert not [path for path in written if shows_the_password(path.read_bytes().decode("latin-1"))]
    out, err = capfd.readouterr()
    assert not shows_the_password(f"{findings} {out} {err}")


def test_a_wrong_password_is_one_line_and_soon(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlflow.store.db.utils.time.sleep", lambda seconds: pytest.fail("MLflow tries it again"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres.address("wrong-1"))
    with pytest.raises(UserError, match=r"cannot be reached \(.*password authentication failed") as refused:
        open_tracking()
    assert "\n" not in str(refused.value) and "wrong-1" not in str(refused.value)


def test_a_password_may_lie_in_the_file_that_postgresql_s_own_programs_read(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no address and no command holds it."""
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    (tmp_path / "passwords").write_text(f"127.0.0.1:{postgres.port}:postgres:{USER}:{escaped}\n")
    (tmp_path / "passwords").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "passwords"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://{USER}@127.0.0.1:{postgres.port}/postgres")
    assert open_tracking().search_experiments()
