"""What stages left out, with the reasons, as their rejects come."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from compeffdist.artefacts import rejects_of
from compeffdist.record_files import parquet_file
from compeffdist.records import Reject
from compeffdist.watch.reading import Reading, clip
from compeffdist.watch.stages import StageState

LATEST = 8
MOST_REASONS = 12


def left_out(stages: Iterable[StageState], reading: Reading) -> list[dict[str, Any]]:
    """Of each stage that left something out: how many, by reason, and the last of them, the stage that wrote its
    rejects last first."""
    writing = [one for one in stages if one.stage.writes(rejects_of(one.stage.name))]
    paths = {Path(rejects_of(one.stage.name)): one for one in writing}
    times = {path: path.stat().st_mtime for path in paths if path.exists()}
    found = []
    for path in sorted(times, key=lambda path: -times[path]):
        told = reading.of(str(path), [path], partial(_told, path), {"count": 0})
        if told["count"]:
            found.append({"stage": paths[path].stage.name, "earlier": paths[path].earlier, **told})
    return found


def _told(path: Path) -> dict[str, Any]:
    import pyarrow.compute as pc

    with parquet_file(path, Reject) as file:
        reasons = file.read(columns=["reason"])["reason"].drop_null()
        last = file.num_row_groups - 1
        rows = file.read_row_group(last, columns=["record_id", "reason", "detail"]) if last >= 0 else None
    counts = {row["values"]: row["counts"] for row in pc.value_counts(reasons).to_pylist()}
    ranked = sorted(counts, key=lambda reason: (-counts[reason], reason))
    latest = rows.slice(max(0, len(rows) - LATEST)).to_pylist()[::-1] if rows is not None else []
    return {
        "count": len(reasons),
        "reasons": [{"reason": clip(reason), "count": counts[reason]} for reason in ranked[:MOST_REASONS]],
        "more_reasons": max(0, len(ranked) - MOST_REASONS),
        "latest": [{key: clip(value or "") for key, value in row.items()} for row in latest],
    }
