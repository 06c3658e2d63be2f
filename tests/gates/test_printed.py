"""What docs/ show of a gate that stops or warns is what it prints."""

from collections.abc import Callable

import pytest
import yaml

from tests.docs_site.printed import hold
from tests.gates import world as plant
from tests.gates.conftest import Check
from tests.gates.test_sample import predict


def neutral_is_hard() -> None:
    plant.make_scores(lambda triplet, number: number * 0.1 + (0.8 if triplet.monitored == "neutral" else 0.0))
    plant.make_sample("hard")


FAULTS: dict[str, tuple[str, Callable[[], None]]] = {
    "one-perspective": ("gates.md", lambda: plant.make_clusters(sizes=[16])),
    "lost-triplet": ("gates.md", lambda: plant.edit("data/triplets.parquet", lambda rows: rows[1:])),
    "neutral-is-hard": ("gates.md", neutral_is_hard),
    "loose-perspectives": ("gates.md", lambda: plant.make_clusters(coherence=0.6)),
    "proxy-by-chance": ("scoring.md", lambda: predict({"chance": {"within_instruction": 0.2701}, "rows": 149})),
}
"""World -> the page that shows it, and the fault."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_gate_that_stops_or_warns(check: Check, fault: str) -> None:
    page, planted = FAULTS[fault]
    planted()

    def run(command: str) -> str:
        typed, _, comment = command.partition("#")
        program, runner, stage = typed.split()
        assert (program, runner) == ("python", "stages/run.py")
        gate = stage.removeprefix("check_")
        bounds = yaml.safe_load(comment) or {}  # gates.clusters: {coherence: 0.7}
        done = check(gate, **bounds.get(f"gates.{gate}", {}))
        return done.err + done.out

    hold(page, fault, run)
