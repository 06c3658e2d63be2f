"""What a page fetches from the network is found, by whatever element; what it only links to is not."""

import pytest

from docs_site.fetching import fetched

ELSEWHERE = "https://cdn.example.com/x"


@pytest.mark.parametrize(
    "html",
    [
        f'<script src="{ELSEWHERE}"></script>',
        f"<link rel=stylesheet href={ELSEWHERE}>",
        f'<img alt="" src="{ELSEWHERE}">',
        f'<img src="here.png" srcset="here.png 1x, {ELSEWHERE} 2x">',
        f'<iframe src="{ELSEWHERE}"></iframe>',
        f"<style>@import '{ELSEWHERE}';</style>",
        f"<style>body {{ background: url( '{ELSEWHERE}' ) }}</style>",
        f'<p style="background: url({ELSEWHERE})">',
    ],
)
def test_what_loads_from_elsewhere_is_found(html: str) -> None:
    assert fetched(f"<h1>A page</h1>{html}") == [ELSEWHERE]
    assert fetched(html.replace("https:", "")) == [ELSEWHERE.removeprefix("https:")]


@pytest.mark.parametrize(
    ("html", "what"),
    [
        ('<pre class="mermaid"><code>flowchart LR</code></pre>', "the library that draws mermaid diagrams"),
        ('<a data-md-component="source" href="https://git.example.com">', "figures of a hosted repository"),
    ],
)
def test_what_makes_the_themes_script_fetch_is_found(html: str, what: str) -> None:
    assert fetched(html) == [what]


def test_links_own_files_and_addresses_in_the_text_are_nothing_fetched() -> None:
    own = '<script src="assets/a.js"></script><link href="../site.css" rel="stylesheet"><img src="images/report.png">'
    named = f'<a href="{ELSEWHERE}">there</a><code>url({ELSEWHERE})</code><style>a {{ color: red }}</style>'
    assert fetched(own + named) == []
