"""Pages that lie elsewhere in the repository, and links out of docs/."""

from pathlib import Path

import pytest

from docs_site import beside
from tests.stages import ROOT


@pytest.mark.parametrize(
    ("of", "link", "shown"),
    [
        ("own-texts.md", "[what goes there](../data/sources/README.md)", "[what goes there](own-files.md)"),
        ("a/b.md", "[it](../../data/sources/README.md#x)", "[it](../own-files.md#x)"),
        (
            "results.md",
            "[page](../experiments/results/label_ranks.md)",
            "[page](experiments/results/label_ranks.md)",
        ),
        ("index.md", "[what](../README.md#what-the-defaults-download)", "[what](downloads.md)"),
        ("gates.md", "[own.py](../src/gates/own.py)", "`src/gates/own.py`"),
        ("gates.md", "[the gate](../src/gates/own.py)", "the gate (`src/gates/own.py`)"),
        ("gates.md", "[a page](method.md#tasks)", "[a page](method.md#tasks)"),
        ("gates.md", "[above](#x) [there](https://example.com/x)", "[above](#x) [there](https://example.com/x)"),
        ("gates.md", "![a picture](images/report.png)", "![a picture](images/report.png)"),
    ],
)
def test_a_link_out_of_docs_leads_to_the_page_on_the_site_or_is_the_path(of: str, link: str, shown: str) -> None:
    assert beside.without_outside_links(f"See {link}.", of, ROOT) == f"See {shown}."


def test_a_link_out_of_docs_to_nothing_is_broken() -> None:
    page = "[here](../pyproject.toml) [gone](../src/gone.py) [a page](method.md)"
    assert beside.broken_links(page, "index.md", ROOT) == ["src/gone.py"]


def test_the_readmes_table_of_downloads_is_a_page_and_ends_where_the_section_does(tmp_path: Path) -> None:
    for path in beside.PAGES:
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("# Own\n")
    (tmp_path / "README.md").write_text(f"# A\n\n{beside.DOWNLOADS}\nWhat.\n\n## Licence\n\nNo.\n")
    pages = beside.pages(tmp_path)
    assert pages["downloads.md"] == "# What the defaults download\n\nWhat.\n"
    assert pages["own-files.md"] == "# Own\n"
