"""Cards in Markdown with front matter: whatever is put in, however hostile, stays the text it is."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from compeffdist.errors import one_line
from compeffdist.evaluation.table import markdown

_MARKS = re.compile(r"([\\`*\[\]|~$^]|(?<![^\W_])_|_(?![^\W_]))")

_WWW = re.compile(r"(www)\.", re.IGNORECASE)
NOTHING = "<!-- -->"
"""Ends a run of text, and is not seen."""


def plain(text: object, limit: int = 200) -> str:
    """Text for the middle of a line: one line, credentials masked, no Markdown, no HTML, no cell's end, no links: of
    an address, `www.` or a mail address GitHub makes one by itself."""
    marked = _MARKS.sub(r"\\\1", escape(one_line(text, limit), quote=False))
    unlinked = _WWW.sub(r"\1&#46;", marked.replace("://", ":&#47;/"))
    return unlinked.replace("@", f"@{NOTHING}")  # mail is looked for after entities are read


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already (`plain`)."""
    return "\n".join(markdown(heads, list(rows)))


def fenced(text: str, language: str = "") -> str:
    """A block of code, whose fence is longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def card(front: Mapping[str, Any], parts: Iterable[str]) -> str:
    """A card: front matter, then parts with a blank line between them; empty parts are left out."""
    import yaml

    head = yaml.safe_dump(dict(front), sort_keys=False, allow_unicode=True, width=120)
    return "\n\n".join([f"---\n{head}---", *filter(None, parts)]) + "\n"
