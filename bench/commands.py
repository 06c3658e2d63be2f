"""What commands take on a finished run, in the folder that holds it.

    python bench/commands.py [--times 3] [--row ID] [COMMAND ...]

Each of `--help`, `results`, `spend`, `history`, `plan`, `trace`, `audit`, `predict` (or those named), a few times,
in turns with `python -c "import torch, transformers"`. Printed of each is the median of its seconds of processor and of
wall, and how many times the processor's of that import it is, which says more than seconds where other processes run.
A command that ends with 1, as `audit` does on what it finds, is measured like others.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time

BASELINE = ("-c", "import torch, transformers")
TEXT = "The battery lasts two days."
COMMANDS = {
    "--help": ("--help",),
    "results": ("results",),
    "spend": ("spend",),
    "history": ("history",),
    "plan": ("plan",),
    "trace": ("trace",),
    "audit": ("audit",),
    "predict": ("predict", "--text", TEXT),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", default=list(COMMANDS), metavar="COMMAND", help="default: all")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--row", default="models:/compeffdist-student@candidate", help="what is traced")
    arguments = parser.parse_args()
    if strange := [name for name in arguments.commands if name not in COMMANDS]:
        parser.error(f"{strange[0]}: none of {', '.join(COMMANDS)}")
    print(f"{'':10} {'processor':>9} {'wall':>7} {'ratio':>6}")
    for name in arguments.commands:
        command = COMMANDS[name] + ((arguments.row,) if name == "trace" else ())
        taken = [(seconds(*BASELINE), seconds("-m", "compeffdist.cli.main", *command)) for _ in range(arguments.times)]
        processor, wall = (statistics.median(of[place] for _, of in taken) for place in (0, 1))
        ratio = statistics.median(own[0] / imported[0] for imported, own in taken)
        print(f"{name:10} {processor:8.2f}s {wall:6.2f}s {ratio:6.2f}", flush=True)


def seconds(*arguments: str) -> tuple[float, float]:
    """(of processor, of wall) that Python takes with these arguments."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        sys.exit(f"{' '.join(arguments)}: {done.stderr.strip()[-300:]}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall


if __name__ == "__main__":
    main()
