"""The one exception a user may cause, and how it reaches them: a single line, a non-zero exit, no traceback.

Libraries wrap a failed connection into errors of their own, and say "connection error" or half a page: what is under it
is told in a few words. Which library it was is told by names: none is imported for it.
"""

import errno
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from compeffdist.credentials import without_credentials
from compeffdist.environment import quiet

FULL = {
    errno.ENOSPC: ("no space left on the disk", "free some"),
    errno.EDQUOT: ("disk quota used up", "free some, or have it raised,"),
    errno.EFBIG: ("a larger file than may be written here (ulimit -f)", "have the limit raised"),
}
"""What is wrong, and what to do."""
NOT_OURS_TO_MEND = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE),
    *(errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
}
"""What the machine or a path in params may cause wherever a file is opened. A file that is not there is no such case:
whoever reads one says which stage writes it."""
_FULL_MESSAGES = {
    errno.ENOSPC: re.compile(r"no space left on device|os error 28\b|disk is full", re.IGNORECASE),
    errno.EDQUOT: re.compile(r"disk quota exceeded|os error 122\b", re.IGNORECASE),
    errno.EFBIG: re.compile(r"file too large|os error 27\b", re.IGNORECASE),
}
"""How libraries that are not Python tell of it: safetensors, SQLite, Arrow."""
_LOST = {("requests.exceptions", name) for name in ("ConnectionError", "Timeout", "RetryError")}
"""How MLflow's client tells that a server is not there, or never answers."""
_ADDRESS = re.compile(r"https?://[^\s/'\"?]+")
_LONGEST = 200


class UserError(Exception):
    """Bad input or an unusable environment. The message names the file, record or key, and what to do; credentials are
    masked in it."""

    def __init__(self, message: object) -> None:
        super().__init__(without_credentials(str(message)))


def one_line(message: object, limit: int = 600) -> str:
    """Fold `message` to one printable line of at most `limit` characters (texts in it are hostile input), credentials
    masked: the line goes to a terminal, a log or a ledger."""
    folded = " ".join(without_credentials(str(message)).split())
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in folded)
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"


def fail(message: object) -> NoReturn:
    """Print one line on stderr and leave with exit code 1."""
    print(f"error: {one_line(message)}", file=sys.stderr)
    raise SystemExit(1)


def run_guarded(behaviour: Callable[[], None]) -> None:
    """Run a command or stage privately (no telemetry); turn what a user or the machine can cause into one line.
    Anything else keeps its traceback: it is a defect."""
    quiet()
    try:
        behaviour()
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        print("interrupted: finished teacher answers are kept in the response store", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        if not (told := told_by_the_machine(error)):
            raise
        fail(told)


def told_by_the_machine(error: BaseException) -> str:
    """One line on a fault that lies with the machine or a path; empty if `error` is none."""
    for found in chain(error):
        number = found.errno if isinstance(found, OSError) else None
        if full := next((n for n, said in _FULL_MESSAGES.items() if number == n or said.search(str(found))), None):
            (what, remedy), where = FULL[full], getattr(found, "filename", None) or "a file"
            return f"{what} while writing {where}: {remedy} and run again"
        if number in NOT_OURS_TO_MEND:
            return f"{getattr(found, 'filename', None) or 'a file'}: {os.strerror(number or 0)}"
    if lost_connection(error):
        why = connection_reason(error)
        return f"{lost_server(error)}: cannot be reached any more ({why}); see that it runs, and run again"
    return "out of memory: free some, or lower runtime.token_budget" if isinstance(error, MemoryError) else ""


# ---------------------------------------------------------------- connections


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
