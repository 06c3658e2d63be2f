"""Record accounting: in = out + rejected-with-reason, for every stage, or the stage fails.

The sum says something only if `in` is counted apart from the two others: what was asked for, read or given, never
what came out of it.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from compeffdist.record_files import write_records
from compeffdist.records import Reject


def account(stage: str, incoming: int, outgoing: int, rejects: Sequence[Reject]) -> dict[str, Any]:
    """The `records` part of a stage's metrics: in, out, rejected, and rejected by reason. Raises RuntimeError if the
    sum does not hold: that is a defect of the stage, and nothing may be written."""
    if incoming != outgoing + len(rejects):
        raise RuntimeError(f"{stage}: {incoming} records in, but {outgoing} out + {len(rejects)} rejected")
    reasons = dict(sorted(Counter(reject.reason for reject in rejects).items()))
    return {"in": incoming, "out": outgoing, "rejected": len(rejects), "reasons": reasons}


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
