"""Why a connection failed, read from the error of whatever HTTP library and what lies under it.

Libraries wrap it into errors of their own, and say "connection error" or half a page. Which library it was is told by
names: none is imported for it.
"""

import re
import socket
import ssl
from collections.abc import Iterator

from compeffdist.credentials import without_credentials

_LOST = {("requests.exceptions", name) for name in ("ConnectionError", "Timeout", "RetryError")}
"""How MLflow's client tells that a server is not there, or never answers."""
_ADDRESS = re.compile(r"https?://[^\s/'\"?]+")
_LONGEST = 200


def lost_connection(error: BaseException) -> bool:
    """Whether an error comes of a server that could not be asked: nothing follows from its not answering."""
    kinds = {(kind.__module__, kind.__name__) for found in chain(error) for kind in type(found).__mro__}
    return bool(kinds & _LOST)


def lost_server(error: BaseException) -> str:
    """The address of the server that could not be asked, as far as its error names it."""
    named = _ADDRESS.search(without_credentials(str(error)))
    return named[0] if named else "a server"


def connection_reason(error: BaseException) -> str:
    """Why a connection failed, in a few words, from an error and what caused it."""
    said = ""
    for found in chain(error):
        if isinstance(found, ConnectionRefusedError):
            return "connection refused"
        if isinstance(found, socket.gaierror):
            return "unknown host name"
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {found.verify_message or found}"[:_LONGEST]
        if isinstance(found, ssl.SSLError):
            return f"no encrypted connection: {found.reason or found}"[:_LONGEST]
        if "Timeout" in type(found).__name__ or isinstance(found, TimeoutError):
            said = "no answer in time"
        elif str(found) and not said:
            said = " ".join(str(found).split())[:_LONGEST]
    return said or type(error).__name__


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, from the outside in."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
