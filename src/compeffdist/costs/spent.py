"""What was spent on the teacher, added up by stage, day, model, engine or run."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from compeffdist.costs.table import columns
from compeffdist.params import Prices
from compeffdist.progress import clock
from compeffdist.teacher.spending import COUNTS, Spending, cost_of

BY = ("stage", "day", "model", "engine", "run")
NO_STAGE = "before the ledger"
DASH = "-"


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    of: tuple[str, ...]
    """What it is about, one value for each of the groups asked for; empty: everything."""
    spending: Spending
    """The sums; what the line is not about is as in the first of its rows."""
    money: float | None
    """None if it is not known."""

    def to_json(self, by: Sequence[str]) -> dict[str, Any]:
        """For machines."""
        counts = {name: getattr(self.spending, name) for name in COUNTS}
        return {**dict(zip(by, self.of, strict=True)), **counts, "money": self.money}


def grouped(
    rows: Sequence[Spending], by: Sequence[str], prices: Prices | None, teacher: str | None = None
) -> list[Line]:
    """A line for each combination of the groups `by`, in their order, and one of everything, last; none of nothing.

    Money of a line is the sum over its rows (`cost_of`). It is known only if it is known of every row.

    Args:
        teacher: content id of the model that a price of `teacher` is of; None: of every model.
    """
    groups: dict[tuple[str, ...], list[Spending]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, name) for name in by), []).append(row)
    lines = [Line(of, _sum(those), _money(those, prices, teacher)) for of, those in sorted(groups.items())]
    return [*lines, Line((), _sum(rows), _money(rows, prices, teacher))] if rows else []


def spent_lines(lines: Sequence[Line], by: Sequence[str], prices: Prices | None) -> list[str]:
    """The table for people; one sentence if nothing was spent."""
    if not lines:
        return ["nothing was bought through this store"]
    heads = [*by, "answers", "failed", "calls", "prompt tokens", "of these cached", "answer tokens", "time"]
    heads += [prices.currency] if prices else []
    body = [_cells(line, len(by), prices is not None) for line in lines]
    notes = [f"money by the prices of {prices.date}, the user's own"] if prices else []
    return [*columns([heads, *body], left=len(by)), *notes]


def _cells(line: Line, groups: int, with_money: bool) -> list[str]:
    of = [value or NO_STAGE for value in line.of] if line.of else ["all", *[""] * (groups - 1)][:groups]
    s = line.spending
    counts = (s.answers, s.failures, s.calls, s.prompt_tokens, s.cached_tokens, s.completion_tokens)
    time = clock(s.seconds) if s.seconds else DASH
    money = [f"{line.money:,.4g}" if line.money is not None else "unknown"] if with_money else []
    return [*of, *(f"{count:,}" for count in counts), time, *money]


def _sum(rows: Sequence[Spending]) -> Spending:
    return replace(rows[0], **{name: sum(getattr(row, name) for row in rows) for name in COUNTS})


def _money(rows: Sequence[Spending], prices: Prices | None, teacher: str | None) -> float | None:
    found = [cost_of(row, prices, teacher) if prices else None for row in rows]
    known = [money for money in found if money is not None]
    return sum(known) if len(known) == len(found) else None
