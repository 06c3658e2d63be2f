"""What a clone brings with it: DVC's state in the checkout, and bytes that no setting of git's changes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.stages import ROOT

PUBLIC = Path("/var/tmp/dvc/repo")
"""Where DVC keeps the state of every checkout of every user unless it is told otherwise."""


def tracked(folder: Path, *paths: str) -> None:
    """Copy what git tracks below these paths."""
    listed = subprocess.run(["git", "ls-files", "-z", *paths], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def git(folder: Path, *arguments: str) -> str:
    named = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", *arguments]
    return subprocess.run(["git", *named], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_plain_dvc_keeps_its_state_in_the_checkout_where_nobody_else_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds pickles, and whoever may write them has his code run."""
    monkeypatch.delenv("DVC_SITE_CACHE_DIR")
    old = os.umask(0o022)
    try:
        git(tmp_path, "init", "-q")
        tracked(tmp_path, ".dvc", ".dvc-site", ".dvcignore", ".gitignore")
        stage = {"cmd": "mkdir models/proxy && touch models/proxy/a", "outs": ["models/proxy"]}
        (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"stage": stage}}))
        (tmp_path / "models").mkdir()
        for command in ("repro", "status"):
            subprocess.run([sys.executable, "-m", "dvc", command], cwd=tmp_path, check=True, capture_output=True)
    finally:
        os.umask(old)
    [state] = [path for path in (tmp_path / ".dvc-site/repo").iterdir() if path.is_dir()]
    assert any(state.rglob("cache.db"))
    assert not (PUBLIC / state.name).exists()
    assert not [path for path in tmp_path.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o002]
    assert ".dvc-site/repo/" + state.name not in git(tmp_path, "status", "--porcelain", "-uall")


def test_lines_end_as_they_were_committed_whatever_git_is_told(tmp_path: Path) -> None:
    """A ledger's lines, a record's bytes and what DVC hashes would be others."""
    names = (
        ".gitattributes",
        "data",
        "domains",
        "metrics",
        "params.yaml",
        "code.yaml",
        "dvc.lock",
        "records",
        "benchmarks",
    )
    tracked(tmp_path, *names)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) > 20
    git(tmp_path, "init", "-q")
    for setting in ("core.autocrlf=true", "core.eol=crlf"):
        git(tmp_path, "config", *setting.split("="))
    git(tmp_path, "add", "-A", "-f")
    git(tmp_path, "commit", "-qm", "all")
    for path in before:
        path.unlink()
    git(tmp_path, "checkout", "-q", "--", ".")
    assert [path for path, content in before.items() if path.read_bytes() != content] == []
