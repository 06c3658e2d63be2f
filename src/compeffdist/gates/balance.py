"""Class balance of a sample against what it was drawn from: largest share, growth, entropy, Jensen-Shannon distance.

Difficulty-prioritised sampling favours what is hard, and classes differ in how hard they are; a class that is hard on
average gains share. Shares of few rows are mostly chance, so a group is judged from `sample.class_rows` rows up.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from compeffdist.errors import one_line
from compeffdist.gates.expected import REPORTED, Aggregate, Columns, Expectation, aggregate, figure
from compeffdist.gates.gate import Inputs
from compeffdist.gates.outcome import Distribution


@dataclass(frozen=True)
class Balance:
    """Rows by class, before and after sampling, in one group of rows. At least one row was kept."""

    group: str
    """What the rows share, for messages: an instruction id, or "all rows"."""
    before: Mapping[str, int]
    after: Mapping[str, int]

    @property
    def classes(self) -> list[str]:
        """Every class there was, most frequent first."""
        return sorted(self.before, key=lambda name: (-self.before[name], name))

    def shares(self, counts: Mapping[str, int]) -> list[float]:
        """Share of each class, in the order of `classes`."""
        total = sum(counts.values())
        return [counts.get(name, 0) / total for name in self.classes]

    def grown(self) -> tuple[str, float, float]:
        """The class whose share grew most, with its share before and after."""
        rows = zip(self.classes, self.shares(self.before), self.shares(self.after), strict=True)
        return max(rows, key=lambda row: row[2] - row[1])

    def largest_class_share(self) -> float:
        """Share of the largest class after sampling."""
        return max(self.shares(self.after))

    def class_growth(self) -> float:
        """By how much the share of the class that grew most did."""
        _, before, after = self.grown()
        return after - before

    def entropy_loss(self) -> float:
        """Entropy before less that after, in bits."""
        return entropy(self.shares(self.before)) - entropy(self.shares(self.after))

    def js_distance(self) -> float:
        """Jensen-Shannon distance (Endres and Schindelin 2003): root of the divergence in base 2, in [0, 1]."""
        before, after = self.shares(self.before), self.shares(self.after)
        middle = entropy([(p + q) / 2 for p, q in zip(before, after, strict=True)])
        return math.sqrt(max(middle - (entropy(before) + entropy(after)) / 2, 0.0))

    def distribution(self, title: str) -> Distribution:
        """For the page."""
        shares = zip(self.shares(self.before), self.shares(self.after), strict=True)
        return Distribution(title, ["before", "after"], list(zip(self.classes, shares, strict=True)))


Measure = Callable[[Balance], float]


def entropy(shares: Sequence[float]) -> float:
    """Shannon entropy in bits."""
    return -math.fsum(share * math.log2(share) for share in shares if share > 0)


def balances_of(groups: Sequence[str], classes: Sequence[str], kept: Sequence[bool], least: int = 1) -> list[Balance]:
    """The balance of each group of rows that has `least` rows, in order of the groups' names; a group of which nothing
    was kept has none, as there is no share after."""
    before: defaultdict[str, Counter[str]] = defaultdict(Counter)
    after: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group, name, is_kept in zip(groups, classes, kept, strict=True):
        before[group][name] += 1
        after[group][name] += is_kept
    return [
        Balance(group, counts, +after[group])
        for group, counts in sorted(before.items())
        if counts.total() >= least and after[group].total()
    ]


def _worst(measure: Measure) -> Aggregate:
    def worst(groups: Sequence[str], classes: Sequence[str], kept: Sequence[bool], least: int) -> float | None:
        return max(map(measure, balances_of(groups, classes, kept, least)), default=None)

    worst.__name__ = f"worst_{measure.__name__}"
    return aggregate(worst)


MEASURES: Mapping[Measure, Aggregate] = {
    measure: _worst(measure)
    for measure in (Balance.largest_class_share, Balance.class_growth, Balance.entropy_loss, Balance.js_distance)
}
"""A measure, named as its bound in `gates.sample` is; the larger, the worse -> its worst over groups of rows."""


@dataclass(frozen=True)
class Classes:
    """Rows with the group and class of each, and whether it was kept."""

    keys: Sequence[str]
    groups: Sequence[str]
    classes: Sequence[str]
    kept: Sequence[bool]

    def balances(self, least: int = 1) -> list[Balance]:
        """Of the groups of at least so many rows."""
        return balances_of(self.groups, self.classes, self.kept, least)

    def of(self, group: str, name: str) -> list[str]:
        """The keys of the kept rows of a class in a group."""
        rows = zip(self.keys, self.groups, self.classes, self.kept, strict=True)
        return [key for key, *row, kept in rows if row == [group, name] and kept]


def balanced(scope: str, seen: Inputs, rows: Classes, least: int) -> list[Expectation]:
    """The worst balance of groups by each measure. Undefined, and judged by nobody, where none has `least` rows."""
    columns = {"group": rows.groups, "class": rows.classes, "kept": rows.kept}
    table, balances = Columns(rows.keys, columns), rows.balances(least)
    return [
        figure(
            f"{scope}.{measure.__name__}",
            table,
            worst_of,
            list(columns),
            seen.most(measure.__name__) if balances else REPORTED,
            *_advice(measure, balances, rows),
            least=least,
        )
        for measure, worst_of in MEASURES.items()
    ]


def _advice(measure: Measure, balances: Sequence[Balance], rows: Classes) -> tuple[str, Callable[[], list[str]]]:
    """Where to look, and the kept rows of the class that grew most in the worst group."""
    if not balances:
        return "", list
    worst = max(balances, key=measure)
    label, before, after = worst.grown()
    advice = (
        f"class {one_line(label, 40)!r} went from {before:.0%} to {after:.0%} in {worst.group}: look at what makes it "
        "hard (difficulty), and at sampling.rate, peak, metric and confidence_floor"
    )
    return advice, lambda: rows.of(worst.group, label)
