"""The disk, or a quota, runs full at any operation: one line that says which, exit code 1, what was said to be kept is
kept, and work goes on."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.durability.disk import Disk
from tests.durability.scenarios import SCENARIOS

FULL = ({}, "no space left on the disk")
QUOTA = ({"DISK_QUOTA": "1"}, "quota")
FEWER = {"answers": 2}
"""Things kept under a quota, where what differs is the line alone."""


@pytest.mark.parametrize(("variables", "why"), [FULL, QUOTA], ids=["disk", "quota"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_at_every_operation(name: str, variables: Mapping[str, str], why: str, memory: Path) -> None:
    script, many, look = SCENARIOS[name]
    many = FEWER.get(name, many) if variables else many
    ends = list(Disk(memory).fill(script, many, **variables))
    assert len(ends) > many
    for number, end in enumerate(ends, 1):
        told = f"operation {number} of {len(ends)}: {end.said}"
        *progress, last = end.said.splitlines()
        assert (end.code, last[:7]) == (1, "error: "), told
        assert why in last, told
        assert all(line.startswith("test: ") and "took" in line for line in progress), told
        assert not list(end.folder.rglob("*.tmp")), told
        look(end.folder, end.acknowledged)
