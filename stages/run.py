"""Runs one stage of dvc.yaml: `python stages/run.py generate_tasks`.

A stage is `run(given) -> Made` in the module of its name; the gates, stages `check_*`, share the module `check`.
`--check` in place of a stage looks at params, domain, questions and keys alone. Each stage does so, too, but DVC starts
none before a stage whose dependency is missing, as a domain's file is whose name is misspelt. It also looks whether the
user's files have the fields that params name, which stages behind the one that reads them need not know.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ENVIRONMENT = Path(".venv/bin/python")
CHECK = "--check"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"error: usage: python stages/run.py STAGE, a stage of dvc.yaml, or {CHECK}")
    name = sys.argv[1]
    if find_spec("compeffdist") is None:
        _run_in_environment()
    from compeffdist.errors import run_guarded
    from compeffdist.instructions.own_tasks import check_questions
    from compeffdist.params import Params, load_params
    from compeffdist.registry.signing import expect_signer
    from compeffdist.running import check_folder, run_stage

    def check(params: Params) -> None:
        check_questions(params)
        expect_signer(params.signing)

    def check_alone() -> None:
        from compeffdist.evaluation.named_fields import check_named_fields

        check_folder()
        params = load_params()
        check(params)
        check_named_fields(params)

    if name == CHECK:
        run_guarded(check_alone)
    else:
        run_stage(name, lambda: import_module("check" if name.startswith("check_") else name), check)


def _run_in_environment() -> None:
    """Start again in the checkout's own environment: `dvc` may be run from a shell that has not activated it."""
    if not ENVIRONMENT.exists() or Path(sys.prefix).resolve() == ENVIRONMENT.parents[1].resolve():
        sys.exit("error: the package compeffdist is not installed here; set up the environment with: make setup")
    os.execv(ENVIRONMENT, [str(ENVIRONMENT), *sys.argv])


if __name__ == "__main__":
    main()
