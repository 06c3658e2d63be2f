"""The power goes at any moment: what was said to be kept is there, nothing half-written counts, and work goes on.

Every operation on the disk is a moment, with what was not synced gone, there, or renamed without its contents; and
hypothesis draws moments with anything between, torn writes and foreign bytes among it.
"""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.durability.disk import CERTAIN, Chance, Disk, Done
from tests.durability.scenarios import SCENARIOS

SAMPLED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=SCENARIOS)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Done]:
    script, many, _ = SCENARIOS[request.param]
    done = Disk(tmp_path_factory.mktemp("disk")).run(script, many)
    assert len(done.acknowledged(len(done.operations))) == many
    return request.param, done


def test_at_every_operation(watched: tuple[str, Done], memory: Path) -> None:
    name, done = watched
    for cut in range(len(done.operations) + 1):
        for draw in CERTAIN:
            done.left(cut, draw, memory / "after")
            try:
                SCENARIOS[name][2](memory / "after", done.acknowledged(cut))
            except BaseException as error:
                error.add_note(f"cut {cut} of {len(done.operations)} with {type(draw).__name__}")
                raise


@SAMPLED
@given(data=st.data(), chance=st.randoms(use_true_random=False))
def test_with_anything_left_of_what_was_not_synced(
    watched: tuple[str, Done], memory: Path, data: st.DataObject, chance: random.Random
) -> None:
    name, done = watched
    cut = data.draw(st.integers(0, len(done.operations)))
    done.left(cut, Chance(chance), memory / "after")
    SCENARIOS[name][2](memory / "after", done.acknowledged(cut))
