"""How this machine reaches others: proxies, certificates and keys as the environment names them, and why it fails.

HTTP libraries read these variables deep inside, and what a wrong one makes of them is a traceback, or no more than
"connection error". So they are looked at before, and the line names the variable. Secrets never show: a proxy's address
is not printed, nor a key.

Requests to this machine's own addresses go past every proxy (`environment.bypass_proxies`; clients that take no notice
of NO_PROXY ask `is_loopback`).
"""

import importlib.util
import ipaddress
import os
import re
import socket
import ssl
import unicodedata
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from compeffdist.credentials import KEY_VARIABLE, public_address
from compeffdist.environment import LOOPBACK_NAMES, PROXIES
from compeffdist.errors import UserError, one_line

HOSTS = Path("/etc/hosts")
_MOST_OF_HOSTS = 1 << 20
_PROXY_SCHEMES = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"}


@dataclass(frozen=True)
class HttpLibrary:
    """What an HTTP library reads of the environment."""

    certificates: tuple[str, ...]
    """Variables that name trusted certificates; the first that is set counts."""
    socks: str
    """The module it needs for a SOCKS proxy."""
    package: str
    """The package that has it."""


HTTPX = HttpLibrary(("SSL_CERT_FILE", "SSL_CERT_DIR"), "socksio", "socksio")
"""Behind the openai client and the Hugging Face hub's."""
REQUESTS = HttpLibrary(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), "socks", "PySocks")
"""Behind MLflow's client and pip."""


# ---------------------------------------------------------------- addresses


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, told without asking a name server, which may hang.

    It is by a loopback address in every spelling, or that of no host in particular, which servers print as theirs
    (0.0.0.0); by a name that systems give these; by its own host name; or by a name that /etc/hosts gives one.
    """
    name = unicodedata.normalize("NFKC", host).strip("[]").partition("%")[0].rstrip(".").lower()
    if (address := _ip_address(name)) is not None:
        return address.is_loopback or address.is_unspecified
    return name in LOOPBACK_NAMES or name.endswith(".localhost") or bool(name and name in _own_names())


def _ip_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is written as; none if it is a name."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        if not re.fullmatch(r"[0-9a-fx.]+", name) or not name[:1].isdigit():
            return None
        try:
            return ipaddress.ip_address(socket.inet_aton(name))  # 127.1 and the like
        except OSError:
            return None
    return getattr(address, "ipv4_mapped", None) or address


def _own_names() -> set[str]:
    """What this machine calls itself, and what its table of hosts calls its loopback addresses."""
    own = socket.gethostname().lower().rstrip(".")
    names = {own, own.partition(".")[0], f"{own.partition('.')[0]}.local"} if own else set()
    try:
        with HOSTS.open("rb") as stream:
            table = stream.read(_MOST_OF_HOSTS).decode("utf-8", "replace")
    except OSError:
        return names
    for line in table.splitlines():
        place, *named = line.partition("#")[0].split() or [""]
        if (address := _ip_address(place.partition("%")[0])) is not None and address.is_loopback:
            names |= {name.lower().rstrip(".") for name in named}
    return names


def host_of(url: str) -> str:
    """The host of an address; empty if it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


# ---------------------------------------------------------------- the environment


def address_hint(url: str) -> str:
    """The end of a message about an address that is none: what is wrong with it, where that is known."""
    place = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]
    if place.count(":") > 1 and re.fullmatch(r"[0-9a-fA-F:.]+(%\w+)?(:\d+)?", place):
        return " (an IPv6 address stands in brackets: http://[::1]:8000)"
    return ""


def check_environment(url: str, library: HttpLibrary) -> None:
    """Raises UserError, naming the first variable, if what the environment says of proxies and certificates cannot be
    used for `url`."""
    if faults := environment_faults(url, library):
        raise UserError(f"{faults[0]} (it is needed to reach {public_address(url)})")


def environment_faults(url: str, library: HttpLibrary) -> list[str]:
    """What is wrong with the variables that requests to `url` depend on, a line for each."""
    direct, encrypted = is_loopback(host_of(url)), urlsplit(url).scheme == "https"
    proxies = [] if direct else [_proxy_fault(name, value, library) for name, value in _proxies()]
    # through a proxy, or after a redirect, an unencrypted address may lead to an encrypted one
    certificates = _certificate_faults(library.certificates) if encrypted or not direct else []
    return [fault for fault in (*proxies, *certificates) if fault]


