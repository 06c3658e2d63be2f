"""`make docs` ends at every fault of the site, and names it; needs the packages that it installs."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs_site import beside
from tests.stages import ROOT

pytest.importorskip("mkdocs", reason="make docs installs it")

FAULTS = {
    "[gone](gone.md)": "gone.md",
    "[a heading](gates.md#no-such-heading)": "no-such-heading",
    "[code](../src/no_such_file.py)": "no_such_file.py",
    '<img alt="" src="https://cdn.example.com/x.png">': "https://cdn.example.com/x.png",
    '<pre class="mermaid"></pre>': "mermaid",
}
"""What is written into a page -> what of it the build names."""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the site is made of, to change at will."""
    for folder in ("docs", "docs_site", beside.RESULTS):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in ("mkdocs.yml", "README.md", *beside.PAGES):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "src").symlink_to(ROOT / "src")
    return tmp_path


def built(folder: Path) -> tuple[int, str]:
    """Exit code and output of the command that `make docs` runs."""
    [line] = re.findall(r"^\tpython -m mkdocs .*$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    command = [sys.executable, *shlex.split(line)[1:]]
    env = os.environ | {"PYTHONPATH": f"{folder}:{ROOT / 'src'}"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_what_leads_nowhere_or_fetches_ends_the_build(copy: Path) -> None:
    page = copy / "docs/gpu.md"
    page.write_text("\n\n".join([page.read_text("utf-8"), *FAULTS]), "utf-8")
    (copy / "docs" / "in_no_navigation.md").write_text("# A page\n")
    code, said = built(copy)
    assert code != 0
    assert [named for named in [*FAULTS.values(), "in_no_navigation.md"] if named not in said] == []


def test_the_pages_are_as_the_repository_has_them_and_need_no_network(copy: Path) -> None:
    code, said = built(copy)
    assert code == 0, said
    pages = sorted((copy / "build/site").rglob("*.html"))
    assert len(pages) > 40
    assert "runtime.store" in (copy / "build/site/reference/params.html").read_text("utf-8")
    for page in pages:
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?(?:https?:)?//", page.read_text("utf-8"))
