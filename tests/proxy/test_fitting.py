"""The proxy finds what can be found, claims nothing where there is nothing, and is the same bytes again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy.stats import spearmanr

from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.proxy.fitting import Fit, fit_proxy, load_proxy, proxy_id, save_nothing, save_proxy
from compeffdist.proxy.prompt_features import MOST_OPENINGS, SIGNALS, PromptFeatures

INSTRUCTIONS, EACH, WIDTH, NOISE = 6, 80, 20, 0.05


def show(states: Any, scores: Any = 0.0, log_p: Any = 0.0) -> PromptFeatures:
    """Prompts of which the student has states and, it may be, two openings, but no signals."""
    arrays = [np.zeros((len(states), width), np.float32) for width in (len(SIGNALS), MOST_OPENINGS, MOST_OPENINGS)]
    arrays[1][:, :2], arrays[2][:, :2] = log_p, scores
    return PromptFeatures(states.astype(np.float32), *arrays)


def make_world(skill: float, seed: int = 0) -> dict[str, Any]:
    """480 rows, half of them scored. Difficulty is a level of the instruction, and beside it what three features
    say and noise, in the proportion that makes `skill` the correlation. Features differ between instructions much
    more than within."""
    generator = np.random.default_rng(seed)
    rows = INSTRUCTIONS * EACH
    groups = np.repeat(np.arange(INSTRUCTIONS), EACH)
    own = generator.standard_normal((rows, WIDTH))
    states = own + 10 * generator.standard_normal((INSTRUCTIONS, WIDTH))[groups]
    signal = skill * own[:, :3].sum(axis=1) / np.sqrt(3) + np.sqrt(1 - skill**2) * generator.standard_normal(rows)
    truth = np.clip(0.2 + 0.08 * groups + NOISE * signal, 0, 1)
    return {
        "prompts": show(states),
        "instruction_ids": [f"instruction_{group}" for group in groups],
        "ids": [f"pair_{number:03d}" for number in range(rows)],
        "given": np.full(rows, -1),
        "difficulty": np.where(np.arange(rows) % 2 == 0, truth, np.nan),
        "truth": truth,
    }


def fit(world: dict[str, Any]) -> Fit:
    return fit_proxy(**{name: value for name, value in world.items() if name != "truth"})


def predict(world: dict[str, Any]) -> Any:
    return fit(world).proxy.predict(world["prompts"], world["instruction_ids"])


def within(world: dict[str, Any], predicted: Any, rows: Any) -> float:
    """Mean rank correlation within instructions, over some rows."""
    groups = np.array(world["instruction_ids"])
    chosen = [rows & (groups == one) for one in np.unique(groups)]
    return float(np.mean([spearmanr(predicted[some], world["truth"][some]).statistic for some in chosen]))


def test_it_orders_rows_within_an_instruction_that_it_has_not_seen() -> None:
    world = make_world(skill=0.9)
    assert within(world, predict(world), np.isnan(world["difficulty"])) > 0.75


@pytest.mark.parametrize("skill", [0.0, 0.5, 0.9])
def test_what_it_says_of_held_out_rows_is_what_new_rows_show(skill: float) -> None:
    """Were a row's own score used in its prediction, held-out rows would look better than new ones."""
    found, claimed = [], []
    for seed in range(6):
        world = make_world(skill, seed)
        scored = np.isfinite(world["difficulty"])
        untied = 1e-12 * np.arange(len(scored))  # without skill all of an instruction may be predicted alike
        found.append(within(world, predict(world) + untied, ~scored))
        held_out = untied.copy()
        held_out += fit(world).held_out
        claimed.append(within(world, held_out, scored))
    assert np.mean(claimed) == pytest.approx(np.mean(found), abs=0.1)


def test_predictions_are_on_the_scale_of_scores() -> None:
    """Within instructions: where one is predicted harder by so much, it is harder by as much."""
    slopes = []
    for seed in range(6):
        world = make_world(skill=0.8, seed=seed)
        predicted, unseen = predict(world), np.isnan(world["difficulty"])
        groups = np.array(world["instruction_ids"])
        inside = [
            [side[unseen & (groups == one)] - side[unseen & (groups == one)].mean() for one in np.unique(groups)]
            for side in (predicted, world["truth"])
        ]
        slopes.append(np.polyfit(*map(np.concatenate, inside), 1)[0])
    assert np.mean(slopes) == pytest.approx(1, abs=0.15)


def test_no_prediction_is_beyond_the_scores_there_can_be() -> None:
    world = make_world(skill=1.0)
    for side in ("truth", "difficulty"):
        world[side] = np.clip(3 * (world[side] - 0.4), 0, 1)
    assert (predict(world).min(), predict(world).max()) == (0.0, 1.0)


