"""Bytecode where Python keeps it, held against the source beside it.

Reading bytecode can crash an interpreter, and whoever plants some may want that. So it is read in a process of its own,
this file run as a script, and what ends that process counts as planted.
"""

import marshal
import subprocess
import sys
from pathlib import Path

SECONDS = 60.0


def planted_bytecode(folder: Path) -> list[str]:
    """Paths in a folder of what lies where Python keeps bytecode, and would be run in place of the source beside it
    without being what Python makes of that."""
    caches = (path for path in folder.rglob("__pycache__") if path.is_dir())
    kept = sorted(path for cache in caches for path in cache.iterdir())
    return [path.relative_to(folder).as_posix() for path in _unlike(kept)]


def source_of(bytecode: str | Path) -> str:
    """The path of the source that bytecode lies beside."""
    return (Path(bytecode).parents[1] / f"{Path(bytecode).name.partition('.')[0]}.py").as_posix()


def _unlike(kept: list[Path]) -> list[Path]:
    """Those that are not of their source; where the process that looks at them dies, one by one."""
    if not kept:
        return []
    command = [sys.executable, "-I", __file__, *map(str, kept)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return kept if len(kept) == 1 else [path for one in kept for path in _unlike([one])]
    return [kept[int(number)] for number in done.stdout.split()]


def _is_of_its_source(bytecode: Path) -> bool:
    kind = bytecode.name.partition(".")[2]
    tag = sys.implementation.cache_tag
    levels = {f"{tag}.pyc": 0, f"{tag}.opt-1.pyc": 1, f"{tag}.opt-2.pyc": 2}
    try:
        code = marshal.loads(bytecode.read_bytes()[16:])  # after magic number, flags, and time and size of the source
        expected = compile(
            Path(source_of(bytecode)).read_bytes(), code.co_filename, "exec", dont_inherit=True, optimize=levels[kind]
        )
    except (OSError, KeyError, EOFError, TypeError, ValueError, AttributeError, SyntaxError):
        return False
    # in format 2, in which it does not matter who else holds a constant
    return marshal.dumps(code, 2) == marshal.dumps(expected, 2)


if __name__ == "__main__":
    print(*(number for number, path in enumerate(sys.argv[1:]) if not _is_of_its_source(Path(path))))
