"""Attributes in two dimensions, for people to look at: t-SNE of their embeddings. Nothing rests on it.

Two principal components put few attributes next to one of their own perspective; t-SNE looks at neighbours alone. It
starts from those components, computes every pair (O(n^2), so that MOST_POINTS bounds it), and is given similarities
rounded as the clustering's are: one machine draws the same map each time; another may draw another, since small
differences grow.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compeffdist.instructions.cluster_attributes import SIMILARITY_DECIMALS, Floats, pairwise_similarity
from compeffdist.records import Attribute

MOST_POINTS = 600
"""Attributes on the map, most frequent first."""
ITERATIONS = 500
NEIGHBOURS = 10
"""Perplexity: about how many neighbours a point has an eye on."""
FEWEST = 8
"""Of fewer, the components are the map."""
DECIMALS = 4


def attribute_map(
    attributes: Sequence[Attribute], vectors: NDArray[np.floating[Any]], seed: int
) -> dict[str, list[float]]:
    """Attribute id -> [x, y], both within [-1, 1], in the order of ids.

    Args:
        attributes: n attributes; their order does not matter.
        vectors: (n, d), row i of unit length for attribute i.
    """
    shown = sorted(range(len(attributes)), key=lambda place: (-attributes[place].count, attributes[place].id))
    shown = sorted(shown[:MOST_POINTS], key=lambda place: attributes[place].id)
    if not shown:
        return {}
    similarity = pairwise_similarity(np.asarray(vectors)[shown])
    places = principal_places(similarity)
    if len(shown) >= FEWEST:
        places = _neighbours(similarity, places, seed)
    places = places - (places.max(axis=0) + places.min(axis=0)) / 2
    places = np.round(places / max(float(np.abs(places).max()), 1e-9), DECIMALS) + 0.0
    return {attributes[place].id: xy for place, xy in zip(shown, places.tolist(), strict=True)}


def principal_places(similarity: Floats) -> Floats:
    """(n, 2) coordinates along the first two principal components, from (n, n) minus squared distances. The sign of
    each, which is anybody's choice, makes its largest coordinate positive."""
    centred = similarity - similarity.mean(axis=0) - similarity.mean(axis=1)[:, None] + similarity.mean()
    values, vectors = np.linalg.eigh(centred / 2)
    places = np.zeros((len(similarity), 2))
    for axis in range(min(2, len(similarity))):
        along = vectors[:, -1 - axis] * np.sqrt(max(float(values[-1 - axis]), 0.0))
        places[:, axis] = along * (np.sign(along[np.argmax(np.abs(along))]) or 1.0)
    return np.round(places, SIMILARITY_DECIMALS)


def _neighbours(similarity: Floats, start: Floats, seed: int) -> Floats:
    from sklearn.manifold import TSNE

    engine = TSNE(
        metric="precomputed",
        method="exact",
        perplexity=min(NEIGHBOURS, (len(similarity) - 1) / 3),
        init=start / max(float(start[:, 0].std()), 1e-9) * 1e-4,
        max_iter=ITERATIONS,
        random_state=seed,
    )
    return np.asarray(engine.fit_transform(np.sqrt(-similarity)), dtype=np.float64)
