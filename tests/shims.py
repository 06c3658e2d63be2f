"""What stands between a program and the system (LD_PRELOAD): a disk that is watched (`durability`), a wrong clock."""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

CLOCK = Path(__file__).with_name("clock.c")


def compiled(source: Path, folder: Path) -> Path:
    """A shim as a library in a folder. Fails where there is no C compiler, which the README asks for."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "no C compiler (cc or gcc)"
    library = folder / f"{source.stem}.so"
    made = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(source)]
    subprocess.run([*made, "-ldl"], check=True)
    return library


def clock_set_back(seconds: int, folder: Path) -> Mapping[str, str]:
    """The environment of a process whose clock is so much behind; `folder`: where the shim may lie."""
    return {"LD_PRELOAD": str(compiled(CLOCK, folder)), "CLOCK_BEHIND": str(seconds)}
