"""How a server is reached: its address, with path and query, its key, and what of the environment goes with a request.

The key is in the header that the server wants it in; the openai client's own variables are sent to nobody.
"""

import os
import re
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from compeffdist.network import HTTPX, host_of, is_loopback
from compeffdist.teacher.wire import plainly

BEARER = "Authorization"
"""The header that holds a key behind the word Bearer; in others it stands as it is."""
_NO_KEY = "none"
_ASKED = "compeffdist.asked"
"""Mark of a request: the address it was meant for, before any redirect."""
_PORTS = {"http": 80, "https": 443}
_SECRET_LENGTH = 8
"""Of a value in an address; what is shorter is a version or a switch."""


def open_client(
    transport: Any,
    url: str,
    key: str,
    key_header: str,
    times: Any,
    retries: int,
    on_response: Callable[[Any], Awaitable[None]],
) -> Any:
    """An `openai.AsyncOpenAI` for a server. What stands behind `?` in its address goes with every request.

    Args:
        transport: the class of HTTP client that it sends with.
        times: `openai.Timeout`.
        on_response: called with each response before it is read.
    """
    import openai

    direct = is_loopback(host_of(url))
    address, _, query = url.partition("#")[0].partition("?")
    bearer = key_header.lower() == BEARER.lower()
    sender = transport(
        # a proxy set for the outside must not see requests to this machine
        trust_env=not direct,
        verify=_trusted(url) if direct else True,
        event_hooks={"request": [_without_placeholder, _at_home(key_header), plainly], "response": [on_response]},
    )
    with _without_openai_variables():
        return openai.AsyncOpenAI(
            base_url=address,
            default_query=dict(parse_qsl(query, keep_blank_values=True)),
            api_key=(key if bearer else "") or _NO_KEY,
            default_headers={key_header: key} if key and not bearer else {},
            timeout=times,
            max_retries=retries,
            http_client=sender,
        )


def quick_client(client: Any, times: Any) -> Any:
    """The same client with other time-outs and no second attempt, which reads no more of the environment."""
    with _without_openai_variables():
        return client.with_options(max_retries=0, timeout=times)


def secrets_of(url: str, key: str) -> list[str]:
    """What must not be repeated of what a server or library says: the key, and what an address holds. Longest first."""
    address = url.partition("://")[2]
    known = re.match(r"[^/?#@]*:", address)
    authority = (address if known else address.partition("?")[0]).rpartition("@")[0]
    password = authority.partition(":")[2]
    query = [value for _, value in parse_qsl(urlsplit(url).query) if len(value) >= _SECRET_LENGTH]
    held = {key, authority, password, unquote(password), *query}
    return sorted(filter(None, held), key=len, reverse=True)


async def _without_placeholder(request: Any) -> None:
    """Send no bearer token where there is none: the openai client insists on one."""
    if request.headers.get(BEARER) == f"Bearer {_NO_KEY}":
        del request.headers[BEARER]


def _at_home(key_header: str) -> Callable[[Any], Awaitable[None]]:
    """Of requests that a server has sent elsewhere, leave out the header of its key, as the HTTP client does of
    `Authorization`."""

    async def leave_out(request: Any) -> None:
        asked = request.extensions.setdefault(_ASKED, request.url)  # goes along from redirect to redirect
        if not _is_at(asked, request.url):
            request.headers.pop(key_header, None)

    return leave_out


def _is_at(asked: Any, url: Any) -> bool:
    """Whether an address is of the server that was asked, at most encrypted where it was not."""
    before, after = ((one.scheme, one.host, one.port or _PORTS.get(one.scheme)) for one in (asked, url))
    upgraded = before[1] == after[1] and (before[0], before[2], after[0], after[2]) == ("http", 80, "https", 443)
    return before == after or upgraded


def _trusted(url: str) -> Any:
    """The certificates that a server on this machine is held to, as the environment says."""
    if urlsplit(url).scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not needed, and so not read
    file, folder = (os.environ.get(name) for name in HTTPX.certificates)
    return ssl.create_default_context(cafile=file) if file else ssl.create_default_context(capath=folder or None)


@contextmanager
def _without_openai_variables() -> Iterator[None]:
    """The openai client sends what such variables say (organisation, headers) to whatever server it is given."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OPENAI_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
