"""Who is answered and what: the token, the name, the report; over HTTP."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from compeffdist import local_server, pages
from compeffdist.artefacts import DIFFICULTY_PAGE, REPORT
from compeffdist.gates.outcome import page_of
from compeffdist.house_style import document
from compeffdist.params import PARAMS_FILE
from compeffdist.profiles import compose
from compeffdist.watch.page import render
from compeffdist.watch.server import WatchServer
from compeffdist.watch.state import Watcher
from tests.stages import ROOT
from tests.watch.looking import Page, served

SECRETS = ("params.yaml", "dvc.yaml", ".git/config", ".compeffdist/answers.sqlite", "report/secret.html")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    folder = tmp_path / "<i>ours & theirs"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    PARAMS_FILE.write_text(yaml.safe_dump(compose("smoke", ROOT / "profiles")))
    Path("report/gates").mkdir(parents=True)
    for name in SECRETS[2:]:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("secret")
    with served() as found:
        yield found


def test_the_page_and_the_state_are_for_who_has_the_token(page: Page) -> None:
    assert len(page.path) > 40
    assert page.ask()[0] == page.ask("state")[0] == 200
    token = page.path.strip("/")
    for path in (
        "/",
        "",
        "/state",
        f"/{token[:-1]}/",
        f"/{token}x/state",
        f"/{token.swapcase()}/",
        "//",
        "/%00/",
        "/../",
    ):
        for method in ("GET", "HEAD", "POST", "OPTIONS", "TRACE", "X"):
            status, body, _ = page.ask(method=method, path=path or "*")
            assert status == 403 and token.encode() not in body and b"compeffdist" not in body, (method, path)
    assert page.ask(path=f"http://127.0.0.1:{page.port}/{token}/state")[0] == 403
    assert page.ask(path=f"/x/{token}/state")[0] == 403
    assert page.ask(path=f"/?{token}")[0] == 403


def test_a_name_that_was_rebound_to_this_machine_gets_nothing(page: Page) -> None:
    for host in (
        "evil.example",
        f"evil.example:{page.port}",
        f"127.0.0.1.evil.example:{page.port}",
        "127.0.0.1",
        "",
        "::1",
    ):
        assert page.ask("state", Host=host)[0] == 403, host
    assert (
        page.ask("state", Host=f"localhost:{page.port}")[0]
        == page.ask("state", Host=f"LOCALHOST:{page.port}")[0]
        == 200
    )
    asked = f"GET {page.path}state HTTP/1.1\r\n"
    own = f"Host: 127.0.0.1:{page.port}\r\n"
    assert b" 403 " in raw(page, f"{asked}\r\n")
    assert b" 403 " in raw(page, f"{asked}{own}Host: evil.example\r\n\r\n")
    assert raw(page, f"GET {page.path}state\r\n\r\n").startswith(b"403 ")
    assert b" 200 " in raw(page, f"{asked}{own}\r\n")


def raw(page: Page, request: str) -> bytes:
    with socket.create_connection((page.host, page.port), 30) as connection:
        connection.sendall(request.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_it_listens_on_this_machine_alone_and_takes_no_other_methods(page: Page) -> None:
    assert page.host == "127.0.0.1"
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert page.ask("state", method)[0] == 501
    status, body, headers = page.ask("state", "HEAD")
    assert status == 200 and body == b"" and int(headers["Content-Length"]) > 100
    assert page.ask(path=page.path.rstrip("/"))[2]["Location"] == page.path
    assert page.ask("x" * 300)[0] == 414


def test_every_reply_tells_the_address_to_nobody_and_lets_nothing_in(page: Page) -> None:
    for name in ("", "state", "nothing"):
        headers = page.ask(name)[2]
        assert headers["Referrer-Policy"] == "no-referrer" and headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY"
        assert "Python" not in headers["Server"]
    policy = page.ask()[2]["Content-Security-Policy"]
    assert policy.startswith(f"{pages.POLICY}; connect-src 'self'; script-src 'sha256-")
    assert "unsafe-inline'" not in policy.split("script-src")[1] and "frame-ancestors 'none'" in policy


def test_the_name_of_the_checkout_is_text_and_the_rest_of_the_page_ours(page: Page) -> None:
    body = page.ask()[1].decode()
    assert "Watching &lt;i&gt;ours &amp; theirs" in body and "<i>" not in body
    assert body == render("<i>ours & theirs") and "innerHTML" not in body and not re.search(r"\son\w+=", body)
    ids = Ids()
    ids.feed(body)
    wanted = set(re.findall(r"by\('([\w-]+)'\)", body))
    assert wanted <= set(ids.found) and len(ids.found) == len(set(ids.found))
    assert body.count("aria-live") == 1


class Ids(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for key, value in attrs if key == "id"]


def test_the_report_is_served_under_its_own_policy_and_nothing_else_is(page: Page) -> None:
    assert page.ask(REPORT)[0] == 404
    html = document("Report", ["<p>x</p>"], scripts=["let a = 1;"])
    for name in (REPORT, DIFFICULTY_PAGE, page_of("texts")):
        Path(name).write_text(html)
        status, body, headers = page.ask(name)
        assert (status, body.decode()) == (200, html)
        (own,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
        assert headers["Content-Security-Policy"] == f"{own}; {local_server.FRAMED}"
    foreign = '<script>alert(1)</script><meta http-equiv="Content-Security-Policy" content="default-src *">'
    for meta in ("default-src *", f"{pages.POLICY}; script-src 'unsafe-inline'", "x\r\nSet-Cookie: a=b"):
        Path(REPORT).write_text(foreign.replace("default-src *", meta))
        headers = page.ask(REPORT)[2]
        assert (
            headers["Content-Security-Policy"] == f"{pages.POLICY}; {local_server.FRAMED}"
            and "Set-Cookie" not in headers
        )
    for name in (
        *SECRETS,
        f"report/../{SECRETS[0]}",
        "report/",
        "report",
        "../params.yaml",
        "/etc/passwd",
        "report/%69ndex.html",
    ):
        status, body, _ = page.ask(name)
        assert status == 404 and b"secret" not in body, name


def test_a_report_that_is_asked_for_while_dvc_yaml_is_broken_is_not_to_be_had_now(
    page: Page, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(REPORT).write_text(document("Report", ["<p>x</p>"]))
    sound = Path("dvc.yaml").read_bytes()
    for broken in (b"", b"stages: {a: ["):
        Path("dvc.yaml").write_bytes(broken)
        status, body, headers = page.ask(REPORT)
        assert status == 503 and b"dvc.yaml: " in body and headers["Content-Type"] == "text/plain; charset=utf-8"
    Path("dvc.yaml").write_bytes(sound)
    assert page.ask(REPORT)[0] == 200 and capfd.readouterr().err == ""


def test_requests_that_never_end_keep_nobody_waiting_for_long(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_server, "SECONDS", 1.0)
    slow = [socket.create_connection((page.host, page.port), 30) for _ in range(local_server.MOST_CONNECTIONS)]
    begun = time.monotonic()
    while slow and time.monotonic() < begun + 8:  # a byte now and then, so that none is idle
        for connection in slow.copy():
            try:
                connection.sendall(b"x")
            except OSError:
                connection.close()
                slow.remove(connection)
        time.sleep(0.2)
    assert not slow
    assert page.ask("state")[0] == 200


def test_a_browser_that_leaves_and_a_line_without_end_are_no_trouble(
    page: Page, capfd: pytest.CaptureFixture[str]
) -> None:
    for _ in range(20):
        with socket.create_connection((page.host, page.port)) as connection:
            connection.sendall(f"GET {page.path}state HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
    assert b" 414 " in raw(page, "GET /" + "x" * 70_000)
    assert page.state()["stages"]
    assert capfd.readouterr().err == ""


def test_many_who_ask_at_once_are_told_one_state(page: Page) -> None:
    found: list[float] = []
    threads = [threading.Thread(target=lambda: found.append(page.state()["at"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) <= 3


def test_ctrl_c_ends_a_server_that_has_just_begun_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    server = WatchServer(Watcher())
    answered = threading.Event()
    monkeypatch.setattr(local_server.LocalServer, "finish_request", lambda *_: answered.set())
    begin = ThreadingHTTPServer.process_request

    def interrupted(self: local_server.LocalServer, request: socket.socket, address: object) -> None:
        begin(self, request, address)
        assert answered.wait(60)
        deadline = time.monotonic() + 60
        while self.free._value < local_server.MOST_CONNECTIONS:  # type: ignore[attr-defined]  # its place is given back
            assert time.monotonic() < deadline
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "process_request", interrupted)
    client = socket.create_connection((local_server.ADDRESS, server.server_port))
    with server, client, pytest.raises(KeyboardInterrupt):
        server.handle_request()
