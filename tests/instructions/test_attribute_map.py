"""The map of attributes: near what is alike, the same each time, bounded."""

import numpy as np
import pytest

from compeffdist.instructions import attribute_map as maps
from compeffdist.instructions.attribute_map import attribute_map, principal_places
from compeffdist.instructions.cluster_attributes import Floats, pairwise_similarity
from compeffdist.records import Attribute
from tests.factories import make_attribute


def groups(of: int, size: int, spread: float = 0.05) -> Floats:
    """(of x size, 16) unit vectors in tight groups."""
    generator = np.random.default_rng(3)
    vectors = np.repeat(generator.normal(size=(of, 16)), size, axis=0)
    vectors = vectors + spread * generator.normal(size=vectors.shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1)[:, None])


def named(count: int) -> list[Attribute]:
    return [make_attribute(f"attribute {number}", 100 + count - number) for number in range(count)]


def test_attributes_of_one_group_lie_together() -> None:
    attributes = named(40)
    found = attribute_map(attributes, groups(8, 5), seed=1)
    places = np.array([found[one.id] for one in attributes])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 5 == np.arange(40) // 5).all()
    assert np.abs(places).max() == pytest.approx(1.0)


def test_neither_order_nor_the_last_bits_of_vectors_move_the_map() -> None:
    attributes, vectors = named(20), groups(4, 5)
    moved = vectors[::-1] + 1e-13 * np.random.default_rng(0).normal(size=vectors.shape)
    assert attribute_map(attributes[::-1], moved, seed=1) == attribute_map(attributes, vectors, seed=1)


def test_of_too_many_the_most_frequent_are_on_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "MOST_POINTS", 12)
    attributes = named(20)
    assert set(attribute_map(attributes, groups(4, 5), seed=1)) == {one.id for one in attributes[:12]}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8])
def test_a_few_attributes_have_a_map_as_well(count: int) -> None:
    found = attribute_map(named(count), groups(max(count, 1), 1)[:count], seed=1)
    assert len(found) == count and np.isfinite(np.array(list(found.values()))).all()


def test_names_that_are_equally_embedded_lie_on_one_place() -> None:
    places = list(attribute_map(named(3), np.repeat(groups(1, 1), 3, axis=0), seed=1).values())
    assert places == [[0.0, 0.0]] * 3


def test_places_along_the_components_keep_the_distances_that_fit_in_two_dimensions() -> None:
    angles = np.linspace(0.1, 1.2, 5)
    flat = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    places = principal_places(pairwise_similarity(flat))
    squared = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    assert squared == pytest.approx(-pairwise_similarity(flat), abs=1e-4)
