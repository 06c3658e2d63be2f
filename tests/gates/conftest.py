"""A folder with sound artefacts, the laptop's params but for its sampling rate, and a gate run as `dvc repro` would."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.errors import run_guarded
from compeffdist.gates.outcome import LAST
from compeffdist.params import SamplingParams
from compeffdist.profiles import PROFILES, compose
from tests.fakes import put_domains
from tests.gates.world import make_world
from tests.stages import ROOT, run_stage


@dataclass(frozen=True)
class Run:
    """What one run of a check stage left."""

    gate: str
    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(Path(f"metrics/gates/{self.gate}.json").read_text())

    @property
    def page(self) -> str:
        return Path(f"report/gates/{self.gate}.html").read_text()

    @property
    def gate_pass(self) -> Path:
        return Path(f"data/gates/{self.gate}.json")

    def finding(self, name: str) -> dict[str, Any]:
        return next(finding for finding in self.report["expectations"] if finding["name"] == name)

    def failed(self) -> set[str]:
        return {finding["name"] for finding in self.report["expectations"] if not finding["passed"]}

    def line(self, name: str) -> str:
        return next(line for line in self.err.splitlines() if f"{self.gate}: {name} " in line)


Check = Callable[..., Run]
"""`check("clusters", coherence=0.9)`: run a check stage with some bounds changed."""


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_world()
    return folder


@pytest.fixture(scope="session")
def laptop() -> dict[str, Any]:
    """The laptop's bounds, and the rates that the world's sample is drawn at."""
    params = compose("laptop", ROOT / PROFILES)
    params["sampling"] |= {"rate": SamplingParams().rate, "own_rate": None}
    return params


@pytest.fixture
def world(sound: Path, laptop: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    put_domains()
    Path("params.yaml").write_text(yaml.safe_dump(laptop))
    return tmp_path


@pytest.fixture
def check(world: Path, laptop: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """`check("clusters", coherence=0.9)`: run a check stage with some bounds changed; of the last gate also the stage
    that ends the run by it."""

    def run(gate: str, **bounds: Any) -> Run:
        params = copy.deepcopy(laptop)
        params["gates"][gate] |= bounds
        Path("params.yaml").write_text(yaml.safe_dump(params))
        code = 0
        stages = [f"check_{gate}", "judge_student"] if gate == LAST else [f"check_{gate}"]
        try:
            for stage in stages:
                run_guarded(partial(run_stage, stage))
        except SystemExit as left:
            code = int(left.code or 0)
        printed = capsys.readouterr()
        return Run(gate, code, printed.out, printed.err)

    return run


def stopped(done: Run, name: str, *words: str) -> dict[str, Any]:
    """That the gate stopped over this figure, said so, and left report and page but no gate pass; the finding."""
    assert done.code == 1
    assert not done.gate_pass.exists()
    assert "Traceback" not in done.err
    assert name in done.failed()
    assert name in done.page.replace("<wbr>", "")
    assert "FAILS" in done.page
    finding = done.finding(name)
    line = done.line(name)
    for word in (*words, finding["param"]):
        assert word.casefold() in line.casefold()  # advice begins with a capital
    for offender in finding["offenders"]:
        assert offender in done.err
    assert done.err.splitlines()[-1].startswith(f"error: gate {done.gate}: ")
    return finding
