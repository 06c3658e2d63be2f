"""A sheet labelled over HTTP, as the page does it: what is written, what is refused, and what nobody else may do."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compeffdist import pages
from compeffdist.cli.main import main
from compeffdist.labelling import server as module
from compeffdist.labelling.page import render
from compeffdist.study.labels import read_labels
from tests.labelling.labelled import Page, labelling, write_rows
from tests.watch.test_server import Ids

HOSTILE = "<script>alert(1)</script>\u202e\u2066\"';=\n\u2028é\x1b[2J"


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "sheet.csv")


@pytest.fixture
def page(sheet: Path) -> Iterator[Page]:
    with labelling(sheet) as found:
        yield found


def given(sheet: Path) -> list[str]:
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        return [row["difficulty"] for row in csv.DictReader(stream)]


# ---------------------------------------------------------------- labels


def test_each_label_is_in_the_file_before_the_page_is_told(page: Page, sheet: Path) -> None:
    before = sheet.read_bytes()
    assert page.state()["labels"] == ["", "", ""]
    status, state = page.label(1, "4")
    assert status == 200 and state["labels"] == ["", "4", ""] and given(sheet) == ["", "4", ""]
    assert page.label(0, "1")[1]["labels"] == ["1", "4", ""]
    assert page.label(1, "2")[1]["labels"] == ["1", "2", ""]  # gone back to
    assert given(sheet) == ["1", "2", ""] and list(read_labels(sheet).values()) == [1, 2]
    assert page.label(0, "")[1]["labels"] == ["", "2", ""]
    page.label(1, "")
    assert sheet.read_bytes() == before  # the last byte of it


def test_rows_are_shown_as_they_are(page: Page) -> None:
    assert page.row(0)["Text"] == page.row(0)["Answer"] == "one" and page.row(0)["Question"] == "How is it?"
    for name in ("row/3", "row/-1", "row/x", "row/", "row/9999999999", "row/1/2", "rows", "sheet.csv"):
        assert page.ask(name)[0] == 404, name


def test_started_again_it_knows_what_was_labelled(sheet: Path) -> None:
    with labelling(sheet) as page:
        page.label(0, "3")
    with labelling(sheet) as page:
        assert page.state()["labels"] == ["3", "", ""]
        page.label(2, "5")
    assert given(sheet) == ["3", "", "5"]


@pytest.mark.parametrize(
    ("encoding", "delimiter", "end"),
    [("utf-8-sig", ";", "\r\n"), ("utf-16", "\t", "\r\n"), ("cp1252", ";", "\r\n"), ("utf-8", ",", "\n")],
)
def test_a_sheet_that_a_spreadsheet_saved_keeps_its_form(
    tmp_path: Path, encoding: str, delimiter: str, end: str
) -> None:
    sheet, texts = tmp_path / "sheet.csv", ['déjà vu; "and"\nmore, or less', "plain"]
    with write_rows(sheet, texts).open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    rows[0].append("note")
    rows[1] += ["mine"]
    with sheet.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows(rows)
        stream.write(f"{delimiter * 6}{end}")  # an empty row below
    before = sheet.read_bytes()
    with labelling(sheet) as page:
        assert page.row(0)["Answer"] == texts[0]
        page.label(0, "2")
        page.label(1, "5")
    text = before.decode(encoding)
    assert text.count(f"{delimiter}{delimiter}mine{end}") == 1
    text = text.replace(f"{delimiter}{delimiter}mine{end}", f"{delimiter}2{delimiter}mine{end}")
    text = text.replace(f"plain{delimiter}{end}", f"plain{delimiter}5{end}")
    assert sheet.read_bytes() == text.encode(encoding)
    assert list(read_labels(sheet).values()) == [2, 5]


def test_a_sheet_that_changed_under_the_page_takes_no_label_until_it_is_read_anew(page: Page, sheet: Path) -> None:
    page.label(0, "1")
    edited = sheet.read_bytes().replace(b'"two";""', b'"two";"5"').replace(b'"two",""', b'"two","5"')
    assert edited != sheet.read_bytes()
    sheet.write_bytes(edited)
    assert page.state()["changed"]
    for _ in range(2):
        status, told = page.label(2, "3")
        assert (status, told) == (409, {"error": "sheet.csv was changed by another program since it was read here."})
        assert sheet.read_bytes() == edited and [one.name for one in sheet.parent.iterdir()] == ["sheet.csv"]
    status, state = page.send("anew", {})
    assert status == 200 and state["labels"] == ["1", "5", ""] and state["generation"] == 1 and state["lost"] == []
    # another window that still shows the rows as they were
    assert page.label(2, "3", generation=0)[0] == 409 and given(sheet) == ["1", "5", ""]
    assert page.label(2, "3", generation=1)[0] == 200 and given(sheet) == ["1", "5", "3"]


def test_a_sheet_that_went_or_is_broken_meanwhile_is_told_in_words(page: Page, sheet: Path) -> None:
    content = sheet.read_bytes()
    sheet.unlink()
    assert page.label(0, "3") == (409, {"error": f"{sheet}: no such file"}) and not sheet.exists()
    assert page.send("anew", {})[0] == 409
    sheet.write_bytes(content.replace(b'"two",""', b'"two","hard"'))
    status, told = page.send("anew", {})
    assert status == 409 and re.search(r"line \d+: difficulty is 'hard', expected 1 to 5 or nothing", told["error"])
    sheet.write_bytes(content)
    assert page.label(0, "3")[1]["labels"] == ["3", "", ""]


def test_a_disk_that_is_full_is_told_in_words(page: Page, sheet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, told = page.label(0, "3")
    assert status == 500 and told["error"].startswith("The file cannot be written: no space left on the disk")
    assert given(sheet) == ["", "", ""]


@pytest.mark.parametrize(
    "body",
    [
        {"row": 0, "generation": 0, "label": "6"},
        {"row": 0, "generation": 0, "label": "=cmd"},
        {"row": 3, "generation": 0, "label": "1"},
        {"row": 0, "generation": 1, "label": "1"},
        {"row": -1, "generation": 0, "label": "1"},
        {"row": "0", "generation": 0, "label": "1"},
        {"row": 0, "generation": 0, "label": 1},
        {"row": 0.5, "generation": 0, "label": "1"},
        {"row": 0, "label": "1"},
        {},
        [],
        None,
        "x",
        b"",
        b"\xff\xfe",
        b"[" * 900,
        b'{"row": 0, "generation": 0, "label": "1"',
    ],
)
def test_what_is_no_label_is_refused(page: Page, sheet: Path, body: object, capfd: pytest.CaptureFixture[str]) -> None:
    before = sheet.read_bytes()
    status, _ = page.send("label", body)
    assert status in (400, 409) and sheet.read_bytes() == before and capfd.readouterr().err == ""


# ---------------------------------------------------------------- others


LABEL = {"row": 0, "generation": 0, "label": "1"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": ""}, 415),
    ],
)
def test_a_page_of_another_site_labels_nothing(page: Page, sheet: Path, headers: dict[str, str], status: int) -> None:
    for name, body in (("label", LABEL), ("anew", {})):
        assert page.send(name, body, **headers)[0] == status
    assert given(sheet) == ["", "", ""] and page.state()["generation"] == 0


def test_the_same_page_by_its_other_name_labels(page: Page, sheet: Path) -> None:
    own = f"localhost:{page.port}"
    assert page.send("label", LABEL, Host=own)[0] == 403  # of one name, asked by the other
    status, _ = page.send("label", LABEL, Host=own, Origin=f"http://{own}", Sec_Fetch_Site="same-origin")
    assert status == 200 and given(sheet) == ["1", "", ""]


def test_nothing_is_shown_or_taken_without_the_token(page: Page, sheet: Path) -> None:
    token = page.path.strip("/")
    origin = f"http://{page.host}:{page.port}"
    for path in ("/", "/label", "/state", "/row/0", f"/{token[:-1]}/label", f"/{token}x/label", f"/x/{token}/label"):
        for method in ("GET", "POST"):
            status, body, _ = page.ask(
                path=path,
                method=method,
                body=json.dumps(LABEL).encode(),
                Origin=origin,
                Content_Type="application/json",
            )
            assert status == 403 and token.encode() not in body, (path, method)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert page.ask("label", method, body=json.dumps(LABEL).encode())[0] == 501
    assert page.ask("label")[0] == page.ask("anew")[0] == 404
    assert page.send("state", {})[0] == page.send("", {})[0] == 404
    assert given(sheet) == ["", "", ""]


def test_a_body_is_bounded_and_has_a_length(page: Page, sheet: Path) -> None:
    spaced = json.dumps(LABEL).encode().ljust(module.MOST_BODY)
    assert page.send("label", spaced)[0] == 200
    for more in (1, 30_000):
        assert page.send("label", {**LABEL, "label": "2"} | {"x": "x" * (module.MOST_BODY + more)})[0] == 413
    head = f"POST {page.path}label HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: http://127.0.0.1:{page.port}\r\n"
    head += "Content-Type: application/json\r\n"
    for length in ("", "Content-Length: -1\r\n", "Content-Length: 1e3\r\n", "Transfer-Encoding: chunked\r\n"):
        assert b" 411 " in raw(page, f"{head}{length}\r\n")
    assert b" 413 " in raw(page, f"{head}Content-Length: 99999999\r\n\r\n")
    assert given(sheet) == ["1", "", ""]


def raw(page: Page, request: str) -> bytes:
    with socket.create_connection((page.host, page.port), 30) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_texts_are_told_as_json_and_the_page_has_none_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "<i>"
    folder.mkdir()
    with labelling(write_rows(folder / "<b>&.csv", [HOSTILE])) as page:
        status, body, headers = page.ask("row/0")
        assert status == 200 and headers["Content-Type"] == "application/json" and body.isascii()
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith(f"{pages.POLICY}; ")
        assert page.row(0)["Answer"] == HOSTILE
        html, headers = page.ask()[1].decode(), page.ask()[2]
        assert "Labelling &lt;b&gt;&amp;.csv" in html and "<b>" not in html and "alert(1)" not in html
        assert html == render("<b>&.csv") and "innerHTML" not in html and not re.search(r"\son\w+=", html)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith(f"{pages.POLICY}; connect-src 'self'; script-src 'sha256-")
        assert "unsafe-inline'" not in policy.split("script-src")[1] and "frame-ancestors 'none'" in policy
        for name in ("", "state", "row/0"):
            assert page.ask(name)[2]["Referrer-Policy"] == "no-referrer"
            assert page.ask(name)[2]["Cache-Control"] == "no-store"


def test_every_place_that_the_script_fills_is_there() -> None:
    body, ids = render("x"), Ids()
    ids.feed(body)
    assert set(re.findall(r"by\('([\w-]+)'\)", body)) <= set(ids.found) and len(ids.found) == len(set(ids.found))


# ---------------------------------------------------------------- the command


def test_ctrl_c_ends_it_with_how_many_are_labelled_and_what_reads_them(sheet: Path) -> None:
    command = [sys.executable, "-m", "compeffdist.cli.main", "study", "label", "sheet.csv"]
    started = subprocess.Popen(command, cwd=sheet.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        first, address = started.stdout.readline(), started.stdout.readline()
        assert first == "0 of 3 rows of sheet.csv are labelled; open this address to go on, end with Ctrl-C:\n"
        assert Page(address).label(2, "4")[0] == 200
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=60)
    finally:
        started.kill()
    assert (started.returncode, err) == (0, "")
    assert out == "1 of 3 rows of sheet.csv are labelled; read them with: compeffdist study --labels sheet.csv\n"


def test_what_is_no_sheet_leaves_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.csv").write_text("a,b\n1,2\n")
    for name, said in (("none.csv", "none.csv: no such file"), ("notes.csv", "notes.csv: no sheet to label, ")):
        with pytest.raises(SystemExit) as left:
            main(["study", "label", name])
        printed = capsys.readouterr()
        assert left.value.code == 1 and printed.out == ""
        assert printed.err.startswith(f"error: {said}") and printed.err.count("\n") == 1
