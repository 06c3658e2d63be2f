"""Stages run as `dvc repro` runs them, but in this process and the working folder, so that a test can see inside."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from compeffdist.declaration import PIPELINE, gates, read_pipeline
from compeffdist.given import given_to
from compeffdist.params import load_params

ROOT = Path(__file__).parents[1]
GATES = tuple(gates(ROOT))


def run_stage(name: str) -> None:
    """Run a stage of dvc.yaml on the artefacts and params of the working folder; errors are raised."""
    if not PIPELINE.exists():
        PIPELINE.write_bytes((ROOT / PIPELINE).read_bytes())
    stage = read_pipeline(ROOT)[name]
    with patch.object(sys, "path", [str(ROOT / "stages"), *sys.path]):
        module = import_module("check" if stage.gate else name)
    given = given_to(stage, load_params())
    module.run(given).write(given)


def stage(name: str) -> Callable[[], None]:
    """A stage to be run later."""
    return lambda: run_stage(name)
