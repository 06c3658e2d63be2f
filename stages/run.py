"""Runs one stage of dvc.yaml: `python stages/run.py generate_tasks`.

A stage is `run(given) -> Made` in the module of its name; the gates, stages `check_*`, share the module `check`.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ENVIRONMENT = Path(".venv/bin/python")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("error: usage: python stages/run.py STAGE, a stage of dvc.yaml")
    name = sys.argv[1]
    if find_spec("compeffdist") is None:
        _run_in_environment()
    from compeffdist.instructions.own_tasks import check_questions
    from compeffdist.running import run_stage

    run_stage(name, lambda: import_module("check" if name.startswith("check_") else name), check_questions)


def _run_in_environment() -> None:
    """Start again in the checkout's own environment: `dvc` may be run from a shell that has not activated it."""
    if not ENVIRONMENT.exists() or Path(sys.prefix).resolve() == ENVIRONMENT.parents[1].resolve():
        sys.exit("error: the package compeffdist is not installed here; set up the environment with: make setup")
    os.execv(ENVIRONMENT, [str(ENVIRONMENT), *sys.argv])


if __name__ == "__main__":
    main()
