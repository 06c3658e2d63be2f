"""Files and folders that pages name are in the repository, are an artefact of dvc.yaml, or are written by its code."""

import re
from fnmatch import fnmatch
from functools import cache
from itertools import chain

from compeffdist.declaration import read_pipeline
from compeffdist.git import run_git
from docs_site import outputs
from tests.docs_site.test_commands import PAGES, spans
from tests.stages import ROOT

PATH = re.compile(r"[\w.*{}$@+-]+(?:/[\w.*{}$@+,-]+)*/?")
SUFFIX = re.compile(r"\w\.(?:py|md|ya?ml|jsonl?|parquet|csv|toml|txt|html|lock|c|db)$")
BASES = ("", "src/compeffdist/", "src/compeffdist/report/", "docs/")
"""Where pages name files from."""
PLACE = re.compile(r"\$?\{[^}]*\}|\b[A-Z][A-Z_]+\b|\*")
"""What stands for a name: `NAME`, `${domain}`, `*`."""
OTHERS = {
    ".dvc/tmp": "DVC's",
    "TASK/SPLIT.jsonl": "of a benchmark that was fetched",
    "serving.json": "of a version: SERVING in registry/artifacts.py, with .json behind it",
}
"""Named, and neither in the repository nor written by its code -> whose it is."""


def listed() -> set[str]:
    """Files of the repository, artefacts of the pipeline, and the folders that they are in."""
    tracked = run_git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").stdout.decode().split("\0")
    made = chain.from_iterable(stage.outs for stage in read_pipeline(ROOT).values())
    files = {*filter(None, tracked), *made}
    return files | {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}


@cache
def code() -> str:
    """All that writes files."""
    sources = [*ROOT.glob("src/**/*.py"), *ROOT.glob("stages/*.py"), ROOT / "Makefile", ROOT / ".gitignore"]
    return "\n".join(path.read_text("utf-8") for path in sources)


def named(page: str) -> set[str]:
    """Paths that a page's text names."""
    return {span for span in spans(page) if PATH.fullmatch(span) and ("/" in span or SUFFIX.search(span))}


def test_a_path_that_is_named_is_there_or_is_written() -> None:
    there = listed()
    found = [(page, path) for page in PAGES for path in sorted(named(page))]
    assert len(found) > 100
    missing = []
    for page, path in found:
        pattern = PLACE.sub("*", path.strip("/").removeprefix("./"))
        known = any(f"{base}{pattern}" in there for base in BASES)
        known = known or ("*" in pattern and any(fnmatch(one, pattern) for one in there))
        if not (known or path in OTHERS or pattern.rpartition("/")[2].strip("*.") in code()):
            missing.append(f"{page}: {path}")
    assert missing == []


def test_the_folders_that_the_architecture_page_lists_are_there() -> None:
    [block] = [one for one in outputs.blocks("architecture.md", outputs.text_of("architecture.md")) if not one.language]
    heads = [path.strip("/") for line in block.lines for path in line.partition("  ")[0].split(", ")]
    assert len(heads) > 10 and set(heads) <= listed()
