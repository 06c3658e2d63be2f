"""The rows that the teacher was least sure of are dropped, of each instruction its share, before any are ranked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.difficulty.confidence import below_floor, margins
from compeffdist.difficulty.sample_triplets import sample_triplets
from compeffdist.errors import UserError
from compeffdist.params import SamplingParams
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Draw, PredictedDifficulty, Triplet
from tests.factories import make_score, make_triplet, write_scored

shares = st.floats(0.0, 0.99)


@given(st.lists(st.lists(st.floats(0.0, 1.0), max_size=5)), st.integers(0, 3))
def test_a_margin_is_the_likeliest_less_the_second_and_none_where_nothing_was_weighed(
    rows: list[list[float]], skipped: int
) -> None:
    found = margins(pa.array(rows, pa.list_(pa.float64())).slice(min(skipped, len(rows))))
    for margin, given_row in zip(found, rows[skipped:], strict=True):
        falling = sorted(given_row, reverse=True)
        assert np.isnan(margin) if len(falling) < 2 else margin == falling[0] - falling[1]


def dropped_slowly(rows: Sequence[tuple[str, int, float | None]], share: float) -> set[str]:
    """(id, instruction, margin) -> ids below the floor, one instruction after another."""
    found: set[str] = set()
    for instruction in {of for _, of, _ in rows}:
        weighed = sorted((margin, key) for key, of, margin in rows if of == instruction and margin is not None)
        found |= {key for _, key in weighed[: min(round(share * len(weighed)), max(len(weighed) - 1, 0))]}
    return found


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.sampled_from([0.0, 0.1, 0.5, 1.0]))), shares)
def test_of_each_instruction_the_least_sure_share_is_dropped(
    drawn: list[tuple[int, float | None]], share: float
) -> None:
    rows = [(f"pair_{place}", of, margin) for place, (of, margin) in enumerate(drawn)]
    ids = pa.array([key for key, _, _ in rows], pa.string())
    margin = np.array([np.nan if given is None else given for _, _, given in rows], np.float64)
    dropped = below_floor(ids, np.array([of for _, of, _ in rows], np.int64), margin, share)
    assert {key for (key, _, _), out in zip(rows, dropped, strict=True) if out} == dropped_slowly(rows, share)


def answered(instruction: str, number: int, probabilities: Sequence[float]) -> Triplet:
    ids = {"instruction_id": instruction, "text_id": f"text_{number}", "pair_id": f"pair_{instruction}_{number:02d}"}
    labels = ["yes", "no", "unclear"][: len(probabilities)]
    return make_triplet(**ids, response="yes", labels=labels, probabilities=list(probabilities))


def world() -> list[Triplet]:
    """Ten answers to `sure`, each surer than the one before; six to `free`, which has no labels."""
    chosen = [answered("sure", n, [0.5 + n / 50, 0.5 - n / 50]) for n in range(10)]
    return [*chosen, *(answered("free", n, []) for n in range(6))]


def draw(
    folder: Path,
    triplets: Sequence[Triplet],
    in_file: Sequence[Triplet] | None = None,
    own: Sequence[str] = (),
    **how: Any,
) -> dict[str, Draw]:
    """Draws by pair; `in_file` are the triplets in their file, if not all."""
    paths = [folder / f"{name}.parquet" for name in ("scored", "predicted", "triplets", "sampled")]
    write_scored(paths[0], [make_score(one, int(one.pair_id[-2:]) / 40) for one in triplets])
    write_records(paths[1], PredictedDifficulty, [])
    write_records(paths[2], Triplet, triplets if in_file is None else in_file)
    params = SamplingParams.model_validate({"rate": 0.5, **how})
    figures = sample_triplets(*paths, params, 3, own)
    draws = {row.pair_id: row for row in read_records(paths[3], Draw)}
    assert figures["below_confidence_floor"] == sum(row.rank == 0 for row in draws.values())
    return draws


@pytest.mark.parametrize("scope", ["instruction", "answer", "global"])
@pytest.mark.parametrize("method", ["soft", "hard", "random"])
def test_what_is_below_the_floor_has_no_rank_and_no_chance_and_the_rest_is_drawn_as_if_it_were_not_there(
    tmp_path: Path, method: str, scope: str
) -> None:
    triplets = world()
    draws = draw(tmp_path, triplets, confidence_floor=0.3, method=method, scope=scope)
    for one in triplets[:3]:
        row = draws.pop(one.pair_id)
        assert (row.rank, row.group_size, row.inclusion_probability, row.kept) == (0, 0, 0.0, False)
    assert draws == draw(tmp_path, triplets[3:], method=method, scope=scope)
    assert all(row.rank for row in draws.values())


def test_rows_of_own_tasks_are_below_the_floor_like_others_and_all_others_of_theirs_are_kept(tmp_path: Path) -> None:
    draws = draw(tmp_path, world(), own=["sure"], confidence_floor=0.2, own_rate=1.0)
    of_own = [row.kept for row in draws.values() if row.instruction_id == "sure"]
    assert (of_own.count(False), of_own.count(True)) == (2, 8)


def test_no_instruction_loses_all_its_rows_to_a_floor(tmp_path: Path) -> None:
    draws = draw(tmp_path, [answered("alone", 0, [0.5, 0.5]), *world()], confidence_floor=0.9)
    assert draws["pair_alone_00"].rank == 1
    assert [row.pair_id for row in draws.values() if row.instruction_id == "sure" and row.rank] == ["pair_sure_09"]


def test_no_floor_asks_for_no_triplets_and_no_rows_are_no_fault(tmp_path: Path) -> None:
    assert all(row.rank for row in draw(tmp_path, world(), in_file=[]).values())
    assert draw(tmp_path, [], confidence_floor=0.5) == {}


def test_a_row_without_its_answer_is_named(tmp_path: Path) -> None:
    triplets = world()
    with pytest.raises(UserError, match=r"triplets\.parquet: no triplet of pair pair_sure_00.*confidence_floor: 0"):
        draw(tmp_path, triplets, in_file=triplets[1:], confidence_floor=0.2)