def test_a_prediction_is_the_formula_written_out_over_what_is_saved(tmp_path: Path) -> None:
    world = make_answers(2.0)
    save_proxy(fit(world).proxy, {}, tmp_path / "proxy")
    saved, description = load_file(tmp_path / "proxy/proxy.safetensors"), read_json(tmp_path / "proxy/proxy.json")
    prompts, found = world["prompts"], {name: [] for name in description["instruction_ids"]}
    for row, name in enumerate(world["instruction_ids"]):
        c = description["instruction_ids"].index(name)
        shown = [prompts.states[row] - saved["view.states"][c], prompts.signals[row] - saved["view.signals"][c]]
        x = np.concatenate(shown) @ saved["view.projection"]
        beliefs = prompts.log_p[row] - saved["view.log_p"][c]
        logits = saved["openings.biases"][c] + saved["openings.slopes"][c] * beliefs + saved["openings.weights"][c] @ x
        expected = float(np.exp(logits - np.logaddexp.reduce(logits)) @ prompts.scores[row])
        found[name].append((row, expected, float(x @ (saved["ridge.shared"] + saved["ridge.own"][c]))))
    predicted = predict(world)
    for c, (name, rows) in enumerate(found.items()):
        mean = np.mean([expected for _, expected, _ in rows])
        for row, expected, ridge in rows:
            plain = saved["levels"][c] + description["slope"] * (expected - mean + ridge) / 2
            assert predicted[row] == pytest.approx(np.clip(plain, 0, 1), abs=1e-9), name


def test_the_level_of_few_rows_is_drawn_towards_all() -> None:
    world = make_world(skill=0.0)
    groups = np.array(world["instruction_ids"])
    world["difficulty"][np.flatnonzero(groups == "instruction_5")[1:]] = np.nan  # one row left of the hardest
    world["difficulty"][np.flatnonzero(groups == "instruction_5")[0]] = 0.9
    levels, mean = fit(world).proxy.heads.levels, np.nanmean(world["difficulty"])
    assert mean < levels[5] < 0.9 - 0.01
    own = np.nanmean(world["difficulty"][groups == "instruction_0"])
    assert own < levels[0] < own + 0.01  # of forty hardly at all


def test_noise_is_shrunk_to_the_level_of_the_instruction() -> None:
    world = make_world(skill=0.0)
    predicted, groups = predict(world), np.array(world["instruction_ids"])
    assert np.mean([predicted[groups == one].std() for one in np.unique(groups)]) < 0.3 * NOISE


def test_the_fit_does_not_depend_on_the_order_of_rows() -> None:
    world = make_world(skill=0.7)
    order = np.random.default_rng(3).permutation(len(world["ids"]))
    shuffled = {
        name: value[order] if isinstance(value, np.ndarray) else [value[place] for place in order]
        for name, value in world.items()
        if name != "prompts"
    }
    shuffled["prompts"] = world["prompts"].rows(order)
    assert np.array_equal(predict(world)[order], predict(shuffled))
    assert np.array_equal(fit(world).held_out[order], fit(shuffled).held_out, equal_nan=True)


def test_an_instruction_without_a_scored_row_is_at_the_level_of_all() -> None:
    world = make_world(skill=0.7)
    world["difficulty"][np.array(world["instruction_ids"]) == "instruction_5"] = np.nan
    assert fit(world).proxy.heads.levels[5] == pytest.approx(np.nanmean(world["difficulty"]))
    assert np.isfinite(predict(world)).all()


def make_answers(told: float, seed: int = 0) -> dict[str, Any]:
    """Rows whose difficulty is that of their answer's opening: one of two, of which one is easy and one is hard, the
    more likely the one, the more the student's log-probability says so. States say nothing."""
    generator = np.random.default_rng(seed)
    groups, rows = np.repeat(np.arange(INSTRUCTIONS), EACH), INSTRUCTIONS * EACH
    belief = generator.standard_normal(rows)
    hard = generator.random(rows) < 1 / (1 + np.exp(-told * belief))
    scores = np.stack([0.1 * generator.random(rows), 0.5 + 0.5 * generator.random(rows)], axis=1)
    truth = np.where(hard, scores[:, 1], scores[:, 0])
    scored = np.arange(rows) % 2 == 0
    return {
        "prompts": show(generator.standard_normal((rows, WIDTH)), scores, np.stack([-belief / 2, belief / 2], axis=1)),
        "instruction_ids": [f"instruction_{group}" for group in groups],
        "ids": [f"pair_{number:03d}" for number in range(rows)],
        "given": np.where(scored, hard, -1),
        "difficulty": np.where(scored, truth, np.nan),
        "truth": truth,
    }


