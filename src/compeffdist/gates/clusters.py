"""What must hold of the perspectives: neither one heap nor one attribute each, coherent, every attribute in one.

Bounds grow with the vocabulary: a sound clustering of 18 attributes has a few perspectives, one of 1,800 about 180, so
the fewest goes with the square root and the most with the number itself.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.artefacts import ATTRIBUTES, CLUSTERS
from compeffdist.errors import UserError
from compeffdist.files import read_json
from compeffdist.gates.expected import Figure, accounted, share
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.running import Evidence, Measured
from compeffdist.gates.tables import Table, json_table, read_table
from compeffdist.given import Given
from compeffdist.instructions.cluster_attributes import coherence_of, loosest, member_coherence_of
from compeffdist.params import ClustersGateParams
from compeffdist.records import Attribute, Perspective

GUARDS = (CLUSTERS,)

COLLAPSE = (
    "the clustering has collapsed: look at the counts (attributes.more_than), at clusters.damping, and at "
    "clusters.preference_percentile (higher gives more perspectives)"
)
EXPLOSION = (
    "most attributes were left alone: lower clusters.preference_percentile, look at clusters.weighting, or raise "
    "attributes.more_than"
)
LOOSE = "raise clusters.preference_percentile or attributes.more_than, or look at the embedder"
SHOWN, SHOWN_MEMBERS = 10, 8
FREQUENCY = "look at data/attributes.parquet, attributes.more_than and attributes.texts"


def gather(given: Given) -> Evidence:
    """Attributes, perspectives, and the diagnostics of their clustering.

    Raises:
        UserError: if one of them cannot be read.
    """
    bounds = given.params.gates.clusters
    attributes = read_table(given, ATTRIBUTES)
    value = read_json(given.path(CLUSTERS))
    if not isinstance(value, dict) or not isinstance(value.get("perspectives"), list):
        raise UserError(f"{CLUSTERS}: holds no list of perspectives; run: dvc repro cluster_attributes")
    perspectives = json_table(Path(CLUSTERS), value["perspectives"], Perspective)
    diagnostics = value.get("diagnostics") or {}
    return Evidence([attributes, perspectives], lambda: _measure(attributes, perspectives, diagnostics, bounds))


def _measure(
    attributes: Table[Attribute],
    perspectives: Table[Perspective],
    diagnostics: Mapping[str, Any],
    bounds: ClustersGateParams,
) -> Measured:
    figures = [
        _number_of_perspectives(perspectives.records, len(attributes.rows), bounds),
        *_convergence(diagnostics),
        *_shape(perspectives.records, bounds),
        *_frequencies(attributes.records, bounds),
        *_placement(attributes.records, perspectives.records),
    ]
    sizes = Counter({perspective.head: len(perspective.member_ids) for perspective in perspectives.records})
    counts = {attribute.name: attribute.count for attribute in attributes.records}
    return Measured(
        figures,
        [
            Distribution.of_counts("Attributes by perspective, named by its most frequent", sizes),
            Distribution.of_counts("Counts by attribute", counts),
            _lowest(perspectives.records),
        ],
    )


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


def _number_of_perspectives(perspectives: Sequence[Perspective], vocabulary: int, bounds: ClustersGateParams) -> Figure:
    fewest = max(math.floor(bounds.fewest_per_root * math.sqrt(vocabulary)), 1)
    most = max(math.ceil(bounds.most_per_attribute * vocabulary), fewest)
    collapsed = len(perspectives) < fewest
    return Figure(
        "perspectives",
        len(perspectives),
        low=fewest,
        high=most,
        param="gates.clusters.fewest_per_root" if collapsed else "gates.clusters.most_per_attribute",
        advice=COLLAPSE if collapsed else EXPLOSION,
        offenders=[perspective.id for perspective in perspectives],
    )


def _convergence(diagnostics: Mapping[str, Any]) -> list[Figure]:
    return [
        Figure(
            "converged",
            int(bool(diagnostics.get("converged"))),
            low=1,
            high=1,
            advice="message passing had not settled: raise clusters.damping or clusters.max_iterations",
        ),
        Figure("iterations", diagnostics.get("iterations")),
    ]


def _shape(perspectives: Sequence[Perspective], bounds: ClustersGateParams) -> list[Figure]:
    sizes = [len(perspective.member_ids) for perspective in perspectives]
    alone = [perspective.id for perspective, size in zip(perspectives, sizes, strict=True) if size == 1]
    largest = [perspective.id for perspective, size in zip(perspectives, sizes, strict=True) if size == max(sizes)]
    return [
        Figure(
            "largest_perspective_share",
            share(max(sizes, default=0), sum(sizes)),
            high=bounds.largest_share,
            param="gates.clusters.largest_share",
            advice=COLLAPSE,
            offenders=largest,
        ),
        Figure(
            "singleton_share",
            share(len(alone), len(sizes)),
            high=bounds.singleton_share,
            param="gates.clusters.singleton_share",
            advice=EXPLOSION,
            offenders=alone,
        ),
        Figure(
            "coherence",
            coherence_of(perspectives),
            low=bounds.coherence,
            param="gates.clusters.coherence",
            advice=f"members lie far from their exemplar, over mentions: {LOOSE}",
            offenders=[p.id for p in sorted(perspectives, key=lambda p: p.coherence) if p.coherence < bounds.coherence],
        ),
        *_members(perspectives, bounds),
    ]


def _members(perspectives: Sequence[Perspective], bounds: ClustersGateParams) -> list[Figure]:
    """Coherence with each attribute counting once: over mentions, a frequent name hides a heap of rare ones."""
    several = loosest(perspectives)
    heaps = [p for p in several if (p.member_coherence or 0.0) < bounds.member_coherence]
    lowest = several[0] if several else None
    shown = f"of {lowest.head!r}, {lowest.member_coherence}" if lowest else "of none"
    # of attributes that are all alone, none is far from its exemplar
    none_follows = not several
    return [
        Figure(
            "member_coherence",
            1.0 if none_follows else member_coherence_of(perspectives),
            low=bounds.member_coherence,
            param="gates.clusters.member_coherence",
            advice=f"members lie far from their exemplar, each counting once; loosest are those {shown}: {LOOSE}",
            offenders=[p.id for p in heaps],
        ),
        Figure("lowest_member_coherence", lowest.member_coherence if lowest else None),
        Figure(
            "heaps_share",
            len(heaps) / max(len(perspectives), 1),
            high=bounds.heaps_share,
            param="gates.clusters.heaps_share",
            advice=(
                f"{len(heaps)} perspectives are heaps, with a member coherence below gates.clusters.member_coherence; "
                f"loosest are the members {shown}: {LOOSE}"
            ),
            offenders=[p.id for p in heaps],
        ),
    ]


def _frequencies(attributes: Sequence[Attribute], bounds: ClustersGateParams) -> list[Figure]:
    counts = [attribute.count for attribute in attributes]
    once = [attribute.id for attribute in attributes if attribute.count == 1]
    return [
        Figure("attributes", len(attributes)),
        Figure(
            "top_attribute_share",
            share(max(counts, default=0), sum(counts)),
            high=bounds.top_attribute_share,
            param="gates.clusters.top_attribute_share",
            advice=f"the teacher says one thing of nearly every text: {FREQUENCY}",
            offenders=[attribute.id for attribute in attributes if attribute.count == max(counts)],
        ),
        Figure(
            "counted_once_share",
            share(len(once), len(attributes)),
            high=bounds.counted_once_share,
            param="gates.clusters.counted_once_share",
            advice=f"the vocabulary is mostly chance: {FREQUENCY}",
            offenders=once,
        ),
    ]


def _placement(attributes: Sequence[Attribute], perspectives: Sequence[Perspective]) -> list[Figure]:
    """Attributes in = members out: each in exactly one perspective, and no member that is no attribute."""
    members = [member for perspective in perspectives for member in perspective.member_ids]
    advice = "every attribute belongs to exactly one perspective: run dvc repro -f cluster_attributes"
    return accounted("attributes", [attribute.id for attribute in attributes], members, advice)
