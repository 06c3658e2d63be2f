"""What the environment says of the network: a line that names the variable, and nothing of what is secret in it."""

import os
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.environment import THIS_MACHINE, bypass_proxies
from compeffdist.errors import UserError, connection_reason
from compeffdist.network import (
    HTTPX,
    REQUESTS,
    address_hint,
    check_environment,
    check_key,
    environment_faults,
    is_loopback,
    malformed,
    proxy_variable,
)

OUTSIDE = "https://api.example.com/v1"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in (*HTTPX.certificates, *REQUESTS.certificates):
            monkeypatch.delenv(name)


@given(st.ip_addresses(network="127.0.0.0/8"))
def test_every_address_of_the_loopback_network_is_this_machine(address: object) -> None:
    assert is_loopback(str(address))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "::1",
        "[::1]",
        "0:0:0:0:0:0:0:1",
        "::ffff:127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "::ffff:7f00:1",
        "::1%lo",
        "localhost.localdomain",
        "localhost4",
        "LocalHost6",
        "localhost6.localdomain6",
        "ip6-localhost",
        "ip6-loopback",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
        "2130706433",
        "0.0.0.0",
        "::",
    ],
)
def test_this_machine_in_every_spelling(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "10.0.0.1",
        "128.0.0.1",
        "2001:db8::1",
        "localhost.example.com",
        "mylocalhost",
        "127.0.0.1.nip.io",
        "api.com",
        "0xdeadbeef.com",
        "12.example",
        "fe80::1",
    ],
)
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)


def test_this_machine_by_its_own_names_and_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a name server was asked")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getfqdn"):
        monkeypatch.setattr(socket, name, refuse)
    assert is_loopback(socket.gethostname()) and is_loopback(f"{socket.gethostname()}.".upper())
    monkeypatch.setattr(socket, "gethostname", lambda: "Desk.example.org")
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"127.0.1.1\tdesk.lab.org desk # so named\n::1 six\n10.0.0.7 server\n0.0.0.0 blocked\n\xff x\n\n")
    monkeypatch.setattr("compeffdist.network.HOSTS", hosts)
    for mine in ("desk", "DESK", "desk.example.org", "desk.local", "desk.lab.org", "six"):
        assert is_loopback(mine)
        assert proxy_variable(f"http://{mine}:1") == ""
    for other in ("server", "blocked", "x", "esk", "example.org", "so", ""):
        assert not is_loopback(other)
    hosts.unlink()
    assert is_loopback("desk") and not is_loopback("six")


@pytest.mark.parametrize("url", ["http://::1:8000/v1", "http://::1/v1", "http://fe80::1%eth0:80", "http://me:pw@::1:1"])
def test_an_ipv6_address_without_brackets_is_told_as_one(url: str) -> None:
    assert "an IPv6 address stands in brackets: http://[::1]:8000" in address_hint(url)
    for fine in ("http://[::1]:8000/v1", "http://me:pw@host:1", "host:5000", "http://h:99999/v1", "http://me:p:w@h"):
        assert address_hint(fine) == ""


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY"])
@pytest.mark.parametrize(
    "value",
    [
        "http://proxy:port",
        "http://",
        "http://:3128",
        "foo://proxy:1",
        "http://me:pa/ss@proxy:3128",
        "http://proxy:99999",
        "http://proxy:3128\n",
        "http://pro xy:1",
        "“http://proxy:3128”",
        "http://[::1:3128",
        "http://proxy:0",
    ],
)
def test_a_proxy_that_is_none_is_named_by_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=rf"^{name}: .*needed to reach https://api.example.com/v1") as caught:
        check_environment(OUTSIDE, HTTPX)
    assert "pa/ss" not in str(caught.value)
    assert len(malformed(HTTPX)) == 1


@pytest.mark.parametrize(
    "value", ["http://proxy:3128", "proxy:3128", "http://me:p%2Fw@proxy:3128/", "https://proxy", ""]
)
def test_a_proxy_that_can_be_used_is_no_fault(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    assert environment_faults(OUTSIDE, HTTPX) == []


@pytest.mark.parametrize(("library", "package"), [(HTTPX, "socksio"), (REQUESTS, "PySocks")])
def test_a_socks_proxy_without_its_package_says_which(
    library: object, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "socks5h://127.0.0.1:1080")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"^all_proxy: a SOCKS proxy.*pip install {package}"):
        check_environment(OUTSIDE, library)  # type: ignore[arg-type]
    assert malformed(HTTPX) == []  # nothing is wrong with it


