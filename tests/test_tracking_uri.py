"""What would stop a run where it registers its student is one line before its first stage."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from compeffdist.errors import UserError
from compeffdist.registry.local_store import former_store, home_uri, local_path
from compeffdist.registry.tracking import experiment_id, open_registry, open_tracking
from compeffdist.running import run_stage
from compeffdist.tracking_uri import DRIVERS, check_tracking_uri, database


@pytest.mark.parametrize(
    ("uri", "package"),
    [
        ("postgresql://ada:p/a@ss:w@db/x", "psycopg[binary]"),
        ("postgresql+psycopg2://ada:secret@db/x", "psycopg2-binary"),
        ("mysql://ada:secret@db/x", "mysqlclient"),
        ("mysql+pymysql://ada:secret@db/x", "pymysql"),
        ("mssql+pyodbc://ada:secret@db/x", "pyodbc"),
    ],
)
def test_a_driver_that_is_not_installed_is_named(uri: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for ask in (check_tracking_uri, open_tracking):
        with pytest.raises(UserError, match=rf"needs the Python package {re.escape(package)}, .*pip install") as stop:
            ask()
        message = str(stop.value)
        assert "\n" not in message and "***@db/x" in message
        assert not [secret for secret in ("secret", "p/a", "ss:w", "ada") if secret in message]


@pytest.mark.parametrize("kind", DRIVERS)
def test_a_database_is_reached_by_the_driver_that_sqlalchemy_takes(kind: str) -> None:
    taken = make_url(f"{kind}://db/x").get_dialect().driver
    assert {"mysqldb": "MySQLdb"}.get(taken, taken) == DRIVERS[kind]


@pytest.mark.parametrize("store", ["http://ada:{}@host:5000", "postgresql://ada:{}@host:5432/registry"])
@pytest.mark.parametrize("password", ["p/w", "p@w", "p?w", "p#w"])
def test_a_password_that_ends_its_address_is_said_and_not_shown(
    store: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.format(password))
    with pytest.raises(UserError, match="write it as %2F") as stop:
        check_tracking_uri()
    assert not [part for part in (password, "w@host", "ada") if part in str(stop.value)]
    assert ("MLFLOW_TRACKING_USERNAME" in str(stop.value)) == store.startswith("http")


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("mlruns", "a store in plain files"),
        ("./mlruns", "a store in plain files"),
        ("/data/mlruns", "a store in plain files"),
        ("file:///data/mlruns", "a store in plain files"),
        ("file:mlruns", "a store in plain files"),
        ("sqlite://", "a store in memory"),
        ("sqlite:///:memory:", "a store in memory"),
        ("sqlite:mlflow.db", "names no database file"),
    ],
)
def test_a_store_that_cannot_be_told_from_a_copy_of_it_is_refused(
    uri: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written or removed in a copy of the checkout would be the original's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for ask in (check_tracking_uri, open_tracking):
        with pytest.raises(UserError, match=rf"{why}.*use sqlite:///PATH"):
            ask()
    assert not list(tmp_path.glob("[!.]*.db*"))


@pytest.mark.parametrize(
    "uri", ["sqlite:///mlflow.db", "sqlite+pysqlite:///mlflow.db", "sqlite:///mlflow.db?timeout=9"]
)
def test_an_sqlite_store_has_its_files_beside_it_whatever_its_address_names_beside_the_file(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = open_tracking()
    assert database() == tmp_path / "mlflow.db"
    place = client.get_experiment(experiment_id(client, "x")).artifact_location
    assert local_path(place) == tmp_path / "mlruns"


@pytest.mark.parametrize("uri", ["databricks", "databricks://profile", "databricks-uc", "http://127.0.0.1:5000"])
def test_a_store_behind_a_server_has_no_file(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    check_tracking_uri()
    assert database() is None


def test_a_stage_stops_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder whose name MLflow decodes; a repository that git will not read."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "My%20Repo"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit):
        run_stage("resolve_models", lambda _: pytest.fail("it ran"))
    [line] = capsys.readouterr().err.splitlines()
    assert "My%20Repo: MLflow takes this folder's name for an encoded one" in line and "rename it" in line
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(SystemExit):
        run_stage("resolve_models", lambda _: pytest.fail("it ran"))
    [line] = capsys.readouterr().err.splitlines()
    assert "safe.directory" in line
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    with pytest.raises(SystemExit):
        run_stage("resolve_models", lambda _: pytest.fail("it ran"))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: dvc.yaml: cannot be read")


@pytest.mark.parametrize("name", ["50% off", "a b", "a#b", "a?b", "a:b;c&d=e+f", "Größe", "日本", 'it\'s "x"'])
def test_other_names_of_folders_are_no_trouble(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    check_tracking_uri()
    store = database()
    assert store == tmp_path / name / "mlflow.db"
    assert local_path(home_uri(store)) == tmp_path / name / "mlruns"


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("sqlite:///x.db", "here/x.db"),
        ("sqlite:///./x.db", "here/x.db"),
        ("sqlite:///../x.db", "x.db"),
        ("sqlite:///link/../x.db", "elsewhere/x.db"),
        ("sqlite:///a/./b.db?timeout=3", "here/a/b.db"),
        ("sqlite+pysqlite:///x.db", "here/x.db"),
        ("sqlite:///file:x%20y.db?uri=true", "here/x y.db"),
        ("sqlite:///{top}/x.db", "x.db"),
        ("sqlite:////{top}/here/../x.db", "x.db"),
        ("postgresql://host/db", None),
        ("http://host/x.db", None),
        ("sqlite:", None),
        ("sqlite://", None),
        ("sqlite:///", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file::memory:?uri=true", None),
        ("sqlite:///file:x?mode=memory&uri=true", None),
    ],
)
def test_the_database_of_an_address(
    uri: str, place: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere/deep")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(top=tmp_path))
    assert database() == (place and tmp_path / place)
    if place is None and uri.startswith("sqlite"):
        with pytest.raises(
            UserError, match=r"in memory ends with each stage; use sqlite:///PATH, such as sqlite:///mlflow\.db"
        ):
            check_tracking_uri()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_a_process_without_a_name_keeps_a_run(open_folder: Path) -> None:
    """As in a container that runs under a number which /etc/passwd does not have."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root may become somebody without a name")
    nameless = ["setpriv", "--reuid=54321", "--clear-groups", sys.executable]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "PYTHONSAFEPATH": "1"}
    if subprocess.run([*nameless, "-c", "import compeffdist"], env=environment, check=False).returncode:
        pytest.skip("this Python may only be used by its owner")
    code = (
        "from compeffdist.errors import run_guarded\n"
        "def run():\n"
        "    from compeffdist.ledger import who\n"
        "    from compeffdist.registry.tracking import open_tracking, experiment_id\n"
        "    import mlflow\n"
        "    experiment_id(open_tracking(), 'x')\n"
        "    with mlflow.start_run() as run: pass\n"
        "    print(run.data.tags['mlflow.user'], who())\n"
        "run_guarded(run)\n"
    )
    done = subprocess.run(
        [*nameless, "-c", code], cwd=open_folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "uid-54321 uid-54321\n", done.stderr


def test_a_home_that_is_not_there_is_one_line(open_folder: Path) -> None:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root may become somebody without a name")
    nameless = ["setpriv", "--reuid=54321", "--clear-groups", sys.executable]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), "PYTHONSAFEPATH": "1"}
    code = (
        "from compeffdist.errors import run_guarded\nfrom compeffdist.models import cache_folder\n"
        "run_guarded(lambda: print(cache_folder('~/.cache/compeffdist')))\n"
    )
    done = subprocess.run(
        [*nameless, "-c", code], cwd=open_folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n"), "set HOME" in done.stderr) == (1, 1, True)


@pytest.fixture
def plain_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in plain files with a run, as MLflow kept it by default before it had a database; the run's id."""
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient((tmp_path / "mlruns").as_uri())
    run: str = client.create_run(client.create_experiment("former")).info.run_id
    client.log_metric(run, "loss", 1.0)
    return run


def migrated(command: str) -> None:
    program, *arguments = shlex.split(command)
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_runs_in_plain_files_are_told_with_the_command_that_takes_them_over(
    plain_files: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = former_store()
    assert told is not None and told[0].startswith(f"{tmp_path}/mlruns: runs that MLflow kept in plain files")
    with pytest.raises(UserError, match=r"there is no MLflow store .* take them over: mlflow migrate-filestore"):
        open_registry()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    with pytest.raises(UserError, match=r"mlflow migrate-filestore --source mlruns --target sqlite:///mlflow\.db"):
        check_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    migrated(told[1])
    assert former_store() is None
    assert open_tracking().get_run(plain_files).data.metrics == {"loss": 1.0}


def test_a_database_that_is_there_is_not_replaced_by_what_is_taken_over(
    plain_files: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_tracking()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "mlruns" in line]
    assert f"--target sqlite:///{tmp_path}/mlflow.db" in line
    told = former_store()
    assert told is not None and told[1].endswith(f"--target sqlite:///{tmp_path}/former.db")
    migrated(told[1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/former.db")
    assert open_registry().get_run(plain_files).info.run_id == plain_files


def test_a_store_s_own_files_are_not_taken_for_a_former_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    client = open_tracking()
    run = client.create_run(experiment_id(client, "x")).info.run_id
    client.log_text(run, "name: x", "meta.yaml")
    assert former_store() is None
