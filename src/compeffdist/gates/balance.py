"""Class balance of a sample against what it was drawn from: largest share, growth, entropy, Jensen-Shannon distance.

Difficulty-prioritised sampling favours what is hard, and classes differ in how hard they are; a class that is hard on
average gains share. Shares of few rows are mostly chance, so a group is judged from `sample.class_rows` rows up.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compeffdist.errors import one_line
from compeffdist.gates.expected import Expectation, stated
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


def entropy(shares: Sequence[float]) -> float:
    """Shannon entropy in bits."""
    return -math.fsum(share * math.log2(share) for share in shares if share > 0)


class Row(NamedTuple):
    """A row by its group and its class in it."""

    key: str
    group: str
    name: str
    kept: bool


def balances_of(rows: Sequence[Row], least: int = 1) -> list[Balance]:
    """The balance of each group of rows that has `least` rows, in order of the groups' names; a group of which nothing
    was kept has none, as there is no share after."""
    before: defaultdict[str, Counter[str]] = defaultdict(Counter)
    after: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        before[row.group][row.name] += 1
        after[row.group][row.name] += row.kept
    return [
        Balance(group, counts, +after[group])
        for group, counts in sorted(before.items())
        if counts.total() >= least and after[group].total()
    ]


MEASURES = (Balance.largest_class_share, Balance.class_growth, Balance.entropy_loss, Balance.js_distance)
"""Named as their bounds in `gates.sample` are; the larger, the worse."""


def balanced(scope: str, seen: Inputs, rows: Sequence[Row], least: int) -> list[Expectation]:
    """The worst balance of groups by each measure; offenders are the kept rows of the class that grew most there.
    Undefined, and judged by nobody, where no group has `least` rows."""
    balances = balances_of(rows, least)
    if not balances:
        return [stated(f"{scope}.{measure.__name__}", None) for measure in MEASURES]
    expected = []
    for measure in MEASURES:
        worst = max(balances, key=measure)
        label, before, after = worst.grown()
        advice = (
            f"class {one_line(label, 40)!r} went from {before:.0%} to {after:.0%} in {worst.group}: look at what makes "
            "it hard (difficulty), and at sampling.rate, sampling.peak and sampling.metric"
        )
        kept = [row.key for row in rows if (row.group, row.name, row.kept) == (worst.group, label, True)]
        bound = seen.most(measure.__name__)
        expected.append(stated(f"{scope}.{measure.__name__}", measure(worst), bound, advice, kept))
    return expected
