"""What a run is by DVC's own commands, to people who know these: real DVC, as docs/mlflow-and-dvc.md says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dvc.api
import pytest
import yaml
from dvc.schema import COMPILED_MULTI_STAGE_SCHEMA
from gto.constants import assert_name_is_valid

from compeffdist.artefacts import RESULTS, SUMMARY, TRAINING
from compeffdist.declaration import read_pipeline
from compeffdist.report.run import headline, write_results
from tests.report.making import make_run
from tests.stages import ROOT

DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = read_pipeline(ROOT)
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
RATE, OTHER = 0.35, 0.5
LINE = 80
"""Characters of a description that `dvc stage list` shows."""


@dataclass
class Checkout:
    """A repository of a run's files that git keeps, and the commands of it."""

    folder: Path

    def run(self, *command: str) -> str:
        """What a command prints."""
        environment = os.environ | {"DVC_NO_ANALYTICS": "true", "COLUMNS": "400", "PYTHONPATH": ""}
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", *IDENTITY, "commit", "-qm", message)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Two commits of a run, the second at another rate of sampling."""
    made = Checkout(tmp_path_factory.mktemp("views"))
    for name in ("dvc.yaml", "dvc.lock", "params.yaml", "code.yaml", ".dvcignore", ".gitignore", ".dvc/config"):
        (made.folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, made.folder / name)
    for name in (".dvc/.gitignore", ".dvc/plots.html"):
        shutil.copy(ROOT / name, made.folder / name)
    for name in ("domains", "metrics"):
        shutil.copytree(ROOT / name, made.folder / name)
    made.run("git", "init", "-q")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    run = make_run("plain")
    figures = headline(run) | {"macro_f1_base": 0.4, "macro_f1_teacher": 0.6}
    for rate, rows in ((RATE, 2267), (OTHER, 3100)):
        params["sampling"]["rate"] = rate
        (made.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        (made.folder / SUMMARY).write_text(json.dumps(figures | {"training_rows": rows}, sort_keys=True))
        write_results(run, made.folder / RESULTS)
        made.commit(f"rate {rate}")
    return made


PRINTED = re.compile(r"^\$ (dvc .*)\n((?:.+\n)+?)```$", re.MULTILINE)


def documented() -> dict[str, list[str]]:
    """Each command of docs/mlflow-and-dvc.md whose output is shown, and the lines of that."""
    page = (ROOT / "docs/mlflow-and-dvc.md").read_text()
    return {command: printed.splitlines() for command, printed in PRINTED.findall(page)}


def test_experiments_are_a_dozen_telling_columns(checkout: Checkout) -> None:
    (command, shown), *_ = documented().items()
    assert command.startswith("dvc exp show --md")
    heads, *rows = [line.split() for line in checkout.dvc(*shlex.split(command)[1:], "-n", "2").splitlines() if line]
    names = [word for word in heads if word != "|"]
    assert heads == shown[0].split() and len(names) == 12 and len(rows) == 3
    assert rows[2][len(heads) - 2] == str(RATE) and rows[1][len(heads) - 2] == str(OTHER)


def test_columns_in_which_runs_differ_are_told_without_hashes(checkout: Checkout) -> None:
    found = checkout.dvc("exp", "show", "--csv", "--only-changed", "--drop", ".*/", "-n", "2", "--hide-workspace")
    assert set(found.splitlines()[0].split(",")) - {"rev", "Created"} == {"training_rows", "sampling.rate"}


def test_the_figures_of_a_run_are_one_file_s(checkout: Checkout) -> None:
    shown = json.loads(checkout.dvc("metrics", "show", "--json"))[""]["data"]
    assert list(shown) == [SUMMARY]
    assert shown[SUMMARY]["data"].keys() >= headline(make_run("plain")).keys()
    changed = json.loads(checkout.dvc("metrics", "diff", "HEAD~1", "HEAD", "--json"))
    assert changed == {SUMMARY: {"training_rows": {"old": 2267, "new": 3100, "diff": 833}}}


def test_changed_params_are_told_alone(checkout: Checkout) -> None:
    table = checkout.dvc("params", "diff", "HEAD~1", "HEAD").splitlines()
    shown = documented()["dvc params diff"]
    assert [line.split()[:2] for line in table] == [line.split()[:2] for line in shown]
    assert table[1].split() == ["params.yaml", "sampling.rate", str(RATE), str(OTHER)]


def test_the_method_is_listed_in_its_order_and_each_stage_in_a_line(checkout: Checkout) -> None:
    lines = checkout.dvc("stage", "list").splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[name, one.description] for name, one in STAGES.items()]
    assert not [name for name, one in STAGES.items() if len(one.description) > LINE]


def test_plots_are_drawn_by_the_page_itself(checkout: Checkout) -> None:
    checkout.dvc("plots", "diff", "HEAD~1", "HEAD")
    page = (checkout.folder / "dvc_plots/index.html").read_text()
    assert not re.findall(r"<script[^>]+src|<link|@import|cdn", page)
    titles = [plot["title"] for stage in DVC_YAML["stages"].values() for one in plots(stage) for plot in one.values()]
    assert len(titles) == page.count("vegaEmbed('") == 4
    assert all(json.dumps(title) in page for title in titles)


def plots(stage: dict[str, list[dict[str, dict[str, str]]]]) -> Sequence[dict[str, dict[str, str]]]:
    return stage.get("plots", [])


def test_what_others_take_by_name_is_declared_as_dvc_has_it(checkout: Checkout) -> None:
    COMPILED_MULTI_STAGE_SCHEMA(DVC_YAML)
    outs = {out for stage in STAGES.values() for out in stage.outs}
    for name, one in DVC_YAML["artifacts"].items():
        assert_name_is_valid(name)
        assert one["path"] in outs and one["type"] in ("model", "dataset") and one["desc"]
    assert DVC_YAML["artifacts"]["training-set"] | {"desc": ""} == {"path": TRAINING, "type": "dataset", "desc": ""}
    checkout.run("git", *IDENTITY, "tag", "-a", "student@v1.0.0", "-m", "released")
    found = dvc.api.artifacts_show("student", repo=str(checkout.folder))
    assert found == {"path": "models/student", "rev": checkout.run("git", "rev-parse", "HEAD").strip()}
