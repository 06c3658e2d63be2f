"""Pages that lie elsewhere in the repository, and links from docs/ to what is no page."""

import posixpath
import re
from pathlib import Path

PAGES = {"data/sources/README.md": "own-files.md", "models/local/README.md": "own-weights.md"}
"""A file of the repository -> its place on the site."""
RESULTS = "experiments/results"
"""Pages of experiments, with their pictures and tables: on the site, in a folder of that name."""
DOWNLOADS = "## What the defaults download\n"
"""The section of README.md that is a page of its own on the site."""
DOWNLOADS_LINK = ("README.md", "#what-the-defaults-download")
"""How pages lead to it."""
LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(((?!https?:|#|mailto:)[^)\s#]+)(#[^)\s]*)?\)")


def pages(root: Path) -> dict[str, str | bytes]:
    """Place on the site -> content."""
    made: dict[str, str | bytes] = {place: (root / path).read_text("utf-8") for path, place in PAGES.items()}
    for path in sorted((root / RESULTS).glob("*.*")):
        made[f"{RESULTS}/{path.name}"] = path.read_bytes() if path.suffix != ".md" else path.read_text("utf-8")
    section = (root / "README.md").read_text("utf-8").partition(DOWNLOADS)[2].partition("\n## ")[0]
    made["downloads.md"] = f"# What the defaults download\n{section}"
    return made


def _target(path: str, of: str) -> str:
    """Where a link of the page `of`, itself a file in docs/, leads: relative to the root."""
    return posixpath.normpath(posixpath.join("docs", posixpath.dirname(of), path))


def broken_links(markdown: str, of: str, root: Path) -> list[str]:
    """Links out of docs/ to files that are not there."""
    places = [_target(link[2], of) for link in LINK.finditer(markdown)]
    return [place for place in places if not place.startswith("docs/") and not (root / place).exists()]


def without_outside_links(markdown: str, of: str, root: Path) -> str:
    """The page with links out of docs/ led to their page on the site, or, where they have none, as the file's path."""

    def shown(link: re.Match[str]) -> str:
        words, path, anchor = link.group(1), link.group(2), link.group(3) or ""
        target = _target(path, of)
        if target.startswith("docs/"):
            return link.group()
        if (target, anchor) == DOWNLOADS_LINK:
            return f"[{words}]({posixpath.relpath('downloads.md', posixpath.dirname(of) or '.')})"
        on_site = PAGES.get(target) or (target if target.startswith(f"{RESULTS}/") else None)
        if on_site:
            return f"[{words}]({posixpath.relpath(on_site, posixpath.dirname(of) or '.')}{anchor})"
        return f"`{target}`" if words.strip("`") in target else f"{words} (`{target}`)"

    return LINK.sub(shown, markdown)
