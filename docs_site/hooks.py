"""MkDocs's events (`mkdocs.yml`): pages beside docs/, links out of it, diagrams; and no page that fetches anything.

A fault is a warning of MkDocs's log, which ends a strict build (`make docs`).
"""

import logging
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mkdocs.structure.files import File  # noqa: E402

from docs_site import beside, commands_page, diagram, fetching, params_page  # noqa: E402

log = logging.getLogger("mkdocs.hooks.site")
MERMAID = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add what is no file in docs/: the reference, and pages and pictures that lie elsewhere in the repository."""
    made: dict[str, str | bytes] = {
        "reference/params.md": params_page.page(),
        "reference/commands.md": commands_page.page(),
        **beside.pages(ROOT),
    }
    for place, content in made.items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page with links into the rest of the repository and diagrams as the site shows them."""
    for link in beside.broken_links(markdown, page.file.src_uri, ROOT):
        log.warning("%s: %s is not in the repository", page.file.src_uri, link)
    markdown = beside.without_outside_links(markdown, page.file.src_uri, ROOT)
    return MERMAID.sub(lambda fence: diagram.picture(fence.group(1)), markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """The finished page. Warns of everything that it would fetch from the network."""
    for place in fetching.fetched(output):
        log.warning("%s: would fetch %s", page.file.src_uri, place)
    return output
