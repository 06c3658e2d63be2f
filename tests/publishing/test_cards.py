"""Hostile texts in cards, licences, and what is said of where things are from."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from compeffdist.errors import UserError, one_line
from compeffdist.models.naming import public, short_name
from compeffdist.publishing.bom import is_bom
from compeffdist.publishing.licences import hub_licence, refuse_unfit
from compeffdist.publishing.lineage_events import is_lineage
from compeffdist.publishing.markdown import NOTHING, card, fenced, plain, table
from compeffdist.publishing.materials import public_command
from compeffdist.publishing.writing import export_file, refuse_file, refuse_folder
from tests.models.making import make_identity

LINKED = re.compile(rf"://|www\.|@(?!{NOTHING})", re.IGNORECASE)
"""What GitHub's Markdown makes a link of by itself, once entities in a mail address are read."""
MARKDOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")
HOSTILE = [
    "</td><script>alert(1)</script>",
    "a | b\n| --- |\n# head",
    "[x](javascript:alert(1)) ![y](https://example.org/z.png)",
    "**bold** _it_ __x__ `code` ~~gone~~ $$x$$ <b>b</b> &lt;",
    "\\| \\` --- \n---\nlicense: other\n",
    "https://example.org/spam and www.example.org or WWW.example.org",
    "write to somebody@example.org, (a_b.c+d@mail.example.org)",
    "\u202e\x1b[31mred",
]


def said_in(line: str) -> str:
    """The text of a line of Markdown that is nothing but text."""
    [start, inline, end] = MARKDOWN.parse(f"x {line} x")
    assert (start.type, end.type) == ("paragraph_open", "paragraph_close")
    seen = [token for token in inline.children or [] if (token.type, token.content) != ("html_inline", NOTHING)]
    assert {token.type for token in seen} <= {"text", "text_special"}
    assert not LINKED.search(line)
    return "".join(token.content for token in seen)[2:-2]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text: str) -> None:
    assert said_in(plain(text)) == one_line(text)


@given(st.text(max_size=60))
def test_any_text_is_text(text: str) -> None:
    assert said_in(plain(text)).strip() == one_line(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_stays_one_cell(text: str) -> None:
    html = MARKDOWN.render(table(["a", "b"], [[plain(text), "end"]]))
    assert html.count("<td>") == 2 and "<td>end</td>" in html and "<script" not in html


@pytest.mark.parametrize("text", [*HOSTILE, "```\nout\n```", "````"])
def test_front_matter_and_blocks_hold_what_was_put_in(text: str) -> None:
    front = {"pretty_name": text, "tags": [text]}
    head, end, rest = card(front, ["rest"]).removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(head) == front
    assert (end, rest) == ("\n---\n", "\nrest\n")
    [block] = MARKDOWN.parse(fenced(text))
    assert block.type == "fence" and block.content == f"{text}\n"


ALLOWED = (
    *("MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC BY-NC-SA 4.0", "CC0-1.0", "CDLA-Sharing-1.0", "GPL-3.0"),
    *("own", "public domain", "No copyright, public domain", "no rights reserved", "Yelp Dataset Terms of Use"),
    *("Attribution-NonCommercial-ShareAlike", "no share-alike", "no restrictions on redistribution"),
    *("non-commercial use, redistribution permitted", "no warranty, free to distribute", "not endorsed; may be shared"),
    "You may not remove notices but may share it",
)
FORBIDDING = (
    *("Redistribution prohibited", "may not be redistributed", "redistribution is not permitted"),
    *("must not be shared", "no further distribution", "CC BY 4.0 NoDerivs", "Attribution-NoDerivs", "CC_BY_ND"),
    *("No Derivative Works", "non-redistributable", "CC_BY_NC_ND", "by\u2011nd", "derivatives are not allowed"),
    *(
        "may not be copied, modified,\n or redistributed",
        "It prohibits sharing",
        "don\u2019t share",
        "cannot be published",
    ),
    *("Redistribution without permission is forbidden", "no permission to re-distribute", "NoRedistribution"),
    "Sharing isn't allowed",
)


@pytest.mark.parametrize(
    ("licence", "problem"),
    [
        *((licence, "") for licence in ALLOWED),
        *((licence, "forbids") for licence in FORBIDDING),
        ("unstated", "unknown"),
        (" Unknown ", "unknown"),
        ("", "unknown"),
        ("proprietary", "forbids"),
        ("Company confidential", "forbids"),
        ("no redistribution", "forbids"),
        ("research only, not for sharing", "forbids"),
        ("CC-BY-ND-4.0", "forbids"),
        ("CC BY-NC-ND 4.0", "forbids"),
    ],
)
def test_which_licences_stop_an_export(licence: str, problem: str) -> None:
    if not problem:
        refuse_unfit([("s", licence)], False, [])
        return
    with pytest.raises(UserError, match=f"source s: its licence .*{problem}"):
        refuse_unfit([("other", "MIT"), ("s", licence)], False, [])
    refuse_unfit([("s", licence)], problem == "unknown", ["s"] if problem == "forbids" else [])


def test_a_source_that_is_not_there_is_no_exception() -> None:
    with pytest.raises(UserError, match=r"twets is no source of what is exported \(tweets\)"):
        refuse_unfit([("tweets", "MIT")], False, ["twets"])


@pytest.mark.parametrize(
    ("licences", "fields"),
    [
        (["MIT"], {"license": "mit"}),
        (["apache-2.0", "MIT"], {"license": ["apache-2.0", "mit"]}),
        (["MIT", "unstated"], {"license": "unknown"}),
        ([], {"license": "unknown"}),
        (["Yelp: <terms>\n---"], {"license": "other", "license_name": "yelp-terms"}),
    ],
)
def test_what_the_hub_calls_licences(licences: list[str], fields: dict[str, str]) -> None:
    assert hub_licence(licences) == fields


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("https://user:secret-word@example.org/data", "https://***@example.org/data"),
        ("path:/home/somebody/my models/student", "path:student"),
        ("~/texts/comments.csv", "comments.csv"),
        ("path:../../home/somebody/x", "path:x"),
        ("data/../../somebody/x.csv", "x.csv"),
        ("../x.csv", "x.csv"),
        ("data/a..b/x.csv", "data/a..b/x.csv"),
        ("https://example.org/a/../x", "https://example.org/a/../x"),
        ("data/sources/comments.csv", "data/sources/comments.csv"),
        ("repo/name@abc123:train", "repo/name@abc123:train"),
    ],
)
def test_no_credentials_and_no_folders_of_this_machine(written: str, told: str) -> None:
    assert public(written) == told


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("python stages/run.py train_student", "python stages/run.py train_student"),
        ("/home/somebody/.venv/bin/python -m x --out=/srv/data/y", "python -m x --out=y"),
        ("cd ../../somebody && ~/bin/run data/texts.csv", "cd somebody && run data/texts.csv"),
        ("'/home/some body/bin/python' x.py", "'python' x.py"),
        ("/home/some\\ body/bin/python x.py https://example.org/x", "python x.py https://example.org/x"),
        ("curl https://user:secret-word@example.org/x >/dev/null", "curl https://***@example.org/x >null"),
    ],
)
def test_a_command_names_no_folders_of_this_machine(written: str, told: str) -> None:
    assert public_command(written) == told