def malformed(library: HttpLibrary) -> list[str]:
    """What no request could use, whether or not it is needed: for a warning. A SOCKS proxy is not malformed."""
    proxies = [_proxy_fault(name, value, None) for name, value in _proxies()]
    return [fault for fault in (*proxies, *_certificate_faults(library.certificates)) if fault]


def environment_hint(url: str, library: HttpLibrary, keys: Sequence[str] = ()) -> str:
    """The end of a message about a request to `url` that failed: "; VARIABLE: what is wrong", or nothing.

    Args:
        keys: variables that hold secrets which were sent.
    """
    held = {name: header_fault(os.environ.get(name, "").strip()) for name in keys}
    faults = [*environment_faults(url, library), *(f"{name}: {fault}" for name, fault in held.items() if fault)]
    return "".join(f"; {fault}" for fault in faults[:1])


def proxy_variable(url: str) -> str:
    """The variable whose proxy requests to `url` go through; empty if they go there directly."""
    parts = urlsplit(url)
    if is_loopback(parts.hostname or "") or urllib.request.proxy_bypass(parts.hostname or ""):
        return ""
    wanted = {f"{parts.scheme}_proxy", "all_proxy"}
    return next((name for name, _ in _proxies() if name.lower() in wanted), "")


def key_variable(server: str, url: str = "") -> str:
    """The variable that holds the key of a server: COMPEFFDIST_API_KEY_WORD, in capitals and with _ for whatever is no
    letter or digit. WORD is host and port of its address or, where that is not set, the user's word for it; where
    neither is set it is COMPEFFDIST_API_KEY."""
    for name in (urlsplit(url).netloc.rpartition("@")[2], server):
        word = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
        if word and f"{KEY_VARIABLE}_{word}" in os.environ:
            return f"{KEY_VARIABLE}_{word}"
    return KEY_VARIABLE


def check_key(variable: str) -> str:
    """The key that a variable holds, empty if it is not set. Raises UserError if it cannot be sent as it is. The
    message has nothing of it but a character that no key has."""
    key = os.environ.get(variable, "")
    if fault := header_fault(key):
        raise UserError(f"{variable}: the key {fault}; set it anew, without quotes and line ends")
    return key


def header_fault(value: str) -> str:
    """Why a secret cannot stand in a header of a request; empty if it can."""
    odd = next((character for character in value if not "!" <= character <= "~"), "")
    if not odd:
        return ""
    if odd in "\r\n":
        return "has a line end in it" if set(value.rstrip("\r\n")) & set("\r\n") else "ends in a line end"
    if odd.isspace():
        return "has white space in it"
    named = unicodedata.name(odd, f"U+{ord(odd):04X}").lower()
    return f"has a character in it that no key has ({named})"


def _proxies() -> list[tuple[str, str]]:
    """Variables that name a proxy, and what they say; in lower case a variable counts for more."""
    names = (lower if os.environ.get(lower) else lower.upper() for lower in PROXIES)
    return [(name, value) for name in names if (value := os.environ.get(name))]


def _proxy_fault(name: str, value: str, library: HttpLibrary | None) -> str:
    if header_fault(value):
        return f"{name}: its address {header_fault(value)}"
    address = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port == 0:
        return f"{name}: not the address of a proxy, such as http://HOST:PORT (a password is to be percent-encoded)"
    if parts.scheme.lower() not in _PROXY_SCHEMES:
        return f"{name}: a proxy of kind {one_line(parts.scheme, 20)!r}, which is not known; use http:// or socks5://"
    if library and parts.scheme.lower().startswith("socks") and not importlib.util.find_spec(library.socks):
        return f"{name}: a SOCKS proxy, for which a package is missing: pip install {library.package}, or unset it"
    return ""


def _certificate_faults(variables: Sequence[str]) -> list[str]:
    named = [name for name in variables if os.environ.get(name)]
    return [certificate_fault(name, os.environ[name]) for name in named[:1]]


def certificate_fault(variable: str, value: str) -> str:
    """Why the trusted certificates that a variable names cannot be used; empty if they can."""
    said = f"{one_line(value, 200)!r}"
    try:
        if variable.endswith("_DIR"):
            folders = [Path(folder) for folder in value.split(os.pathsep) if folder]
            return "" if any(folder.is_dir() for folder in folders) else f"{variable}: no such folder: {said}"
        path = Path(value)
        if not path.exists():
            return f"{variable}: no such file: {said}"
        if path.is_dir():
            return f"{variable}: a folder, not a file of certificates: {said}" if variable == "SSL_CERT_FILE" else ""
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError:
        return f"{variable}: holds no certificates: {said}"
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "not a path"
        return f"{variable}: {why}: {said}"
    return ""
