"""The environment that commands and stages set themselves."""

import os
import subprocess
import sys

import pytest

from compeffdist.environment import FEW_SPINS, SPINS, WAITING

UNSET = {name: value for name, value in os.environ.items() if name not in (SPINS, WAITING)}


@pytest.mark.parametrize(
    ("said", "spins"),
    [
        ({}, FEW_SPINS),
        ({SPINS: "7"}, "7"),
        ({WAITING: "active"}, "30000000000"),  # as OpenMP has it
    ],
)
def test_threads_wait_asleep_where_nobody_says_otherwise(said: dict[str, str], spins: str) -> None:
    code = "from compeffdist.environment import quiet; quiet(); import torch"
    shown = {**UNSET, **said, "OMP_DISPLAY_ENV": "verbose"}
    done = subprocess.run([sys.executable, "-c", code], env=shown, capture_output=True, text=True, check=True)
    told = [line.split("=")[1].strip(" '") for line in done.stderr.splitlines() if SPINS in line]
    assert told and set(told) == {spins}
