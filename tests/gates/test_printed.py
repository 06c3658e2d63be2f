"""What docs/gates.md shows of a gate that stops is what it prints."""

from collections.abc import Callable

import pytest

from tests.docs_site.printed import hold
from tests.gates import world as plant
from tests.gates.conftest import Check

FAULTS: dict[str, Callable[[], None]] = {
    "one-perspective": lambda: plant.make_clusters(sizes=[16]),
    "lost-triplet": lambda: plant.edit("data/triplets.parquet", lambda rows: rows[1:]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_gate_that_stops(check: Check, fault: str) -> None:
    FAULTS[fault]()

    def run(command: str) -> str:
        program, runner, stage = command.split()
        assert (program, runner) == ("python", "stages/run.py")
        return check(stage.removeprefix("check_")).err

    hold("gates.md", fault, run)
