"""Attributes to analytical perspectives: affinity propagation weighted by counts (method section 3).

Affinity propagation picks exemplars that maximise the net similarity

    preference x number of exemplars  +  sum over the others of w_i * s(i, exemplar of i)

with s(i, k) = -||v_i - v_k||^2. The official code weighs an attribute by repeating its point
w_i = 1 + floor(ln(1 + count)) times. Copies have similarity 0 to each other, so an exemplar costs its preference
once, its own copies ride along free, and a follower pays for each of its copies. Row i of the similarity matrix
times w_i, with the diagonal (the preference) left alone, states that same objective over n points: on the
released vocabulary a seventeenth of the numbers.

`relative` divides the weights by their mean, so that equal counts change nothing: `scaled` weights average 4.1 on that
vocabulary while the preference is a percentile of unweighted similarities, and most attributes end up alone. Copies are
ties, on which message passing can stand still long before it has converged (`propagate` says what is done about it).
docs/method.md has the figures.
"""

import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compeffdist.errors import UserError
from compeffdist.params import ClustersParams
from compeffdist.records import Attribute, Perspective

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SIMILARITY_DECIMALS = 6
"""Embeddings differ in their last bits between batches and machines (`embedding`): nothing finer decides a cluster."""
FIGURE_DECIMALS = 4
"""Of what is derived from similarities and written, so that the same clusters are the same bytes."""
TIE_BREAK = 1e-3
"""How far, at most, a rarer attribute's preference lies below the most frequent one's, relative to the preference.
Message passing cannot settle exact ties, such as two names with the same embedding."""


@dataclass(frozen=True)
class Exemplars:
    """What affinity propagation found."""

    exemplar_of: Integers
    """(n,) index of each point's exemplar; an exemplar is its own."""
    iterations: int
    """Of the last run of message passing; 0 for a trivial solution."""
    convergence_iterations: int
    """Iterations without a change of exemplars that ended that run; 0 for a trivial solution."""
    net_similarity: float
    """Of the objective in the module's docstring, whatever the engine ran on."""


def cluster_attributes(
    attributes: Sequence[Attribute], vectors: NDArray[np.floating[Any]], params: ClustersParams, seed: int
) -> tuple[list[Perspective], dict[str, Any]]:
    """Group attributes into perspectives.

    Args:
        attributes: n attributes; their order does not matter.
        vectors: (n, d), floats, row i of unit length for attribute i.
        seed: breaks exact ties of message passing.

    Returns:
        Perspectives, largest total count first (ties by id), every attribute in exactly one; and diagnostics:
        iterations, preference, sizes, share of singletons, net similarity.

    Raises:
        UserError: no attributes; two of one name; affinity propagation did not converge.
    """
    if not attributes:
        raise UserError("no attributes to cluster: lower attributes.more_than or raise attributes.texts")
    order = sorted(range(len(attributes)), key=lambda index: attributes[index].id)
    ordered = [attributes[index] for index in order]
    for one, other in pairwise(ordered):
        if one.id == other.id:
            raise UserError(f"attribute {other.name!r} is listed twice; add up its counts")
    similarity = pairwise_similarity(vectors[order])
    # of all entries of the unweighted matrix, zero diagonal included
    preference = float(np.percentile(similarity, params.preference_percentile))
    weights = count_weights([attribute.count for attribute in ordered], params.weighting)
    found = propagate(similarity, weights, preference, params, seed)
    perspectives = _perspectives(ordered, similarity, found.exemplar_of)
    return perspectives, _diagnostics(perspectives, found, preference, params)


def pairwise_similarity(vectors: NDArray[np.floating[Any]]) -> Floats:
    """(n, n) minus squared Euclidean distances of unit rows, 2 cos - 2, rounded; the diagonal is exactly 0. Raises
    ValueError if the rows are not of unit length."""
    vectors = np.asarray(vectors, dtype=np.float64)
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        raise ValueError("vectors must have rows of unit length")
    similarity = np.minimum(np.round(2.0 * (vectors @ vectors.T) - 2.0, SIMILARITY_DECIMALS), 0.0)
    np.fill_diagonal(similarity, 0.0)
    return np.asarray(similarity)


