"""The disk runs full at any operation, or a quota at some: one line that says which, exit code 1, what was said to be
kept is kept, and work goes on."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.durability.disk import Disk
from tests.durability.scenarios import SCENARIOS

DISK = (1, {}, "no space left on the disk")
QUOTA = (5, {"DISK_QUOTA": "1"}, "disk quota used up")
"""The line is what differs."""


@pytest.mark.parametrize(("step", "variables", "why"), [DISK, QUOTA], ids=["disk", "quota"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_at_every_operation(name: str, step: int, variables: Mapping[str, str], why: str, memory: Path) -> None:
    script, many, look = SCENARIOS[name]
    ends = list(Disk(memory).fill(script, many, step, **variables))
    assert len(ends) * step > many
    for number, end in enumerate(ends, 1):
        told = f"operation {number * step} of {len(ends) * step}: {end.said}"
        *progress, last = end.said.splitlines()
        assert (end.code, last[:7]) == (1, "error: "), told
        assert why in last, told
        assert all(line.startswith("test: ") and "took" in line for line in progress), told
        assert not list(end.folder.rglob("*.tmp")), told
        look(end.folder, end.acknowledged)
