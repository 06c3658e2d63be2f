"""How a command ends: in one line, whatever the machine does to it."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from compeffdist.errors import run_guarded


def raising(error: BaseException) -> Callable[[], None]:
    def behaviour() -> None:
        raise error

    return behaviour


class OtherLibraryError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.parquet"), "no space left on the disk while writing a.pa"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a"), "disk quota used up while writing a: free some, or have"),
        (OSError(errno.EFBIG, "File too large"), "a larger file than may be written here (ulimit -f) while writing a"),
        (OtherLibraryError("I/O error: Disk quota exceeded (os error 122)"), "disk quota used up while writing a file"),
        (OtherLibraryError("I/O error: No space left on device (os error 28)"), "no space left on the disk"),
        (OtherLibraryError("database or disk is full"), "no space left on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "models"), "models: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system", "data/texts.parquet"), "data/texts.parquet: Read-only file"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "data"), "data: Is a directory"),
        (MemoryError(), "out of memory"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_fault_of_the_machine_is_one_line(
    error: BaseException, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run_guarded(raising(error))
    message = capsys.readouterr().err
    assert stop.value.code == 1
    assert message.startswith(f"error: {line}")
    assert message.count("\n") == 1


def test_a_fault_of_the_machine_under_another_error_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    def behaviour() -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "x")
        except OSError as error:
            raise RuntimeError("saving failed") from error

    with pytest.raises(SystemExit):
        run_guarded(behaviour)
    assert capsys.readouterr().err == "error: no space left on the disk while writing x: free some and run again\n"


@pytest.mark.parametrize("error", [ValueError("a defect"), FileNotFoundError(errno.ENOENT, "No such file", "x")])
def test_a_defect_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_guarded(raising(error))


def test_a_home_in_which_nothing_can_be_kept_is_no_word_to_people() -> None:
    code = (
        "from compeffdist.errors import run_guarded\ndef run():\n    import matplotlib.font_manager\nrun_guarded(run)\n"
    )
    kept = {name: value for name, value in os.environ.items() if name not in ("MPLCONFIGDIR", "XDG_CONFIG_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=kept | {"HOME": "/sys"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_key_log_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    """Libraries open it as they are imported, so only a new process shows it."""
    code = "from compeffdist.errors import run_guarded\ndef run():\n    import openai; print('ran')\nrun_guarded(run)\n"
    for place, warned in ((tmp_path / "keys", 0), (tmp_path / "missing" / "keys", 1)):
        environment = {**os.environ, "SSLKEYLOGFILE": str(place)}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
        assert (
            done.stderr.count("\n") == done.stderr.count("warning: SSLKEYLOGFILE is left out: No such file") == warned
        )