def count_weights(counts: Sequence[int], weighting: str) -> Floats:
    """(n,) weights w_i of the objective. `none`: ones. `scaled` and `duplicated`: 1 + floor(ln(1 + count)),
    as official. `relative`: those divided by their mean."""
    if weighting == "none":
        return np.ones(len(counts))
    weights = 1.0 + np.floor(np.log1p(np.asarray(counts, dtype=np.float64)))
    return np.asarray(weights / weights.mean() if weighting == "relative" else weights)


def propagate(similarity: Floats, weights: Floats, preference: float, params: ClustersParams, seed: int) -> Exemplars:
    """Affinity propagation on the weighted objective. Raises UserError if it has not converged by `max_iterations`.

    A stop at less than a trivial solution gives (every point alone, or one cluster) was no convergence: it is
    run again with twice the `convergence_iterations`, up to half of `max_iterations`. Should a trivial
    solution still be better, as can be with a handful of points, it is the answer.

    `duplicated` needs four matrices of (sum w)^2 doubles: 1.7 GiB on the released vocabulary.
    """
    trivial = _trivial_exemplars(similarity, weights, preference)
    patience = params.convergence_iterations
    while True:
        found = _propagate_once(similarity, weights, preference, params, patience, seed)
        if found.net_similarity >= trivial.net_similarity or 4 * patience > params.max_iterations:
            return max(found, trivial, key=lambda exemplars: round(exemplars.net_similarity, SIMILARITY_DECIMALS))
        patience *= 2


def _propagate_once(
    similarity: Floats, weights: Floats, preference: float, params: ClustersParams, patience: int, seed: int
) -> Exemplars:
    points = np.arange(len(similarity))
    if params.weighting == "duplicated":
        points = np.concatenate([points, np.repeat(points, weights.astype(np.int64) - 1)])
        matrix, preferences = similarity[np.ix_(points, points)], np.full(len(points), preference)
    else:
        rank = np.argsort(np.argsort(-weights, kind="stable"), kind="stable")
        matrix = similarity * weights[:, None]
        preferences = preference * (1.0 + TIE_BREAK * rank / len(rank))
    centres, labels, iterations = _run_engine(matrix, preferences, params, patience, seed)
    exemplar_of = points[centres[labels[: len(similarity)]]]
    # a point may follow an equal twin while a copy of its own is an exemplar
    exemplar_of[np.unique(exemplar_of)] = np.unique(exemplar_of)
    return Exemplars(exemplar_of, iterations, patience, net_similarity(similarity, weights, preference, exemplar_of))


def _trivial_exemplars(similarity: Floats, weights: Floats, preference: float) -> Exemplars:
    """The better of every point alone and all points behind the one best exemplar."""
    alone = np.arange(len(similarity))
    together = np.full(len(similarity), int(np.argmax(weights @ similarity)))
    found = [Exemplars(each, 0, 0, net_similarity(similarity, weights, preference, each)) for each in (together, alone)]
    return max(found, key=lambda exemplars: exemplars.net_similarity)


