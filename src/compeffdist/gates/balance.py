"""Class balance of a sample against what it was drawn from: largest share, growth, entropy, Jensen-Shannon distance.

Difficulty-prioritised sampling favours what is hard, and classes differ in how hard they are; a class that is hard on
average swells. Shares of few rows are mostly chance, so a group is judged from `sample.class_rows` rows up.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from compeffdist.errors import one_line
from compeffdist.gates.expected import Figure
from compeffdist.gates.outcome import Distribution
from compeffdist.params import SampleGateParams


@dataclass(frozen=True)
class Balance:
    """Rows by class, before and after sampling, in one group of rows. At least one row was kept."""

    group: str
    """What the rows share, for messages: an instruction id, or "all rows"."""
    before: Mapping[str, int]
    after: Mapping[str, int]
    kept_ids: Mapping[str, Sequence[str]]
    """Class -> ids of its kept rows."""

    @property
    def classes(self) -> list[str]:
        """Every class there was, most frequent first."""
        return sorted(self.before, key=lambda name: (-self.before[name], name))

    def shares(self, counts: Mapping[str, int]) -> list[float]:
        """Share of each class, in the order of `classes`."""
        total = sum(counts.values())
        return [counts.get(name, 0) / total for name in self.classes]

    def swelled(self) -> tuple[str, float, float]:
        """The class whose share grew most, with its share before and after."""
        rows = zip(self.classes, self.shares(self.before), self.shares(self.after), strict=True)
        return max(rows, key=lambda row: row[2] - row[1])

    def largest_class_share(self) -> float:
        """Share of the largest class after sampling."""
        return max(self.shares(self.after))

    def class_growth(self) -> float:
        """By how much the class that swelled most did."""
        _, before, after = self.swelled()
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


def balance_of(group: str, rows: Sequence[tuple[str, str, bool]]) -> Balance | None:
    """The balance of rows given as (id, class, kept); None if nothing was kept, so that there is no share after."""
    kept_ids: dict[str, list[str]] = {}
    for row_id, name, kept in rows:
        if kept:
            kept_ids.setdefault(name, []).append(row_id)
    after = {name: len(ids) for name, ids in kept_ids.items()}
    return Balance(group, Counter(name for _, name, _ in rows), after, kept_ids) if after else None


MEASURES: dict[str, Callable[[Balance], float]] = {
    "largest_class_share": Balance.largest_class_share,
    "class_growth": Balance.class_growth,
    "entropy_loss": Balance.entropy_loss,
    "js_distance": Balance.js_distance,
}
"""By the name of their bound in `gates.sample`; the larger, the worse."""


def balance_figures(scope: str, balances: Sequence[Balance], bounds: SampleGateParams) -> list[Figure]:
    """The worst of the balances by each measure. Undefined, and judged by nobody, where no group has rows enough."""
    enough = [balance for balance in balances if sum(balance.before.values()) >= bounds.class_rows]
    if not enough:
        return [Figure(f"{scope}.{name}", None) for name in MEASURES]
    figures = []
    for name, measure in MEASURES.items():
        worst = max(enough, key=measure)
        label, before, after = worst.swelled()
        figures.append(
            Figure(
                f"{scope}.{name}",
                measure(worst),
                high=getattr(bounds, name),
                param=f"gates.sample.{name}",
                advice=(
                    f"class {one_line(label, 40)!r} went from {before:.0%} to {after:.0%} in {worst.group}: look at "
                    "what makes it hard (difficulty), and at sampling.rate, sampling.peak and sampling.metric"
                ),
                offenders=worst.kept_ids.get(label, []),
            )
        )
    return figures
