"""The one exception a user may cause, and how it reaches them: a single line, a non-zero exit, no traceback."""

import errno
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from compeffdist.connections import chain, connection_reason, lost_connection, lost_server
from compeffdist.credentials import without_credentials
from compeffdist.environment import quiet

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
NOT_OURS_TO_MEND = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE),
    *(errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
}
"""What the machine or a path in params may cause wherever a file is opened. A file that is not there is no such case:
whoever reads one says which stage writes it."""
_FULL_MESSAGE = re.compile(r"no space left on device|os error (28|27|122)\b|disk is full|file too large", re.IGNORECASE)
"""How libraries that are not Python tell of a full disk: safetensors, SQLite, Arrow."""


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
        if not (told := _told_by_the_machine(error)):
            raise
        fail(told)


def _told_by_the_machine(error: BaseException) -> str:
    """One line on a fault that lies with the machine or a path; empty if `error` is none."""
    for found in chain(error):
        number = found.errno if isinstance(found, OSError) else None
        if number in FULL or _FULL_MESSAGE.search(str(found)):
            where = getattr(found, "filename", None) or "a file"
            return f"no space left on the disk while writing {where}: free some and run again"
        if number in NOT_OURS_TO_MEND:
            return f"{getattr(found, 'filename', None) or 'a file'}: {os.strerror(number or 0)}"
    if lost_connection(error):
        why = connection_reason(error)
        return f"{lost_server(error)}: cannot be reached any more ({why}); see that it runs, and run again"
    return "out of memory: free some, or lower runtime.token_budget" if isinstance(error, MemoryError) else ""
