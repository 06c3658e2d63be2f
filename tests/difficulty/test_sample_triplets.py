"""Scores as a file become draws as a file, one for one."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from compeffdist.difficulty.sample_triplets import sample_triplets
from compeffdist.difficulty.sampling import CONTROL, uniform_draws
from compeffdist.errors import UserError
from compeffdist.measures.registry import MEASURES
from compeffdist.params import SamplingParams
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Draw, PredictedDifficulty, ScoredTriplet, Triplet
from tests.factories import make_predicted, make_score, make_triplet, write_scored


def scored_rows(rows: int, instructions: int = 3, **changes: Any) -> list[ScoredTriplet]:
    generator = np.random.default_rng(0)
    return [
        make_score(
            None,
            **{
                "ranking": float(generator.integers(0, 4)) / 4,  # many ties
                "triplet_id": f"sample_{number:04d}",
                "pair_id": f"pair_{number:04d}",
                "instruction_id": f"instruction_{number % instructions}",
                "ranking_excluding_zero": float(generator.random()),
                "ranking_all": float(generator.random()),
                "perplexity": float(generator.uniform(1, 9)),
                "rank_surprisal_ratio": float(generator.uniform(1, 9)),
                "tokens": int(generator.integers(1, 90)),
            }
            | changes,
        )
        for number in range(rows)
    ]


def predicted_pairs(rows: int, instructions: int = 3) -> list[PredictedDifficulty]:
    chance = np.random.default_rng(1).random(rows)
    return [
        make_predicted(pair_id=f"pair_9{n:03d}", instruction_id=f"instruction_{n % instructions}", difficulty=value)
        for n, value in enumerate(chance.tolist())
    ]


def labelled(instruction: str, number: int, response: str, labels: Sequence[str] = ()) -> Triplet:
    ids = {"instruction_id": instruction, "text_id": f"text_{number}", "pair_id": f"pair_{instruction}_{number:04d}"}
    even = [1 / len(labels)] * len(labels) if labels else []
    return make_triplet(**ids, response=response, labels=list(labels), probabilities=even)


def run(
    folder: Path,
    scored: list[ScoredTriplet],
    predicted: Sequence[PredictedDifficulty] = (),
    seed: int = 3,
    triplets: Sequence[Triplet] = (),
    own: Collection[str] = (),
    **changes: Any,
) -> dict[str, Any]:
    paths = [folder / f"{name}.parquet" for name in ("scored", "predicted", "triplets", "sampled")]
    write_records(paths[2], Triplet, triplets)
    write_scored(paths[0], scored)
    write_records(paths[1], PredictedDifficulty, predicted)
    return sample_triplets(*paths, SamplingParams(**changes), seed, own)


def draw(folder: Path, scored: list[ScoredTriplet], *args: Any, **changes: Any) -> list[Draw]:
    run(folder, scored, *args, **changes)
    return read_records(folder / "sampled.parquet", Draw)


@pytest.mark.parametrize("metric", ["ranking", *(name for name, one in MEASURES.items() if one.needs == "response")])
def test_difficulty_is_the_metric_asked_for(tmp_path: Path, metric: str) -> None:
    scored = scored_rows(20)
    draws = draw(tmp_path, scored, metric=metric)
    assert [row.triplet_id for row in draws] == [row.triplet_id for row in scored]
    assert [row.instruction_id for row in draws] == [row.instruction_id for row in scored]
    sign = -1 if metric in MEASURES and MEASURES[metric].harder == "low" else 1
    assert [row.difficulty for row in draws] == [sign * float(row.to_row()[metric]) for row in scored]
    assert all(row.kept == (row.draw < row.inclusion_probability) for row in draws)


@pytest.mark.parametrize("method", ["soft", "hard", "random"])
def test_rows_of_own_tasks_have_their_own_rate_and_change_no_other_row(tmp_path: Path, method: str) -> None:
    scored = scored_rows(60)
    instructions = sorted({row.instruction_id for row in scored})
    own = set(instructions[:1])
    plain = draw(tmp_path, scored, method=method, rate=0.4)
    mixed = draw(tmp_path, scored, method=method, rate=0.4, own=own, own_rate=1.0)
    assert [row.pair_id for row in mixed] == [row.pair_id for row in plain]
    assert all(
        row.kept and row.inclusion_probability == pytest.approx(1.0) for row in mixed if row.instruction_id in own
    )
    others = [(a, b) for a, b in zip(plain, mixed, strict=True) if a.instruction_id not in own]
    assert others and all(a == b for a, b in others)
    assert draw(tmp_path, scored, method=method, rate=0.4, own=own) == plain


def test_the_hardest_are_those_at_the_end_that_the_measure_names(tmp_path: Path) -> None:
    scored = scored_rows(12, 1)
    for metric, lowest_first in (("perplexity", True), ("rank_surprisal_ratio", False)):
        draws = {row.triplet_id: row.rank for row in draw(tmp_path, scored, metric=metric)}
        ordered = sorted(scored, key=lambda row: float(row.measures[metric] or 0), reverse=not lowest_first)
        assert [draws[row.triplet_id] for row in ordered] == list(range(1, 13))


def test_random_difficulty_is_the_control_it_says_it_is(tmp_path: Path) -> None:
    scored = scored_rows(20)
    draws = draw(tmp_path, scored, metric="random")
    assert [row.difficulty for row in draws] == uniform_draws([row.pair_id for row in scored], 3, CONTROL).tolist()


def test_scores_in_another_order_and_in_batches_are_the_same_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = scored_rows(60)
    straight = draw(tmp_path, scored)
    for module in ("columns", "difficulty.sample_triplets"):
        monkeypatch.setattr(f"compeffdist.{module}.BATCH_ROWS", 7)
    shuffled = draw(tmp_path, [scored[n] for n in np.random.default_rng(1).permutation(60)])
    assert pq.ParquetFile(tmp_path / "sampled.parquet").num_row_groups == 9
    assert sorted(shuffled, key=lambda row: row.id) == sorted(straight, key=lambda row: row.id)


def test_a_metric_without_values_is_refused_in_one_line(tmp_path: Path) -> None:
    scored = scored_rows(5)
    holes = [*scored[:3], *scored_rows(1, triplet_id="sample_x", pair_id="pair_x", perplexity=float("nan"))]
    with pytest.raises(UserError, match=r"1 of 4 rows have no perplexity, the first that of sample_x"):
        draw(tmp_path, holes, metric="perplexity")
    with pytest.raises(UserError, match=r"no ifd.*another sampling\.metric"):
        draw(tmp_path, scored, metric="ifd")
    assert not (tmp_path / "sampled.parquet").exists()


def test_two_scores_of_one_triplet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pair_0001 has two difficulties"):
        draw(tmp_path, [*scored_rows(3), *scored_rows(1, triplet_id="sample_9", pair_id="pair_0001")])


def test_no_scores_are_no_draws(tmp_path: Path) -> None:
    metrics = run(tmp_path, [])
    assert read_records(tmp_path / "sampled.parquet", Draw) == []
    assert (metrics["rows"], metrics["kept_share"], metrics["by_instruction"]) == (0, 0.0, {})


def test_metrics_count_rows_and_instructions(tmp_path: Path) -> None:
    metrics = run(tmp_path, scored_rows(30), seed=9)
    draws = read_records(tmp_path / "sampled.parquet", Draw)
    assert metrics["rows"] == 30
    assert metrics["kept"] == sum(row.kept for row in draws)
    assert metrics["expected_kept"] == pytest.approx(15.0)
    assert metrics["instructions"] == 3
    assert metrics["by_instruction"]["instruction_0"] == {
        "rows": 10,
        "kept": sum(row.kept for row in draws if row.instruction_id == "instruction_0"),
    }


def test_predicted_pairs_are_ranked_among_the_scored_and_have_no_triplet(tmp_path: Path) -> None:
    scored, predicted = scored_rows(12), predicted_pairs(9)
    draws = draw(tmp_path, scored, predicted)
    assert [(row.pair_id, row.triplet_id, row.difficulty) for row in draws] == [
        *((row.pair_id, row.triplet_id, row.ranking) for row in scored),
        *((row.pair_id, "", row.difficulty) for row in predicted),
    ]
    for instruction in {row.instruction_id for row in draws}:
        group = sorted((row for row in draws if row.instruction_id == instruction), key=lambda row: row.rank)
        assert [row.rank for row in group] == [1, 2, 3, 4, 5, 6, 7]
        assert [row.difficulty for row in group] == sorted(row.difficulty for row in group)


def test_a_pair_is_drawn_alike_before_it_is_answered_and_after(tmp_path: Path) -> None:
    before = draw(tmp_path, [], predicted_pairs(6))
    answered = []
    for row in predicted_pairs(6):
        known = {"pair_id": row.pair_id, "instruction_id": row.instruction_id, "ranking": row.difficulty}
        answered += scored_rows(1, triplet_id=f"sample of {row.pair_id}", **known)
    after = draw(tmp_path, answered)
    assert [(row.id, row.kept) for row in before] == [(row.id, row.kept) for row in after]


def test_a_pair_both_scored_and_predicted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="predict only what is not scored"):
        draw(tmp_path, scored_rows(3, pair_id="pair_9000")[:1], predicted_pairs(3))


def test_label_ranks_order_the_rows_of_closed_sets_and_the_published_score_the_others(tmp_path: Path) -> None:
    closed = [
        scored_rows(place + 1, 1, ranking=0.0, label_rank=(8 - place) / 10, label_surprise=0.1)[place]
        for place in range(8)
    ]
    free = [
        replace(row, id="", triplet_id=f"{row.triplet_id}f", pair_id=f"{row.pair_id}f", instruction_id="free")
        for row in scored_rows(6, 1)
    ]
    draws = {one.pair_id: one for one in draw(tmp_path, [*closed, *free], metric="label_rank")}
    assert [draws[row.pair_id].rank for row in closed] == list(range(8, 0, -1))
    assert [draws[row.pair_id].difficulty for row in closed] == [row.measures["label_rank"] for row in closed]
    published = {one.pair_id: one for one in draw(tmp_path, free, metric="ranking")}
    assert [(draws[row.pair_id].rank, draws[row.pair_id].kept) for row in free] == [
        (published[row.pair_id].rank, published[row.pair_id].kept) for row in free
    ]


@pytest.mark.parametrize("method", ["soft", "hard"])
def test_scope_answer_keeps_every_label_at_the_same_rate_whichever_is_harder(tmp_path: Path, method: str) -> None:
    labels = ["negative", "positive"]
    triplets = [labelled("labelled", number, labels[number % 2], labels) for number in range(200)]
    triplets += [labelled("free", number, f"words {number}") for number in range(40)]
    # every positive row is harder than every negative one
    scored = [make_score(one, (one.response == "positive") + number / 1000) for number, one in enumerate(triplets)]
    kept: dict[str, dict[str, int]] = {}
    for scope in ("instruction", "answer"):
        draws = draw(tmp_path, scored, triplets=triplets[::-1], method=method, scope=scope)
        answers = {one.id: one.response for one in triplets if one.labels}
        kept[scope] = {
            label: sum(row.kept for row in draws if answers.get(row.triplet_id) == label) for label in labels
        }
        free = [row for row in draws if row.instruction_id == "free"]
        assert {row.group_size for row in free} == {40}  # answers without labels are ranked together
        sizes = {row.group_size for row in draws if row.instruction_id == "labelled"}
        assert sizes == {200 if scope == "instruction" else 100}
    assert kept["instruction"]["positive"] >= 2 * kept["instruction"]["negative"]
    assert abs(kept["answer"]["positive"] - kept["answer"]["negative"]) <= (0 if method == "hard" else 16)


def test_an_answer_is_ranked_within_its_own_instruction(tmp_path: Path) -> None:
    labels = ["yes", "no"]
    triplets = [labelled(name, number, "yes", labels) for name in ("a", "b") for number in range(6)]
    scored = [make_score(one, number / 12) for number, one in enumerate(triplets)]
    draws = draw(tmp_path, scored, triplets=triplets, scope="answer")
    assert [(row.instruction_id, row.rank, row.group_size) for row in draws] == [
        (name, place, 6) for name in ("a", "b") for place in range(1, 7)
    ]


def test_scope_answer_refuses_a_row_without_a_triplet(tmp_path: Path) -> None:
    triplets = [labelled("a", number, "yes", ["yes", "no"]) for number in range(3)]
    scored = [make_score(one, 0.5) for one in triplets]
    with pytest.raises(UserError, match=r"triplets\.parquet: no triplet of pair pair_a_0002.*sampling\.scope"):
        draw(tmp_path, scored, triplets=triplets[:2], scope="answer")
