"""A killed run resumes with whole batches, to the same bytes; a damaged shard is noticed."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from compeffdist.canonical import hash_text
from compeffdist.difficulty import scorer
from compeffdist.difficulty.shards import RowFigures, ScoreShards, batch_key
from compeffdist.errors import UserError
from compeffdist.student.batching import TokenRow

from .test_scorer import CONFIGS, alike, make_model, make_rows, score


@pytest.fixture(scope="module")
def model() -> Any:
    return make_model(CONFIGS["llama"], torch.bfloat16)


def count_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that are computed from now on."""
    sizes: list[int] = []
    original = scorer._score_batch

    def spy(parts: Any, prefix: Any, rows: Any, *rest: Any) -> Any:
        sizes.append(len(rows))
        return original(parts, prefix, rows, *rest)

    monkeypatch.setattr(scorer, "_score_batch", spy)
    return sizes


def test_a_repeated_run_computes_nothing(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*alike(2, 6, 40), *make_rows(9)]
    with ScoreShards(tmp_path) as shards:
        first = score(model, rows, shards=shards)
    sizes = count_batches(monkeypatch)
    with ScoreShards(tmp_path) as shards:
        assert score(model, rows[::-1], shards=shards)[0] == first[0][::-1]
        assert shards.reused == len(rows)
    assert sizes == []


@pytest.mark.parametrize("done", [1, 3])
def test_a_run_that_was_cut_short_gives_the_scores_of_one_that_was_not(
    model: Any, tmp_path: Path, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bfloat16, where a row scored in another batch differs in its second digit."""
    rows = [*alike(2, 6, 40), *make_rows(9)]
    whole = score(model, rows)
    original, batches = scorer._score_batch, 0

    def killed_after(*arguments: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches > done:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(scorer, "_score_batch", killed_after)
    with pytest.raises(KeyboardInterrupt), ScoreShards(tmp_path) as shards:
        score(model, rows, shards=shards)
    monkeypatch.setattr(scorer, "_score_batch", original)
    with ScoreShards(tmp_path) as shards:
        assert score(model, rows, shards=shards) == whole
        assert 0 < shards.reused < len(rows)


def test_a_killed_process_leaves_only_whole_shards(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
import numpy as np
from compeffdist.difficulty import shards
from compeffdist.difficulty.shards import RowFigures, ScoreShards
shards.WRITE_EVERY_SECONDS = 0.0
with ScoreShards(Path({str(tmp_path)!r})) as kept:
    for number in range(4):
        row = RowFigures(np.array([2, 0]), np.array([0.5, 0.0]), np.array([2.5, 0.1]), "row")
        kept.put(f"batch_{{number}}", [row, None])
    shards.WRITE_EVERY_SECONDS = 1e9
    kept.put("batch_4", [None])
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    kept = ScoreShards(tmp_path)
    assert sorted(kept.batches) == [f"batch_{number}" for number in range(4)]
    row = RowFigures(np.array([2, 0]), np.array([0.5, 0.0]), np.array([2.5, 0.1]), "row")
    assert kept.get("batch_2") == [row, None]


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    with ScoreShards(tmp_path) as shards:
        shards.put("batch", [None])
    [shard] = tmp_path.glob("*.jsonl")
    shard.write_text(shard.read_text().replace("null", "nule"))
    with pytest.raises(UserError, match=rf"{shard.name}: a damaged shard of scores; delete it"):
        ScoreShards(tmp_path)


def test_a_shard_that_changes_while_it_is_in_use_is_named(tmp_path: Path) -> None:
    with ScoreShards(tmp_path) as shards:
        shards.put("batch", [None])
    assert shards.get("batch") == [None]
    [shard] = tmp_path.glob("*.jsonl")
    shard.write_text(shard.read_text().replace("batch", "other", 2))
    with pytest.raises(UserError, match=rf"{shard.name}: (scores of another version|a shard .* was changed)"):
        shards.get("batch")
    shard.unlink()
    with pytest.raises(UserError, match=rf"{shard.name}: a shard of scores in use was lost .*; run again"):
        shards.get("batch")


def test_what_was_put_is_found_once_it_is_written(tmp_path: Path) -> None:
    rows = [RowFigures(np.array([number]), np.array([0.5]), np.array([0.25]), "é") for number in range(3)]
    shards = ScoreShards(tmp_path)
    for number, row in enumerate(rows):
        shards.put(f"batch_{number}", [row, None])
    shards.write()
    for opened in (shards, ScoreShards(tmp_path)):
        assert [opened.get(f"batch_{number}") for number in range(3)] == [[row, None] for row in rows]
        assert (opened.get("batch_3"), opened.reused) == (None, 6)


def test_a_shard_of_another_version_is_named(tmp_path: Path) -> None:
    text = '{"batch":"batch","rows":[{"id":"row","rank":0.5}]}\n'
    (tmp_path / f"{hash_text(text)}.jsonl").write_text(text)
    with pytest.raises(UserError, match="scores of another version; delete it"):
        ScoreShards(tmp_path)


def test_a_batch_is_known_by_all_that_its_scores_depend_on() -> None:
    row, other = TokenRow("a", [1, 2, 3], [4]), TokenRow("b", [1, 2, 3], [4])
    keys = [
        batch_key([row], 0),
        batch_key([row], 1),
        batch_key([row, other], 0),
        batch_key([other, row], 0),
        batch_key([TokenRow("a", [1, 2], [3, 4])], 0),
    ]
    assert len(set(keys)) == len(keys)
