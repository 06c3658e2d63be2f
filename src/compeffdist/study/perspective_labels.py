"""Perspectives as a person sees them: a sheet of some, read back into shares that have something wrong.

The two questions are those that the method's authors asked of twenty clusters (eval_clustering.json of the official
repository): is there a member that does not belong, and is there an attribute elsewhere that does? Those
that come into question elsewhere are shown: the nearest to the exemplar by the run's embedder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.arrays import Floats
from compeffdist.difficulty.sampling import uniform_draws
from compeffdist.errors import UserError, one_line
from compeffdist.records import Perspective
from compeffdist.study.sheets import read_column, write_rows

LABEL = "fault"
COLUMNS = ("perspective_id", "exemplar", "members", "elsewhere", LABEL)
MOST_MEMBERS = 300
"""Attributes of a perspective that a cell has, the most frequent ones."""
NEAREST = 12
"""Attributes of other perspectives that are shown beside one."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Fault:
    """What a label says of a perspective."""

    told: str
    member: bool
    """A member does not belong."""
    outside: bool
    """An attribute of another perspective belongs here."""


FAULTS: Mapping[str, Fault] = {
    "fine": Fault("nothing is wrong", member=False, outside=False),
    "member": Fault("one does not belong", member=True, outside=False),
    "outside": Fault("one elsewhere belongs here", member=False, outside=True),
    "both": Fault("one does not belong, and one elsewhere does", member=True, outside=True),
}
QUESTIONS = {"member": "a member does not belong", "outside": "an attribute elsewhere belongs here"}


def choose(perspectives: Sequence[Perspective], count: int, seed: int) -> list[Perspective]:
    """So many of them (all, if there are fewer), drawn by seed and in that order."""
    draws = uniform_draws([one.id for one in perspectives], seed)
    return [perspectives[place] for place in np.argsort(draws, kind="stable")[:count]]


def write_sheet(
    target: Path, chosen: Sequence[Perspective], perspectives: Sequence[Perspective], vectors: Mapping[str, Floats]
) -> None:
    """Write the sheet, as `write_rows`.

    Args:
        perspectives: all of the run, to which those chosen belong.
        vectors: attribute name -> its embedding, of length 1.
    """
    write_rows(
        target,
        COLUMNS,
        (
            (
                one.id,
                one.exemplar,
                _listed(dict(zip(one.member_names, one.member_counts, strict=True))),
                _listed(nearest_elsewhere(one, perspectives, vectors)),
            )
            for one in chosen
        ),
    )


def _listed(counts: Mapping[str, int]) -> str:
    lines = [f"{name} ({count})" for name, count in counts.items()]
    more = len(lines) - MOST_MEMBERS
    return "\n".join([*lines[:MOST_MEMBERS], *([f"… and {more} more"] if more > 0 else [])])


def nearest_elsewhere(
    perspective: Perspective, perspectives: Sequence[Perspective], vectors: Mapping[str, Floats]
) -> dict[str, int]:
    """The NEAREST attributes of other perspectives, the one most like the exemplar first, ties by name; with counts."""
    others = {
        name: count
        for one in perspectives
        if one.id != perspective.id
        for name, count in zip(one.member_names, one.member_counts, strict=True)
    }
    exemplar = vectors[perspective.exemplar]
    likeness = {name: float(vectors[name] @ exemplar) for name in others}
    return {name: others[name] for name in sorted(others, key=lambda name: (-likeness[name], name))[:NEAREST]}


def read_labels(source: Path) -> dict[str, str]:
    """Faults by perspective id; rows left blank are not in it. Raises UserError as `read_column`."""
    return read_column(source, "perspective_id", LABEL, "study perspectives --sheet", _fault)


def _fault(text: str, where: str) -> str:
    if text.lower() not in FAULTS:
        raise UserError(f"{where}: {LABEL} is {one_line(text, 40)!r}, expected {', '.join(FAULTS)} or an empty cell")
    return text.lower()


def found_in(labels: Mapping[str, str], perspectives: Sequence[Perspective], source: Path) -> dict[str, Any]:
    """How many of the labelled perspectives have which fault, with Clopper and Pearson's exact interval of the share.

    Raises:
        UserError: a label is of no perspective of this run, or there are none.
    """
    from scipy.stats import binomtest

    if strange := sorted(labels.keys() - {one.id for one in perspectives}):
        raise UserError(f"{source}: {one_line(strange[0], 80)} is no perspective of this run")
    if not labels:
        raise UserError(f"{source}: nothing is labelled yet: put {', '.join(FAULTS)} into the column {LABEL}")
    figures: dict[str, Any] = {"labelled": len(labels), "perspectives": len(perspectives), "confidence": CONFIDENCE}
    for name in QUESTIONS:
        count = sum(getattr(FAULTS[label], name) for label in labels.values())
        interval = binomtest(count, len(labels)).proportion_ci(CONFIDENCE, method="exact")
        figures[name] = {"count": count, "share": count / len(labels), "low": interval.low, "high": interval.high}
    return figures


def told_lines(figures: Mapping[str, Any]) -> list[str]:
    """What was found, for people."""
    labelled = figures["labelled"]
    width = max(map(len, QUESTIONS.values()))
    return [
        f"{labelled} of {figures['perspectives']} perspectives are labelled",
        *(
            f"  {told + ':':{width + 1}} {figures[name]['count']} of {labelled}, {100 * figures[name]['share']:.0f}% "
            f"[{100 * figures[name]['low']:.0f}, {100 * figures[name]['high']:.0f}]"
            for name, told in QUESTIONS.items()
        ),
    ]