def _run_engine(
    matrix: Floats, preferences: Floats, params: ClustersParams, patience: int, seed: int
) -> tuple[Integers, Integers, int]:
    """Exemplar indices (k,), labels (n,) into them, and iterations. Overwrites `matrix`."""
    from sklearn.cluster import AffinityPropagation
    from sklearn.exceptions import ConvergenceWarning

    engine = AffinityPropagation(
        affinity="precomputed",
        preference=preferences,
        damping=params.damping,
        max_iter=params.max_iterations,
        convergence_iter=patience,
        random_state=seed,
        copy=False,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        engine.fit(matrix)
    # the engine also answers after a failure, with all labels -1 or with whatever it had at the time
    failed = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    if failed or engine.labels_.min() < 0:
        raise UserError(
            f"affinity propagation over {len(matrix)} points did not converge in {params.max_iterations} "
            f"iterations: raise clusters.damping (now {params.damping:g}, below 1) or clusters.max_iterations"
        )
    return np.asarray(engine.cluster_centers_indices_), np.asarray(engine.labels_), int(engine.n_iter_)


def net_similarity(similarity: Floats, weights: Floats, preference: float, exemplar_of: Integers) -> float:
    """The objective of the module's docstring for a given choice of exemplars (n,)."""
    followed = similarity[np.arange(len(similarity)), exemplar_of]
    return float(preference * len(np.unique(exemplar_of)) + weights @ followed)


# ---------------------------------------------------------------- perspectives


def _perspectives(attributes: Sequence[Attribute], similarity: Floats, exemplar_of: Integers) -> list[Perspective]:
    groups: dict[int, list[int]] = {}
    for index, exemplar in enumerate(exemplar_of.tolist()):
        groups.setdefault(exemplar, []).append(index)
    made = [_perspective(attributes, similarity, exemplar, members) for exemplar, members in groups.items()]
    return sorted(made, key=lambda perspective: (-perspective.total_count, perspective.id))


def _perspective(
    attributes: Sequence[Attribute], similarity: Floats, exemplar: int, members: Sequence[int]
) -> Perspective:
    # of equally frequent members the one most like the exemplar names the perspective
    members = sorted(
        members, key=lambda index: (-attributes[index].count, -float(similarity[index, exemplar]), attributes[index].id)
    )
    counts = [attributes[index].count for index in members]
    # s = 2 cos - 2 on unit vectors
    cosines = [1.0 + float(similarity[index, exemplar]) / 2.0 for index in members]
    others = [cosine for index, cosine in zip(members, cosines, strict=True) if index != exemplar]
    return Perspective(
        member_ids=[attributes[index].id for index in members],
        member_names=[attributes[index].name for index in members],
        member_counts=counts,
        exemplar=attributes[exemplar].name,
        total_count=sum(counts),
        coherence=round(statistics.fmean(cosines, weights=counts), FIGURE_DECIMALS),
        member_coherence=round(statistics.fmean(others or [1.0]), FIGURE_DECIMALS),
    )


def _diagnostics(
    perspectives: Sequence[Perspective], found: Exemplars, preference: float, params: ClustersParams
) -> dict[str, Any]:
    sizes = [len(perspective.member_ids) for perspective in perspectives]
    return {
        "attributes": sum(sizes),
        "clusters": len(sizes),
        "converged": True,  # anything else was raised
        "iterations": found.iterations,
        "convergence_iterations": found.convergence_iterations,
        "net_similarity": round(found.net_similarity, FIGURE_DECIMALS),
        "preference": round(preference, FIGURE_DECIMALS),
        "preference_percentile": params.preference_percentile,
        "damping": params.damping,
        "weighting": params.weighting,
        "sizes": {"min": min(sizes), "median": statistics.median(sizes), "max": max(sizes)},
        "singletons_share": round(sizes.count(1) / len(sizes), FIGURE_DECIMALS),
        "coherence": coherence_of(perspectives),
        "member_coherence": member_coherence_of(perspectives),
        "lowest_member_coherence": next((p.member_coherence for p in loosest(perspectives)), None),
    }


def coherence_of(perspectives: Sequence[Perspective]) -> float | None:
    """Cosine similarity of attributes to their exemplar, mean over mentions; None without any."""
    return _weighted_mean([(p.coherence, p.total_count) for p in perspectives])


def member_coherence_of(perspectives: Sequence[Perspective]) -> float | None:
    """Cosine similarity of attributes to the exemplar they follow, mean over them; None if none follows another."""
    return _weighted_mean(
        [(p.member_coherence, len(p.member_ids) - 1) for p in perspectives if p.member_coherence is not None]
    )


def _weighted_mean(weighted: Sequence[tuple[float, int]]) -> float | None:
    values, weights = [value for value, _ in weighted], [weight for _, weight in weighted]
    return round(statistics.fmean(values, weights), FIGURE_DECIMALS) if sum(weights) else None


def loosest(perspectives: Sequence[Perspective]) -> list[Perspective]:
    """Perspectives of several attributes, those whose members are least like their exemplar first."""
    several = [p for p in perspectives if len(p.member_ids) > 1 and p.member_coherence is not None]
    return sorted(several, key=lambda p: (p.member_coherence, p.id))
