"""What must hold of the perspectives: neither one heap nor one attribute each, coherent, every attribute in one.

Bounds grow with the vocabulary: a sound clustering of 18 attributes has a few perspectives, one of 1,800 about 180, so
the fewest goes with the square root and the most with the number itself.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from compeffdist.artefacts import ATTRIBUTES, CLUSTERS
from compeffdist.files import read_json
from compeffdist.gates.expected import (
    HOLDS,
    Bound,
    Expectation,
    accounted,
    aggregate,
    among,
    between,
    figure,
    no_row,
    row_count,
    share,
    stated,
)
from compeffdist.gates.figures import Figures, expect_figures
from compeffdist.gates.gate import Inputs, Rows
from compeffdist.gates.outcome import Distribution
from compeffdist.given import Given
from compeffdist.instructions.cluster_attributes import FIGURE_DECIMALS, loosest
from compeffdist.records import Perspective, by_id

GUARDS = (CLUSTERS,)

COLLAPSE = (
    "the clustering has collapsed: look at the counts (attributes.more_than), at clusters.damping, and at "
    "clusters.preference_percentile (higher gives more perspectives)"
)
EXPLOSION = "most attributes were left alone: {lower}, look at clusters.weighting, or raise attributes.more_than"
NOT_CONVERGED = "message passing had not converged: raise clusters.damping or clusters.max_iterations"
LOOSE = "{higher}, or attributes.more_than, or look at the embedder"
APART = f"members lie far from their exemplar, over mentions: {LOOSE}"
FREQUENCY = "look at data/attributes.parquet, attributes.more_than and attributes.texts"
ONE_THING = f"the teacher says one thing of nearly every text: {FREQUENCY}"
CHANCE = f"the vocabulary is mostly chance: {FREQUENCY}"
ITS_OWN = "a perspective says of its members what data/attributes.parquet does: run dvc repro -f cluster_attributes"
IN_ONE = "every attribute belongs to exactly one perspective: run dvc repro -f cluster_attributes"
SHOWN, SHOWN_MEMBERS = 10, 8


class Diagnostics(Figures):
    """Of the message passing."""

    iterations: int | None = None
    preference_percentile: float | None = None


class Clustered(Figures):
    """What stands beside the perspectives."""

    diagnostics: Diagnostics = Diagnostics()


@aggregate
def largest_share(numbers: Sequence[int]) -> float | None:
    """Share of the largest of some numbers in their sum."""
    return max(numbers) / sum(numbers) if sum(numbers) else None


@aggregate
def weighted_mean(values: Sequence[float], weights: Sequence[int]) -> float | None:
    """Mean by weights."""
    return round(fmean(values, weights), FIGURE_DECIMALS) if sum(weights) else None


def rows(given: Given) -> Rows:
    cosines = (between(name, -1.0, 1.0) for name in ("coherence", "member_coherence"))
    return {ATTRIBUTES: [between("count", 1, None), between("text_count", 1, None)], CLUSTERS: tuple(cosines)}


def expectations(seen: Inputs) -> list[Expectation]:
    clustered = read_json(seen.given.path(CLUSTERS))
    diagnostics = expect_figures(CLUSTERS, clustered, Clustered, "gate clusters").get("diagnostics", {})
    steps = _steps(diagnostics.get("preference_percentile"))
    members = [member for row in seen[CLUSTERS].records for member in row.member_ids]
    return [
        _number_of_perspectives(seen, steps),
        stated("converged", int(diagnostics.get("converged") is True), HOLDS, NOT_CONVERGED),
        stated("iterations", diagnostics.get("iterations")),
        *_shape(seen, steps),
        *_members(seen, steps),
        *_frequencies(seen),
        _of_members(seen),
        *accounted("attributes", [row.id for row in seen[ATTRIBUTES].records], members, IN_ONE),
    ]


def distributions(seen: Inputs) -> list[Distribution]:
    perspectives = seen[CLUSTERS].records
    sizes = Counter({perspective.head: len(perspective.member_ids) for perspective in perspectives})
    counts = {attribute.name: attribute.count for attribute in seen[ATTRIBUTES].records}
    return [
        Distribution.of_counts("Attributes by perspective, named by its most frequent", sizes),
        Distribution.of_counts("Counts by attribute", counts),
        _lowest(perspectives),
    ]


def _lowest(perspectives: Sequence[Perspective]) -> Distribution:
    """The perspectives to look at first."""
    return Distribution(
        "Perspectives whose members are least like their exemplar: similarity over members, and over mentions",
        ["members", "mentions"],
        [
            (", ".join(p.member_names[:SHOWN_MEMBERS]), [max(p.member_coherence or 0.0, 0.0), max(p.coherence, 0.0)])
            for p in loosest(perspectives)[:SHOWN]
        ],
    )


def _steps(percentile: float | None) -> dict[str, str]:
    """How to move the percentile either way: a little, since a large step up leaves most attributes alone, and one down
    makes heaps of them."""
    moves = {"higher": ("raise", 1), "lower": ("lower", -1)}
    if percentile is None:
        return {way: f"{verb} clusters.preference_percentile by a small step" for way, (verb, _) in moves.items()}
    step = max(min(percentile, 100.0 - percentile) / 4, 0.1)
    return {
        way: f"{verb} clusters.preference_percentile by a small step, from {percentile:g} to about "
        f"{min(max(percentile + sign * step, 0.0), 100.0):.3g}"
        for way, (verb, sign) in moves.items()
    }


def _number_of_perspectives(seen: Inputs, steps: Mapping[str, str]) -> Expectation:
    bounds, vocabulary = seen.given.params.gates.clusters, seen[ATTRIBUTES].count
    fewest = max(math.floor(bounds.fewest_per_root * math.sqrt(vocabulary)), 1)
    most = max(math.ceil(bounds.most_per_attribute * vocabulary), fewest)
    collapsed = seen[CLUSTERS].count < fewest
    bound = Bound(fewest, most, param=seen.param("fewest_per_root" if collapsed else "most_per_attribute"))
    return row_count(
        "perspectives", seen[CLUSTERS].by("id"), bound, COLLAPSE if collapsed else EXPLOSION.format(**steps)
    )


def _shape(seen: Inputs, steps: Mapping[str, str]) -> list[Expectation]:
    rows, perspectives, bounds = seen[CLUSTERS].by("id"), seen[CLUSTERS].records, seen.given.params.gates.clusters
    most = seen.most("largest_share")
    sizes = [len(perspective.member_ids) for perspective in perspectives]
    alone = [size == 1 for size in sizes]
    loose = [p.id for p in sorted(perspectives, key=lambda p: p.coherence) if p.coherence < bounds.coherence]
    largest = [p.id for p, size in zip(perspectives, sizes, strict=True) if size == max(sizes)]
    columns = ["coherence", "total_count"]
    return [
        figure("largest_perspective_share", rows, largest_share, {"size": sizes}, most, COLLAPSE, lambda: largest),
        share("singleton_share", rows, alone, seen.most("singleton_share"), EXPLOSION.format(**steps)),
        figure(
            "coherence", rows, weighted_mean, columns, seen.least("coherence"), APART.format(**steps), lambda: loose
        ),
    ]


def _members(seen: Inputs, steps: Mapping[str, str]) -> list[Expectation]:
    """Coherence with each attribute counting once: over mentions, a frequent name hides a heap of rare ones."""
    rows, several, bound = seen[CLUSTERS].by("id"), loosest(seen[CLUSTERS].records), seen.least("member_coherence")
    bounds = seen.given.params.gates.clusters
    heaps = [p.id for p in several if (p.member_coherence or 0.0) < bounds.member_coherence]
    lowest = several[0] if several else None
    shown = f"of {lowest.head!r}, {lowest.member_coherence}" if lowest else "of none"
    loose = {p.id: (p.member_coherence, len(p.member_ids) - 1) for p in several}
    values, followers = ([loose.get(key, (0.0, 0))[place] for key in rows.keys] for place in (0, 1))
    columns = {"coherence": values, "followers": followers}
    apart = (
        f"members lie far from their exemplar, each counting once; loosest are those {shown}: {LOOSE.format(**steps)}"
    )
    many = (
        f"{len(heaps)} of {len(rows.keys)} perspectives are heaps, with a member coherence below "
        f"gates.clusters.member_coherence; loosest are the members {shown}: {LOOSE.format(**steps)}; of few "
        "perspectives one is a large share: raise the bound where these read well"
    )
    return [
        figure("member_coherence", rows, weighted_mean, columns, bound, apart, lambda: heaps)
        if several
        # of attributes that are all alone, none is far from its exemplar
        else stated("member_coherence", 1.0, bound),
        stated("lowest_member_coherence", lowest.member_coherence if lowest else None),
        share("heaps_share", rows, among(rows.keys, heaps), seen.most("heaps_share"), many),
    ]


def _of_members(seen: Inputs) -> Expectation:
    """Names and counts of a perspective are those of its members, and its exemplar is one of them."""
    known = by_id(seen[ATTRIBUTES].records)
    off = []
    for row in seen[CLUSTERS].records:
        members = [known[key] for key in row.member_ids if key in known]
        names, counts = [member.name for member in members], [member.count for member in members]
        said = (row.member_names, row.member_counts, row.total_count)
        off.append(said != (names, counts, sum(counts)) or row.exemplar not in names)
    return no_row("perspectives_unlike_their_members", seen[CLUSTERS].by("id"), off, ITS_OWN)


def _frequencies(seen: Inputs) -> list[Expectation]:
    rows, counts = seen[ATTRIBUTES].by("id"), [attribute.count for attribute in seen[ATTRIBUTES].records]
    top = [key for key, number in zip(rows.keys, counts, strict=True) if number == max(counts)]
    once, most = [number == 1 for number in counts], seen.most("top_attribute_share")
    return [
        row_count("attributes", rows),
        figure("top_attribute_share", rows, largest_share, ["count"], most, ONE_THING, lambda: top),
        share("counted_once_share", rows, once, seen.most("counted_once_share"), CHANCE),
    ]
