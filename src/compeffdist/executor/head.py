"""A Ray cluster of this machine alone, as long as whoever started it holds this process's standard input open.

    python -m compeffdist.executor.head CPUS

If the process that started Ray is killed, Ray's own processes live on for up to a minute, and what these started for
longer. So they are started below this one, in a session of its own: whatever is orphaned there becomes its child. When
its standard input ends, it kills its children until there are none, and removes Ray's folder. Linux only.
"""

import ctypes
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from compeffdist.environment import quiet
from compeffdist.errors import one_line

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
STORE_BYTES = 256 << 20
"""Memory for what is on its way between processes; what scoring hands over takes a few MiB."""
LONGEST_FOLDER = 18
"""Characters of a folder for temporary files: Ray's sockets are there, whose paths have 107 at most, 89 its own."""


def main() -> None:
    """Start Ray, print where it is as JSON, and wait."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    quiet()
    place = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="compeffdist-ray-", dir=place if len(place) <= LONGEST_FOLDER else "/tmp"))
    os.environ["TMPDIR"] = str(folder)  # what others below leave behind goes with it
    threading.Thread(target=_end_after_input, args=(folder,), daemon=True).start()
    # Ray's processes must have none of our pipe to whoever reads the address
    told = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
    try:
        import ray

        ray.init(
            address="local",
            num_cpus=int(sys.argv[1]),
            object_store_memory=STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            _temp_dir=str(folder),
        )
        said = {"address": ray.get_runtime_context().gcs_address}
    except Exception as error:
        said = {"failed": one_line(error, 300)}
    with suppress(BrokenPipeError):
        print(json.dumps(said), file=told, flush=True)
    threading.Event().wait()


def _end_after_input(folder: Path) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    while _kill_children():
        time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _kill_children() -> bool:
    """Kill all children; whether there were any."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                # behind the name in brackets, which may hold anything: state, parent
                if int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]) == os.getpid():
                    os.kill(int(entry.name), signal.SIGKILL)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
