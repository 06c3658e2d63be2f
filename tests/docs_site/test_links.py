"""Whatever names a page of docs/, in code, messages or Markdown, names one that is there, and an anchor that it has.

Links between pages are looked at by the strict build as well (`make docs`); this needs no MkDocs.
"""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist.git import run_git
from docs_site import beside
from tests.stages import ROOT

NAMED = re.compile(r"(?<![\w/.])docs/((?:[\w-]+/)*[\w-]+\.md)(?:#([\w-]+))?")
MADE = {"reference/params.md", "reference/commands.md", *beside.pages(ROOT)}
"""Pages that the build makes."""


def files() -> list[Path]:
    """Text files of the repository, but for tests' own shapes of servers."""
    done = run_git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    listed = [ROOT / name for name in done.stdout.decode().split("\0")]
    kinds = {".py", ".md", ".yaml", ".yml", ".toml", ""}
    return [path for path in listed if path.is_file() and path.suffix in kinds and "shapes" not in path.parts]


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and MkDocs both make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def named() -> Iterator[tuple[Path, str, str]]:
    """File, page and anchor of everything that names a page by docs/…"""
    for path in files():
        for page, anchor in NAMED.findall(path.read_text("utf-8", errors="replace")):
            yield path, page, anchor


def test_pages_that_are_named_anywhere_are_there() -> None:
    found = list(named())
    assert {page for _, page, _ in found} > {"architecture.md", "index.md"}
    missing = [
        f"{path.relative_to(ROOT)}: docs/{page}#{anchor}"
        for path, page, anchor in found
        if not (ROOT / "docs" / page).exists() or (anchor and anchor not in anchors(ROOT / "docs" / page))
    ]
    assert missing == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    of = page.relative_to(ROOT / "docs").as_posix()
    for link in re.finditer(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)", page.read_text("utf-8")):
        place, anchor = link.groups()
        if place.startswith(("http:", "https:")):
            continue
        target = posixpath.normpath(posixpath.join(posixpath.dirname(of), place)) if place else of
        if target in MADE:
            continue
        assert (ROOT / "docs" / target).exists(), place
        if anchor:
            assert anchor in anchors(ROOT / "docs" / target), link.group()


def test_the_readme_is_one_screen_and_says_what_is_downloaded_under_which_licence() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 90
    section = readme.partition(beside.DOWNLOADS)[2].partition("\n## ")[0]
    assert "licence" in section and "Apache-2.0" in section and "MIT" in section
