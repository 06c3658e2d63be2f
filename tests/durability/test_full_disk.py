"""The disk runs full at any operation: one line, exit code 1, what was said to be kept is kept, and work goes on."""

from pathlib import Path

import pytest

from tests.durability.disk import Disk
from tests.durability.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_at_every_operation(name: str, memory: Path) -> None:
    script, many, look = SCENARIOS[name]
    ends = list(Disk(memory).fill(script, many))
    assert len(ends) > many
    for number, end in enumerate(ends, 1):
        told = f"operation {number} of {len(ends)}: {end.said}"
        *progress, last = end.said.splitlines()
        assert (end.code, last[:7]) == (1, "error: "), told
        assert all(line.startswith("test: ") and "took" in line for line in progress), told
        assert not list(end.folder.rglob("*.tmp")), told
        look(end.folder, end.acknowledged)
