"""What a page would fetch from the network when it is opened: of this site, nothing.

The theme's script also fetches for two elements: a mermaid diagram (the library that draws it), and a link to a
repository that is hosted somewhere (its stars). Such an element counts as what it makes the script fetch.
"""

import re
from html.parser import HTMLParser

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
           "embed": "src", "object": "data", "link": "href"}  # fmt: skip
"""Elements that load what an attribute names. An `a` does not."""
STYLES = re.compile(r"""(?:url\(\s*['"]?|@import\s+['"])((?:https?:)?//[^'")\s]+)""")


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_style = tag == "style"
        named = [given.get(LOADING.get(tag, "")), *(given.get("srcset") or "").split()]
        self.found += [place for place in named if place and re.match(r"(?:https?:)?//", place)]
        self.found += STYLES.findall(given.get("style") or "")
        if "mermaid" in (given.get("class") or "").split():
            self.found.append("the library that draws mermaid diagrams")
        if given.get("data-md-component") == "source":
            self.found.append("figures of a hosted repository")

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.found += STYLES.findall(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False


def fetched(html: str) -> list[str]:
    """The addresses that a page loads something from, in its order; what its script fetches is said in words."""
    loads = _Loads()
    loads.feed(html)
    return loads.found
