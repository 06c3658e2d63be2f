"""Clustering attributes into perspectives."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compeffdist.errors import UserError
from compeffdist.instructions import cluster_attributes as clusters
from compeffdist.instructions.cluster_attributes import cluster_attributes
from compeffdist.params import ClustersParams
from compeffdist.record_files import read_perspectives, write_perspectives
from compeffdist.records import Attribute
from tests.factories import make_attribute

WEIGHTINGS = ("none", "relative", "scaled", "duplicated")


def settings(**changes: Any) -> ClustersParams:
    return ClustersParams(preference_percentile=0.5).model_copy(update=changes)


def unit(rows: Any) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def blobs(groups: int, size: int, spread: float = 0.05, seed: int = 0) -> tuple[list[Attribute], np.ndarray]:
    """`groups` well separated groups of `size` attributes, named g<group>m<member>, counts all different."""
    rng = np.random.default_rng(seed)
    centres = np.eye(groups)
    rows = np.repeat(centres, size, axis=0) + rng.normal(scale=spread, size=(groups * size, groups))
    names = [f"g{g}m{m}" for g in range(groups) for m in range(size)]
    return [make_attribute(name, 11 + i) for i, name in enumerate(names)], unit(rows)


def groups_of(perspectives: Any) -> set[frozenset[str]]:
    return {frozenset(perspective.member_names) for perspective in perspectives}


@pytest.mark.parametrize("weighting", ["none", "relative"])
def test_separated_groups_become_one_perspective_each(weighting: str) -> None:
    attributes, vectors = blobs(5, 8)
    perspectives, diagnostics = cluster_attributes(attributes, vectors, settings(weighting=weighting), seed=1)
    assert groups_of(perspectives) == {frozenset(f"g{g}m{m}" for m in range(8)) for g in range(5)}
    assert diagnostics["clusters"] == 5 and diagnostics["sizes"] == {"min": 8, "median": 8, "max": 8}
    assert diagnostics["singletons_share"] == 0 and 0 < diagnostics["iterations"] < 1000


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_every_attribute_is_in_exactly_one_perspective_with_its_exemplar(weighting: str) -> None:
    attributes, vectors = blobs(4, 6, spread=0.4)
    perspectives, diagnostics = cluster_attributes(attributes, vectors, settings(weighting=weighting), seed=1)
    members = [member for perspective in perspectives for member in perspective.member_ids]
    assert sorted(members) == sorted(a.id for a in attributes)
    totals = [perspective.total_count for perspective in perspectives]
    assert totals == sorted(totals, reverse=True) and sum(totals) == sum(a.count for a in attributes)
    for perspective in perspectives:
        assert perspective.exemplar in perspective.member_names
        assert perspective.member_counts == sorted(perspective.member_counts, reverse=True)
    assert diagnostics["attributes"] == len(attributes)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_order_of_attributes_does_not_matter(weighting: str) -> None:
    attributes, vectors = blobs(4, 6, spread=0.4)
    order = np.random.default_rng(3).permutation(len(attributes))
    params = settings(weighting=weighting)
    shuffled = cluster_attributes([attributes[i] for i in order], vectors[order], params, seed=1)
    assert shuffled == cluster_attributes(attributes, vectors, params, seed=1)


def best_net_similarity(similarity: np.ndarray, weights: np.ndarray, preference: float) -> float:
    """By trying every set of exemplars: a follower goes to its most similar exemplar."""
    points = range(len(similarity))
    best = -np.inf
    for size in range(1, len(similarity) + 1):
        for exemplars in itertools.combinations(points, size):
            chosen = similarity[:, exemplars].max(axis=1)
            net = preference * size + sum(weights[i] * chosen[i] for i in points if i not in exemplars)
            best = max(best, float(net))
    return best


@pytest.mark.parametrize("seed", range(5))
def test_scaled_rows_state_the_same_objective_as_duplicated_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = clusters.pairwise_similarity(unit(rng.normal(size=(5, 3))))
    copies = rng.integers(1, 4, size=5)
    owners = np.repeat(np.arange(5), copies)
    preference = float(np.percentile(similarity, 30))
    on_points = best_net_similarity(similarity, copies.astype(float), preference)
    on_copies = best_net_similarity(similarity[np.ix_(owners, owners)], np.ones(len(owners)), preference)
    assert on_points == pytest.approx(on_copies)


@pytest.mark.parametrize("seed", range(5))
def test_message_passing_comes_close_to_the_best_exemplars_and_reports_their_net_similarity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = clusters.pairwise_similarity(unit(rng.normal(size=(9, 3))))
    weights = rng.integers(1, 6, size=9).astype(float)
    preference = float(np.percentile(similarity, 10))
    found = clusters.propagate(
        similarity, weights, preference, settings(weighting="scaled", convergence_iterations=100), 1
    )
    assert found.net_similarity == pytest.approx(best_net_similarity(similarity, weights, preference), rel=0.03)
    followers = [i for i in range(9) if found.exemplar_of[i] != i]
    paid = sum(weights[i] * similarity[i, found.exemplar_of[i]] for i in followers)
    assert found.net_similarity == pytest.approx(preference * (9 - len(followers)) + paid)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("seed", range(8))
def test_no_result_is_worse_than_every_attribute_alone_or_all_in_one(weighting: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(6, 3))[rng.integers(0, 6, size=10)])
    attributes = [make_attribute(f"a{i}", int(np.exp(rng.uniform(0, 6)))) for i in range(10)]
    params = settings(weighting=weighting)
    _, diagnostics = cluster_attributes(attributes, vectors, params, seed=1)
    weights = clusters.count_weights([a.count for a in attributes], weighting)
    similarity = clusters.pairwise_similarity(vectors)
    alone = diagnostics["preference"] * 10
    together = diagnostics["preference"] + (weights @ similarity).max()
    assert diagnostics["net_similarity"] >= max(alone, together) - 1e-4


def test_equal_counts_change_nothing_under_relative_weights_but_split_groups_under_scaled_ones() -> None:
    _, vectors = blobs(4, 6, spread=0.3)
    attributes = [make_attribute(f"a{i}", 5000) for i in range(24)]
    unweighted, _ = cluster_attributes(attributes, vectors, settings(weighting="none"), seed=1)
    relative, _ = cluster_attributes(attributes, vectors, settings(weighting="relative"), seed=1)
    scaled, _ = cluster_attributes(attributes, vectors, settings(weighting="scaled"), seed=1)
    assert groups_of(relative) == groups_of(unweighted)
    assert len(scaled) > len(unweighted)


def test_a_frequent_attribute_is_preferred_as_exemplar() -> None:
    vectors = unit([[1, 0.1, 0], [1, 0, 0], [1, -0.1, 0], [0, 0.1, 1], [0, 0, 1], [0, -0.1, 1]])
    counts = [30000, 1, 1, 1, 1, 1]
    attributes = [make_attribute(f"a{i}", count) for i, count in enumerate(counts)]
    plain, _ = cluster_attributes(attributes, vectors, settings(weighting="none"), seed=1)
    weighted, _ = cluster_attributes(attributes, vectors, settings(weighting="relative"), seed=1)
    assert {p.exemplar for p in plain} == {"a1", "a4"}
    assert {p.exemplar for p in weighted} == {"a0", "a4"}


def test_weights_are_one_plus_the_floor_of_the_logarithm() -> None:
    counts = [1, 11, 26, 11702]
    assert clusters.count_weights(counts, "scaled").tolist() == [1, 3, 4, 10]
    assert clusters.count_weights(counts, "relative").mean() == pytest.approx(1)
    assert clusters.count_weights(counts, "none").tolist() == [1, 1, 1, 1]


def test_the_preference_is_a_percentile_of_the_unweighted_matrix_with_its_diagonal() -> None:
    vectors = unit([[1, 0], [0, 1], [-1, 0]])
    similarity = clusters.pairwise_similarity(vectors)
    np.testing.assert_allclose(similarity, [[0, -2, -4], [-2, 0, -2], [-4, -2, 0]], atol=1e-6)
    named = [make_attribute(name) for name in ("left", "mid", "right")]
    for percentile, preference in ((0, -4), (50, -2), (100, 0)):
        _, diagnostics = cluster_attributes(named, vectors, settings(preference_percentile=percentile), 1)
        assert diagnostics["preference"] == preference


def test_coherence_is_the_count_weighted_mean_cosine_to_the_exemplar() -> None:
    vectors = unit([[1, 0, 0], [0.8, 0.6, 0], [0.8, -0.6, 0]])
    attributes = [make_attribute("mid", 1000), make_attribute("left", 30), make_attribute("right", 10)]
    (only,), _ = cluster_attributes(attributes, vectors, settings(weighting="none"), seed=1)
    assert only.exemplar == "mid" and only.head == "mid"
    assert only.coherence == pytest.approx((1000 * 1 + 40 * 0.8) / 1040, abs=1e-5)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_degenerate_inputs_give_sensible_perspectives(weighting: str) -> None:
    params = settings(weighting=weighting)
    one, _ = cluster_attributes([make_attribute("tone")], unit([[1, 2]]), params, seed=1)
    assert groups_of(one) == {frozenset({"tone"})} and one[0].coherence == 1.0
    two, _ = cluster_attributes(
        [make_attribute("tone"), make_attribute("mood")], unit([[1, 2], [2, 1]]), params, seed=1
    )
    assert sorted(name for p in two for name in p.member_names) == ["mood", "tone"]
    same = [make_attribute(f"a{i}", 10 + i) for i in range(7)]
    together, _ = cluster_attributes(same, unit([[1, 2, 3]] * 7), params, seed=1)
    assert len(together) == 1 and together[0].coherence == 1.0


@pytest.mark.parametrize("weighting", ["none", "relative", "scaled"])
def test_names_with_the_same_embedding_come_together(weighting: str) -> None:
    """Exact ties, which plain message passing leaves unsettled."""
    attributes = [make_attribute(f"a{i}") for i in range(4)]
    vectors = unit(np.eye(2)[[0, 0, 1, 1]])
    params = settings(weighting=weighting, convergence_iterations=100)
    perspectives, _ = cluster_attributes(attributes, vectors, params, seed=1)
    assert groups_of(perspectives) == {frozenset({"a0", "a1"}), frozenset({"a2", "a3"})}


def test_no_attributes_is_a_user_error_that_says_what_to_change() -> None:
    with pytest.raises(UserError, match=r"attributes\.more_than"):
        cluster_attributes([], np.zeros((0, 3), dtype=np.float32), settings(), seed=1)


def test_a_name_listed_twice_is_refused() -> None:
    with pytest.raises(UserError, match="'tone' is listed twice"):
        cluster_attributes(
            [make_attribute("tone"), make_attribute("tone", 3)], unit([[1, 0], [0, 1]]), settings(), seed=1
        )


def test_rows_that_are_not_of_unit_length_are_refused() -> None:
    with pytest.raises(ValueError, match="unit length"):
        cluster_attributes([make_attribute("tone")], np.array([[3.0, 4.0]], dtype=np.float32), settings(), seed=1)


def test_no_convergence_is_a_user_error_that_says_what_to_try() -> None:
    attributes, vectors = blobs(4, 6, spread=0.4)
    with pytest.raises(UserError, match=r"did not converge in 20 iterations: raise clusters\.damping .*max_iterations"):
        cluster_attributes(attributes, vectors, settings(max_iterations=20), seed=1)


def test_perspectives_survive_writing_and_reading(tmp_path: Path) -> None:
    attributes, vectors = blobs(3, 4)
    perspectives, diagnostics = cluster_attributes(attributes, vectors, settings(), seed=1)
    target = tmp_path / "clusters.json"
    write_perspectives(target, perspectives, diagnostics)
    assert read_perspectives(target) == perspectives
    assert json.loads(target.read_text())["diagnostics"] == diagnostics


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no list of perspectives"),
        ('{"perspectives": [3]}', "holds no list of perspectives"),
        ('{"perspectives": [{"id": "x", "exemplar": "x"}]}', "perspective 1: .*missing"),
        ('{"perspectives": [{"id": "x", "colour": "x"}]}', "perspective 1: unknown field 'colour'"),
    ],
)
def test_a_broken_clusters_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    source = tmp_path / "clusters.json"
    source.write_text(content)
    with pytest.raises(UserError, match=f"clusters.json: {message}"):
        read_perspectives(source)


def test_coherence_counts_mentions_and_member_coherence_the_others_each_once() -> None:
    names = {"head": 1.0, "near": 0.9, "far": 0.5}
    counts = {"head": 1000, "near": 2, "far": 1}
    rows = unit([[1.0, 0.0], *([cos, np.sqrt(1 - cos**2)] for cos in (0.9, 0.5))])
    attributes = [make_attribute(name, counts[name]) for name in names]
    (found,), diagnostics = cluster_attributes(attributes, rows, settings(weighting="none"), seed=1)
    of = {name: float(rows[place] @ rows[list(names).index(found.exemplar)]) for place, name in enumerate(names)}
    others = [cosine for name, cosine in of.items() if name != found.exemplar]
    assert found.member_coherence == pytest.approx(np.mean(others), abs=1e-4)
    assert found.coherence == pytest.approx(sum(of[n] * counts[n] for n in of) / sum(counts.values()), abs=1e-4)
    assert diagnostics["member_coherence"] == diagnostics["lowest_member_coherence"] == found.member_coherence
    assert diagnostics["coherence"] == found.coherence


def test_an_attribute_alone_is_coherent_and_counts_for_no_mean() -> None:
    (alone,), diagnostics = cluster_attributes([make_attribute("tone")], np.array([[1.0, 0.0]]), settings(), seed=1)
    assert (alone.coherence, alone.member_coherence) == (1.0, 1.0)
    assert (diagnostics["member_coherence"], diagnostics["lowest_member_coherence"]) == (None, None)


def written(vectors: np.ndarray, target: Path) -> bytes:
    attributes, _ = blobs(6, 12, spread=0.2)
    write_perspectives(target, *cluster_attributes(attributes, vectors, settings(), seed=1))
    return target.read_bytes()


def test_the_last_bits_of_an_embedding_leave_the_artefact_as_it_is(tmp_path: Path) -> None:
    _, vectors = blobs(6, 12, spread=0.2)
    exact = vectors.astype(np.float64)
    as_it_is = written(exact, tmp_path / "a.json")
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(scale=1e-9, size=exact.shape)
        assert written(exact + noise, tmp_path / "b.json") == as_it_is
    rough = np.random.default_rng(9).normal(scale=1e-6, size=exact.shape)
    assert written(exact + rough, tmp_path / "b.json") == as_it_is