def test_what_this_machine_does_not_need_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    assert environment_faults("http://127.0.0.1:8000/v1", HTTPX) == []
    assert [fault.partition(":")[0] for fault in environment_faults("https://[::1]:8000/v1", HTTPX)] == [
        "SSL_CERT_FILE"
    ]


def certificate_variables(library: object) -> list[str]:
    return list(library.certificates)  # type: ignore[attr-defined]


@pytest.mark.parametrize("library", [HTTPX, REQUESTS])
def test_certificates_that_are_not_there_are_named(
    library: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in certificate_variables(library):
        with monkeypatch.context() as patch:
            patch.setenv(name, f"{tmp_path}/missing.pem")
            with pytest.raises(UserError, match=rf"^{name}: no such (file|folder): '{tmp_path}/missing.pem'"):
                check_environment(OUTSIDE, library)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_file_without_certificates_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv(name, f"{tmp_path}/ca.pem")
    library = HTTPX if name.startswith("SSL") else REQUESTS
    assert environment_faults(OUTSIDE, library) == [f"{name}: holds no certificates: '{tmp_path}/ca.pem'"]


def test_certificates_that_are_there_are_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = ssl.get_default_verify_paths()
    monkeypatch.setenv("SSL_CERT_FILE", paths.cafile or "")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")  # the file counts for more
    assert not paths.cafile or environment_faults(OUTSIDE, HTTPX) == []


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        ("sk-secret\n", "ends in a line end"),
        ("sk-secret\r\n", "ends in a line end"),
        ("sk-se\ncret", "has a line end in it"),
        ("sk-se\ncret\n", "has a line end in it"),
        (" sk-secret", "has white space in it"),
        ("“sk-secret”", "left double quotation mark"),
        ("sk-secret\u200b", "zero width space"),
        ("sk-secret\x00"[:-1] + "\x07", r"u\+0007"),
    ],
    ids=ascii,
)
def test_a_key_that_cannot_be_sent_is_named_and_not_shown(
    key: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPEFFDIST_API_KEY", key)
    with pytest.raises(UserError, match=rf"(?i)^COMPEFFDIST_API_KEY: .*{fault}") as caught:
        check_key("COMPEFFDIST_API_KEY")
    assert "secret" not in str(caught.value)
    assert "se\ncret" not in str(caught.value)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40))
def test_every_key_of_printable_ascii_is_taken_as_it_is(key: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMPEFFDIST_API_KEY", key)
        assert check_key("COMPEFFDIST_API_KEY") == key


@pytest.mark.parametrize("before", ["", "internal.example", "localhost, internal.example"])
def test_this_machine_is_reached_past_the_proxy_and_other_exceptions_stay(
    before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", before)
    monkeypatch.setenv("no_proxy", before)
    bypass_proxies(*THIS_MACHINE)
    bypass_proxies(*THIS_MACHINE)
    exceptions = os.environ["NO_PROXY"].split(",")
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]
    assert len(exceptions) == len(set(exceptions))
    assert ("internal.example" in exceptions) == ("internal.example" in before)
    assert urllib.request.proxy_bypass("127.0.0.1")
    assert not urllib.request.proxy_bypass("example.com")
    assert proxy_variable("http://127.0.0.9:1") == ""
    assert proxy_variable("http://example.com:1") == "HTTP_PROXY"


@pytest.mark.parametrize("said", ["*", None])
def test_nothing_is_set_where_nothing_goes_through_a_proxy(said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if said:
        monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
        monkeypatch.setenv("NO_PROXY", said)
    bypass_proxies(*THIS_MACHINE)
    assert os.environ.get("NO_PROXY") == said


def test_why_a_connection_failed_is_found_under_other_errors() -> None:
    def chained(cause: Exception) -> Exception:
        try:
            try:
                raise cause
            except Exception as error:
                raise RuntimeError("Max retries exceeded") from error
        except RuntimeError as outer:
            return outer

    assert connection_reason(chained(ConnectionRefusedError(111, "x"))) == "connection refused"
    assert connection_reason(chained(socket.gaierror(-2, "x"))) == "unknown host name"
    assert connection_reason(chained(TimeoutError())) == "no answer in time"
    assert connection_reason(TimeoutError()) == "no answer in time"
