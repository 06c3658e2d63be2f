"""What is said of a prediction is what the definitions say, at both ends and for chance in between."""

import numpy as np
import pytest
from scipy.stats import kendalltau, rankdata, spearmanr

from compeffdist.proxy.report import Compared, at_rate, chance_of_order, proxy_report

INSTRUCTIONS, EACH = 20, 50


def rows(noise: float, seed: int = 0) -> Compared:
    """1,000 rows; the prediction is the direct score plus noise."""
    generator = np.random.default_rng(seed)
    level = np.repeat(generator.random(INSTRUCTIONS), EACH)
    direct = level + generator.random(INSTRUCTIONS * EACH)
    predicted = direct + noise * generator.standard_normal(len(direct))
    instructions = [f"instruction_{place // EACH:02d}" for place in range(len(direct))]
    return Compared([f"row_{place:04d}" for place in range(len(direct))], instructions, predicted, direct)


def test_a_perfect_prediction_keeps_what_direct_scores_keep() -> None:
    report = proxy_report(rows(0.0), scored=250, pairs=1000, seed=1)
    for name in ("spearman", "kendall", "spearman_within_instruction", "kendall_within_instruction"):
        assert report[name] == {"value": pytest.approx(1), "low": pytest.approx(1), "high": pytest.approx(1)}
    for found in report["rates"].values():
        assert (found["overlap"], found["gain"]) == (1, pytest.approx(1))


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_chance_overlaps_at_the_rate_and_gains_nothing(rate: float) -> None:
    found = [at_rate(rows(1e6, seed), rate) for seed in range(20)]
    assert np.mean([one["overlap"] for one in found]) == pytest.approx(rate, abs=0.03)
    assert np.mean([one["gain"] for one in found]) == pytest.approx(0, abs=0.05)


def test_correlations_are_those_of_scipy_overall_and_averaged_over_instructions() -> None:
    compared = rows(0.3)
    report = proxy_report(compared, scored=0, pairs=1000, seed=1)
    pairs = np.array([compared.predicted, compared.direct]).reshape(2, INSTRUCTIONS, EACH)
    for name, statistic in (("spearman", spearmanr), ("kendall", kendalltau)):
        whole, within = report[name], report[f"{name}_within_instruction"]
        assert whole["value"] == pytest.approx(statistic(compared.predicted, compared.direct).statistic)
        assert within["value"] == pytest.approx(
            np.mean([statistic(*pairs[:, i]).statistic for i in range(INSTRUCTIONS)])
        )
        assert whole["low"] < whole["value"] < whole["high"]
        assert within["low"] < within["value"] < within["high"]


def test_telling_instructions_apart_is_no_order_within_them() -> None:
    known = rows(0.0)
    level = np.repeat(known.direct.reshape(INSTRUCTIONS, EACH).mean(axis=1), EACH)
    report = proxy_report(Compared(known.ids, known.instruction_ids, level, known.direct), scored=0, pairs=1000, seed=1)
    assert report["spearman"]["value"] > 0.5
    assert report["spearman_within_instruction"]["value"] is None
    assert report["ordered_rows"] == 0


def test_of_one_instruction_there_is_no_interval_over_instructions() -> None:
    known = rows(0.3)
    one = Compared(known.ids[:EACH], known.instruction_ids[:EACH], known.predicted[:EACH], known.direct[:EACH])
    report = proxy_report(one, scored=0, pairs=EACH, seed=1)
    within = report["spearman_within_instruction"]
    assert within["value"] == pytest.approx(report["spearman"]["value"])
    assert within["low"] is None and within["high"] is None


def test_overlap_by_chance_counts_whole_rows() -> None:
    """Of three rows a tenth is none, of six it is one: any order keeps that one with a chance of a sixth."""
    groups = ["small"] * 3 + ["large"] * 6
    found = []
    for seed in range(400):
        numbers = np.random.default_rng(seed)
        ids = [f"row_{place}" for place in range(9)]
        found.append(at_rate(Compared(ids, groups, numbers.random(9), numbers.random(9)), 0.1))
    assert [one["overlap_by_chance"] for one in found] == pytest.approx([1 / 6] * len(found))
    assert np.mean([one["overlap"] for one in found]) == pytest.approx(1 / 6, abs=0.06)


def test_figures_over_all_instructions_are_of_the_rows_given_for_them() -> None:
    good, useless = rows(0.1), rows(1e6)
    report = proxy_report(good, scored=0, pairs=1000, seed=1, overall=useless)
    assert abs(report["spearman"]["value"]) < 0.1 and abs(report["kendall"]["value"]) < 0.1
    assert report["spearman_within_instruction"]["value"] > 0.8


@pytest.mark.parametrize("each", [3, 8, 40])
def test_chance_is_the_share_of_shuffles_that_agree_as_well(each: int) -> None:
    generator = np.random.default_rng(each)
    groups = [np.arange(start, start + each) for start in range(0, 120, each)]
    direct = generator.integers(0, 6, 120).astype(float)  # with ties
    predicted = direct + 8 * generator.standard_normal(120)

    agreement, shuffled = 0.0, np.zeros(3000)
    for places in groups:
        one, other = rankdata(predicted[places]) / each, rankdata(direct[places]) / each
        agreement += float((one - one.mean()) @ other)
        shuffled += generator.permuted(np.tile(one - one.mean(), (3000, 1)), axis=1) @ other
    assert chance_of_order(predicted, direct, groups) == pytest.approx(np.mean(shuffled >= agreement), abs=0.04)


def test_noise_passes_for_order_as_often_as_the_bound_says_however_few_instructions() -> None:
    for instructions in (1, 3, 30):
        generator = np.random.default_rng(instructions)
        groups = np.array_split(np.arange(90), instructions)
        found = [chance_of_order(generator.random(90), generator.random(90), groups) for _ in range(400)]
        assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_many_instructions_of_few_rows_show_their_order() -> None:
    generator = np.random.default_rng(0)
    direct = generator.random(300)
    groups = np.array_split(np.arange(300), 100)
    assert chance_of_order(direct + 0.1 * generator.standard_normal(300), direct, groups) < 1e-6
    assert chance_of_order(np.zeros(300), direct, groups) == 1.0


def test_calls_saved_count_the_scored_part_and_the_kept_rows() -> None:
    # 1,250 pairs: 250 bought to train on, a quarter of the other 1,000 bought because they are kept
    report = proxy_report(rows(0.0), scored=250, pairs=1250, seed=1)
    assert report["rates"]["0.25"]["calls_saved"] == pytest.approx(1 - 500 / 1250)


def test_the_report_does_not_depend_on_the_order_of_rows() -> None:
    whole = rows(0.3)
    order = np.random.default_rng(5).permutation(len(whole.direct))
    shuffled = Compared(
        [whole.ids[place] for place in order],
        [whole.instruction_ids[place] for place in order],
        whole.predicted[order],
        whole.direct[order],
    )
    assert at_rate(shuffled, 0.25) == pytest.approx(at_rate(whole, 0.25))


def test_as_hard_rows_are_found_at_a_lower_rate_the_better_the_prediction_the_sooner() -> None:
    perfect, good, useless = (at_rate(rows(noise), 0.5) for noise in (0.0, 0.3, 1e6))
    assert perfect["equal_quality_rate"] == pytest.approx(0.5)
    assert 0.1 < good["equal_quality_rate"] < 0.5
    assert useless["equal_quality_rate"] is None
    again = at_rate(rows(0.3), good["equal_quality_rate"])
    assert again["kept_difficulty"] == pytest.approx(good["kept_difficulty_direct"], rel=0.02)