def test_it_learns_which_answer_the_teacher_gives_and_how_hard_that_one_is() -> None:
    found = [within(world, predict(world), np.isnan(world["difficulty"])) for world in map(make_answers, [3.0, 0.0])]
    assert found[0] > 0.6
    assert abs(found[1]) < 0.3


def test_what_it_says_of_held_out_answers_is_what_new_ones_show() -> None:
    """Were a row's own answer told, held-out rows would look better than new ones."""
    found, claimed = [], []
    for seed in range(6):
        world = make_answers(1.0, seed)
        scored = np.isfinite(world["difficulty"])
        found.append(within(world, predict(world), ~scored))
        claimed.append(within(world, fit(world).held_out, scored))
    assert np.mean(claimed) == pytest.approx(np.mean(found), abs=0.1)


def test_too_few_rows_or_equal_scores_are_one_line() -> None:
    world = make_world(skill=0.5)
    few = np.where(np.arange(480) < 40, world["truth"], np.nan)
    with pytest.raises(UserError, match=r"40 scored rows of 1 instructions are too few .* difficulty\.proxy\.rows"):
        fit(world | {"difficulty": few})
    with pytest.raises(UserError, match="equally hard"):
        fit(world | {"difficulty": np.where(np.isnan(world["difficulty"]), np.nan, 0.5)})


def make_rows_of_many(instructions: int, scored: int, each: int = 6) -> dict[str, Any]:
    """Rows of so many instructions, the first few of each with a score that nothing foretells."""
    generator = np.random.default_rng(0)
    rows = instructions * each
    truth = generator.random(rows)
    return {
        "prompts": show(generator.standard_normal((rows, WIDTH))),
        "instruction_ids": [f"instruction_{row // each:03d}" for row in range(rows)],
        "ids": [f"pair_{row:04d}" for row in range(rows)],
        "given": np.full(rows, -1),
        "difficulty": np.where(np.arange(rows) % each < scored, truth, np.nan),
        "truth": truth,
    }


def test_a_row_an_instruction_is_too_few_however_many_instructions() -> None:
    with pytest.raises(UserError, match=r"200 scored rows of 200 instructions are too few"):
        fit(make_rows_of_many(200, scored=1))


def test_where_rows_of_an_instruction_are_all_alike_every_level_is_a_number() -> None:
    """Between instructions all of the variance, within none: what an instruction without a row is like stays open."""
    world = make_rows_of_many(40, scored=3)
    groups = np.repeat(np.arange(40), 6)
    world["difficulty"] = np.where(np.isnan(world["difficulty"]) | (groups == 0), np.nan, groups / 40)
    found = fit(world)
    assert found.proxy.heads.levels[0] == pytest.approx(np.nanmean(world["difficulty"]))
    np.testing.assert_allclose(found.proxy.heads.levels[1:], np.arange(1, 40) / 40)
    assert np.isfinite(predict(world)).all() and np.isfinite(found.unseen[np.isfinite(world["difficulty"])]).all()


def test_order_over_all_instructions_is_not_claimed_where_there_is_none() -> None:
    """Two rows an instruction: a level that a row went into would tell its score."""
    world = make_rows_of_many(150, scored=2)
    scored = np.isfinite(world["difficulty"])
    untied = 1e-9 * np.arange(scored.sum())
    claimed, in_sample = (
        spearmanr(predicted[scored] + untied, world["truth"][scored]).statistic
        for predicted in (fit(world).unseen, fit(world).held_out)
    )
    assert abs(claimed) < 0.15
    assert in_sample > claimed


def test_a_saved_proxy_predicts_the_same_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    world = make_world(skill=0.7)
    for name in ("one", "two"):
        save_proxy(fit(world).proxy, {"scorer_ids": ["scorer"]}, tmp_path / name)
    assert proxy_id(tmp_path / "one") == proxy_id(tmp_path / "two")
    assert {path.suffix for path in (tmp_path / "one").iterdir()} == {".json", ".safetensors"}
    loaded = load_proxy(tmp_path / "one").predict(world["prompts"], world["instruction_ids"])
    assert np.array_equal(loaded, predict(world))


def test_where_none_was_fitted_it_says_so(tmp_path: Path) -> None:
    save_nothing(tmp_path / "proxy")
    with pytest.raises(UserError, match=r"holds no proxy.*difficulty\.mode"):
        load_proxy(tmp_path / "proxy")
