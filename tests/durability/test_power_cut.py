"""The power goes at any moment: what was said to be kept is there, nothing half-written counts, and work goes on.

Every operation on the disk is a moment, with what was not synced gone, there, or renamed without its contents; and
hypothesis draws moments with anything between, torn writes and foreign bytes among it.
"""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compeffdist.difficulty.shards import ScoreShards
from compeffdist.files import read_json
from compeffdist.ledger import Ledger
from compeffdist.teacher.requests import Answer
from compeffdist.teacher.spending import Ledger as Spendings
from compeffdist.teacher.spending import Spent
from compeffdist.teacher.store import ResponseStore, StoredAnswer, store_problems
from tests.durability.disk import CERTAIN, Chance, Disk, Done
from tests.durability.scenarios import BUYING, PROMOTING, SAVING, SCORING

SAMPLED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def look_at_answers(folder: Path, acknowledged: list[str]) -> None:
    """Every answer is there, and was counted; no seal is that of other bytes."""
    store = folder / "bought/store.sqlite"
    if acknowledged:
        assert all("was never closed in order" in problem for problem in store_problems(store))
    with ResponseStore(store) as opened:
        keys = opened.keys_holding("")
        answers = opened.get_many(keys)
        assert {answer.text for answer in answers.values()} >= {f"to {prompt}" for prompt in acknowledged}
        assert all(answer.text.startswith("to ") for answer in answers.values())
        opened.put_many([StoredAnswer("next", "model_x", "{}", Answer("x", None, 1, 0, 1, "stop").to_json(), "vllm")])
    assert store_problems(store) == []
    with Spendings(store) as ledger:
        counted = sum(row.answers for row in ledger.rows())
        ledger.add("next", "model_x", "vllm", Spent(1, 1, 0, 1), answers=1)
    assert counted >= len(keys)


def look_at_promotions(folder: Path, acknowledged: list[str]) -> None:
    """Every entry is there, in one chain."""
    ledger = Ledger(folder / "data/promotions.jsonl")
    found = [entry.body["to"] for entry in ledger.entries()]
    assert found == list(range(len(found))) and len(found) >= len(acknowledged)
    assert ledger.append("promote", {"to": len(found)}).number == len(found) + 1


def look_at_scores(folder: Path, acknowledged: list[str]) -> None:
    """Every batch is there, and no shard is damaged."""
    with ScoreShards(folder / "scores/model") as kept:
        assert kept.batches.keys() >= {f"batch {number}" for number in acknowledged}
        kept.put("next", [None])
    assert "next" in ScoreShards(folder / "scores/model").batches


def look_at_what_is_saved(folder: Path, acknowledged: list[str]) -> None:
    """A file is of the last version or the one under way; so is a folder, where it is not just being replaced."""
    versions = [len(acknowledged) - 1, len(acknowledged)]
    file, model = folder / "kept/file.json", folder / "kept/model"
    if acknowledged or file.exists():
        assert read_json(file)["version"] in versions
    if model.exists():
        assert {path.relative_to(model).as_posix() for path in model.rglob("*")} == {"a", "inner", "inner/b"}
        assert [(model / name).read_text() for name in ("a", "inner/b")] in [[f"{n} " * 500] * 2 for n in versions]


SCENARIOS: dict[str, tuple[str, int, Callable[[Path, list[str]], None]]] = {
    "answers": (BUYING, 12, look_at_answers),
    "promotions": (PROMOTING, 4, look_at_promotions),
    "scores": (SCORING, 3, look_at_scores),
    "saved": (SAVING, 3, look_at_what_is_saved),
}


@pytest.fixture(scope="module", params=SCENARIOS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Done]:
    script, many, _ = SCENARIOS[request.param]
    done = Disk(tmp_path_factory.mktemp("disk")).run(script, "0", str(many))
    assert (done.process.returncode, len(done.acknowledged(len(done.operations)))) == (0, many), done.process.stderr
    return request.param, done


@pytest.fixture
def after() -> Iterator[Path]:
    """Where a folder is made as a cut left it: in memory where that can be, for the looking flushes, too."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder) / "after"


def test_at_every_operation(recorded: tuple[str, Done], after: Path) -> None:
    name, done = recorded
    for cut in range(len(done.operations) + 1):
        for draw in CERTAIN:
            done.left(cut, draw, after)
            try:
                SCENARIOS[name][2](after, done.acknowledged(cut))
            except BaseException as error:
                error.add_note(f"cut {cut} of {len(done.operations)} with {type(draw).__name__}")
                raise


@SAMPLED
@given(data=st.data(), chance=st.randoms(use_true_random=False))
def test_with_anything_left_of_what_was_not_synced(
    recorded: tuple[str, Done], after: Path, data: st.DataObject, chance: random.Random
) -> None:
    name, done = recorded
    cut = data.draw(st.integers(0, len(done.operations)))
    done.left(cut, Chance(chance), after)
    SCENARIOS[name][2](after, done.acknowledged(cut))