def test_what_a_model_is_called() -> None:
    names = {
        "hf:org/model@0123abc": "org/model",
        "pypi:some-model==1.0!weights/Model.Q4.gguf#sha256=" + "0" * 64: "Model.Q4.gguf",
        "path:/home/somebody/student": "student",
        "api:qwen2:7b@ollama": "qwen2:7b@ollama",
    }
    served = {reference: reference.removeprefix("api:") if reference.startswith("api:") else "" for reference in names}
    found = [short_name(make_identity("x", reference=one, served_name=served[one])) for one in names]
    assert found == list(names.values())


def test_a_place_that_cannot_be_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for above in ("file", "link"):
        place = tmp_path / above / "out.json"
        with pytest.raises(UserError, match="cannot be made"), export_file(place, False, is_bom):
            pass


def test_links_and_folders_are_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="broken link"):
        refuse_folder(tmp_path / "link", "dataset", force=True)
    with pytest.raises(UserError, match="--force"):
        refuse_file(tmp_path / "link", False, is_bom)
    with pytest.raises(UserError, match="not replaced"):
        refuse_file(tmp_path / "link", True, lambda path: True)
    with pytest.raises(UserError, match="a folder"):
        refuse_file(tmp_path, True, is_bom)


def test_a_link_to_an_empty_folder_and_a_mount_point_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for place in (tmp_path / "link", Path("/")):
        with pytest.raises(UserError, match="name a folder in it"):
            refuse_folder(place, "dataset", force=False)


@pytest.mark.parametrize("is_export", [is_bom, is_lineage])
@pytest.mark.parametrize(
    "text", ["", "seed: 1\n", "[]", "{}", "3", '{"serialNumber": NaN, "x": NaN}', '{"producer": "x"}', "\xff"]
)
def test_another_file_is_not_replaced(tmp_path: Path, text: str, is_export: Callable[[Path], bool]) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"params\.yaml: not what such an export wrote"):
        refuse_file(tmp_path / "params.yaml", True, is_export)
