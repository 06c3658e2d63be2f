"""Fresh checkouts for whole runs: one as most people have it, and where hardly anybody would put one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.environment import PRIVATE
from compeffdist.models.resolving import CACHE_VARIABLE, cache_folder
from compeffdist.params import Params
from compeffdist.profiles import compose
from tests.shims import clock_set_back
from tests.stages import ROOT

BIN = Path(sys.executable).parent
HARD_NAME = "Öffentliche Ablage/für Ωmega 数据"
"""Spaces, and letters that neither ASCII nor Latin-1 has."""
UMASK = 0o077
HOME = "/sys"
"""A folder where not even root may make anything."""
LEFT_OUT = ("PYTHONUTF8", "PYTHONIOENCODING", "PYTHONCOERCECLOCALE", "LANGUAGE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


class Checkout:
    """A fresh checkout of the files git knows, with commands run as a user would."""

    environment: Mapping[str, str] = {}
    """What its commands find beside what the tests themselves were given."""
    umask = -1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        """On standard error, by each command."""
        self.put(folder)
        self.commit(folder)

    def put(self, folder: Path) -> None:
        """Copy the files; no results of another run."""
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, names.decode().split("\0")):
            if name != "dvc.lock" and not name.startswith("metrics/") and (ROOT / name).exists():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)

    def commit(self, top: Path) -> None:
        """Make a repository of a folder."""
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
            identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
            subprocess.run(["git", *identity, *command], cwd=top, check=True)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment in the checkout."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        env |= PRIVATE | {"PATH": f"{BIN}:{env['PATH']}", "PYTHONPATH": str(self.folder / "src")}
        if self.environment:
            env = {name: value for name, value in env.items() if name not in LEFT_OUT} | self.environment
        program = [str(BIN / command[0]), *command[1:]]
        done = subprocess.run(
            program,
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            umask=self.umask,
        )
        self.said.append(done.stderr)
        if check and done.returncode:
            pytest.fail(
                f"{' '.join(command)} left with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done

    def read(self, name: str) -> Any:
        """A JSON artefact."""
        return json.loads((self.folder / name).read_text())

    def change(self, section: str, key: str, value: Any) -> None:
        """Set a param by hand, as a user would in an editor."""
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params[section][key] = value
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def would_run(self) -> list[str]:
        """The stages `dvc repro` would run now."""
        lines = self.run("dvc", "repro", "--dry").stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]

    def md5(self, name: str) -> str:
        """Hash of an artefact's bytes."""
        return md5((self.folder / name).read_bytes(), usedforsecurity=False).hexdigest()


class HardCheckout(Checkout):
    """One that lies within another repository, under a name that is no ASCII; its commands run with a umask that lets
    nobody else in, in locale C, and with a home where nothing can be written."""

    umask = UMASK

    def __init__(self, folder: Path) -> None:
        cache = Params.model_validate(compose("smoke", ROOT / "profiles")).runtime.cache
        self.environment = {
            "LC_ALL": "C",
            "LANG": "C",
            "HOME": HOME,
            CACHE_VARIABLE: str(cache_folder(cache)),
        }
        super().__init__(folder / HARD_NAME)

    def set_clock_back(self, seconds: int) -> None:
        """From now on commands are told an earlier time."""
        shims = self.folder.parent.parent / "shims"
        shims.mkdir()
        self.environment = {**self.environment, **clock_set_back(seconds, shims)}


class Subfolder(HardCheckout):
    """A folder of a repository that holds more than this."""

    def commit(self, top: Path) -> None:
        super().commit(self.folder.parent.parent)


class Worktree(HardCheckout):
    """A worktree of another folder's repository, inside a repository that has nothing to do with it."""

    def put(self, folder: Path) -> None:
        main, around = folder.parent.parent / "main", folder.parent
        super().put(main)
        super().commit(main)
        around.mkdir()
        (around / "file").touch()
        super().commit(around)
        subprocess.run(["git", "worktree", "add", "-q", "-b", "beside", folder], cwd=main, check=True, umask=self.umask)

    def commit(self, top: Path) -> None:
        """It is committed as it stands."""
