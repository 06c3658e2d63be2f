"""Record accounting: in = out + rejected-with-reason, for every stage, or the stage fails.

The sum says something only if `in` is counted apart from the two others: what was asked for, read or given, never
what came out of it.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.record_files import write_records
from compeffdist.records import Reject

SOURCES = {"store": "in store", "recorded": "recorded", "bought": "bought"}
"""Where a teacher's answers came from, in metrics -> in words."""
REASONS = 3
"""Reasons for rejects that a line names."""


def account(stage: str, incoming: int, outgoing: int, rejects: Sequence[Reject]) -> dict[str, Any]:
    """The `records` part of a stage's metrics: in, out, rejected, and rejected by reason. Raises RuntimeError if the
    sum does not hold: that is a defect of the stage, and nothing may be written."""
    if incoming != outgoing + len(rejects):
        raise RuntimeError(f"{stage}: {incoming} records in, but {outgoing} out + {len(rejects)} rejected")
    reasons = dict(sorted(Counter(reject.reason for reject in rejects).items()))
    return {"in": incoming, "out": outgoing, "rejected": len(rejects), "reasons": reasons}


def told(metrics: Mapping[str, Any]) -> str:
    """A stage's metrics as one line for people: each account among them, then where its answers came from. Empty if
    they have neither.

    """
    parts = [f"{name} {_account_told(value)}" for name, value in metrics.items() if _is_account(value)]
    came = metrics.get("teacher", {}).get("this_run", {})
    if answers := [f"{came[source]:,} {words}" for source, words in SOURCES.items() if came.get(source)]:
        parts.append(f"answers {', '.join(answers)}")
    return "; ".join(parts)


def _is_account(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"in", "out", "rejected", "reasons"}


def _account_told(value: Mapping[str, Any]) -> str:
    if not value["rejected"]:
        return f"{value['out']:,}"
    often = sorted(value["reasons"].items(), key=lambda each: (-each[1], each[0]))
    why = ", ".join(f"{count:,} {reason}" for reason, count in often[:REASONS])
    more = len(often) - REASONS
    others = f" and {more} other reason{'s' * (more > 1)}" if more > 0 else ""
    return f"{value['in']:,} in, {value['out']:,} out, {value['rejected']:,} rejected ({why}{others})"


def write_rejects(target: Path, rejects: Iterable[Reject]) -> None:
    """Write a stage's rejects in the given order, one row for each: of those that say the same, every later one is
    numbered, since a row has an id of its own and none may be lost."""
    seen: set[str] = set()
    numbers: Counter[str] = Counter()
    rows: list[Reject] = []
    for reject in rejects:
        row = reject
        while row.id in seen:
            numbers[reject.id] += 1
            number = numbers[reject.id] + 1
            row = dataclasses.replace(reject, id="", detail=f"{reject.detail} (no. {number})".lstrip())
        seen.add(row.id)
        rows.append(row)
    write_records(target, Reject, rows)
