"""What all pages share: which scripts run, tables that everybody can read."""

import base64
import hashlib

from compeffdist.house_style import cells, document, table
from compeffdist.pages import POLICY


def test_a_page_without_scripts_lets_none_run() -> None:
    page = document("t", ["<p>x</p>"])
    assert f'content="{POLICY}"' in page and "script" not in page
    assert "width=device-width" in page and "prefers-color-scheme:dark" in page


def test_a_script_runs_by_its_hash_and_stands_last() -> None:
    page = document("t", ["<p>x</p>"], scripts=["let a = 1;", "let b = 2;"])
    digests = [base64.b64encode(hashlib.sha256(one).digest()).decode() for one in (b"let a = 1;", b"let b = 2;")]
    assert f"{POLICY}; script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'\"" in page
    assert page.index("<p>x</p>") < page.index("let a = 1;") < page.index("let b = 2;")


def test_a_title_that_looks_like_the_policy_changes_none() -> None:
    page = document(POLICY, [f"<p>{POLICY}</p>"], scripts=["1"])
    assert page.count("script-src") == 1
    assert page.index("script-src") < page.index("<title>")


def test_a_table_heads_its_columns_and_rows_and_aligns_numbers() -> None:
    made = table(["task", "kind", "rows"], [cells(["<a>", "b", "1"], 2)], "tasks & co", 2)
    assert 'aria-label="tasks &amp; co"' in made and 'tabindex="0"' in made
    assert '<th scope="col">task</th><th scope="col">kind</th><th scope="col" class="number">rows</th>' in made
    assert '<tr><th scope="row">&lt;a&gt;</th><td>b</td><td class="number">1</td></tr>' in made
