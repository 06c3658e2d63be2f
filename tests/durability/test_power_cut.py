"""The power goes at any moment: what was said to be kept is there, nothing half-written counts, and work goes on.

Every operation on the disk is a moment, with what was not synced gone, there, or renamed without its contents; and
hypothesis draws moments with anything between, torn writes and foreign bytes among it.
"""

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compeffdist.errors import UserError
from compeffdist.teacher.store import ResponseStore
from tests.durability.disk import CERTAIN, Chance, Disk, Done, Everything
from tests.durability.scenarios import BUYING, SCENARIOS

SAMPLED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module", params=SCENARIOS)
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Done]:
    script, many, _ = SCENARIOS[request.param]
    done = Disk(tmp_path_factory.mktemp("disk")).run(script, many)
    assert len(done.acknowledged(len(done.operations))) == many
    return request.param, done


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return Disk(tmp_path_factory.mktemp("disk")).run(BUYING, 12)


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


@SAMPLED
@given(data=st.data())
def test_a_store_that_is_copied_while_it_is_written_is_refused_or_right(
    bought: Done, memory: Path, data: st.DataObject
) -> None:
    """A copy takes file by file, in some order, so that they are of different moments."""
    shutil.rmtree(memory / "copy", ignore_errors=True)
    (memory / "copy").mkdir()
    for name in data.draw(st.permutations(["store.sqlite", "store.sqlite-wal"])):
        bought.left(data.draw(st.integers(0, len(bought.operations))), Everything(), memory / "then")
        if (memory / "then/bought" / name).exists():
            shutil.copy(memory / "then/bought" / name, memory / "copy")
    try:
        with ResponseStore(memory / "copy/store.sqlite") as store:
            keys = store.keys_holding("")
            answers = store.get_many(keys)
    except UserError as error:
        assert "not a readable response store" in str(error)
        return
    assert len(answers) == len(keys)
    assert all(answer.text.startswith("to ") for answer in answers.values())
