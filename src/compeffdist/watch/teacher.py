"""The teacher's side of a run: what was spent, held against the budget, where answers came from, and the latest."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from compeffdist.artefacts import TEACHER, TRIPLETS, metrics_of
from compeffdist.costs.spent import Line, grouped
from compeffdist.files import home_path, read_json
from compeffdist.models import read_identity
from compeffdist.params import Params, Prices, read_prices
from compeffdist.processes import ProcessId
from compeffdist.record_files import parquet_file
from compeffdist.records import Triplet
from compeffdist.teacher.requests import Answer
from compeffdist.teacher.spending import Spending, ledger_path, run_of, spendings
from compeffdist.teacher.store import latest_answers
from compeffdist.watch.reading import LONGEST, Reading, clip
from compeffdist.watch.stages import StageState

LATEST = 8
LONGEST_ROW = 200_000
"""Characters of question and answer, of those that are read."""
PATIENCE = 2.0
"""Seconds to wait for a store that is held."""


def spending(params: Params, run: ProcessId | None, reading: Reading) -> dict[str, Any]:
    """What this run and all runs spent through the store, with the bounds of `runtime.budget`; and by stage."""
    store, runtime = home_path(params.runtime.store), params.runtime
    of_prices = home_path(runtime.prices) if runtime.prices else None
    prices = reading.of("prices", [of_prices], lambda: read_prices(of_prices), None) if of_prices else None
    rows, teacher = _ledger(store, reading), _teacher(reading)
    own = _of_run(rows, run)
    sums = {"run": grouped(own, ["stage"], prices, teacher), "total": grouped(rows, ["stage"], prices, teacher)}
    limits = {"run": runtime.budget.run.bounds(), "total": runtime.budget.total.bounds()}
    return {
        "currency": prices.currency if prices else None,
        **{of: _amounts(lines, limits[of], prices) for of, lines in sums.items()},
        "by_stage": [line.to_json(["stage"]) for line in sums["run"] if line.of],
    }


def answers(
    params: Params, stages: Iterable[StageState], run: ProcessId | None, reading: Reading
) -> list[dict[str, str | float | None]]:
    """The latest answers that were bought of this teacher, the newest first; the last triplets, once they are there, if
    they are newer, or if this run bought nothing."""
    store, teacher = home_path(params.runtime.store), _teacher(reading)

    def read() -> list[dict[str, str | float | None]]:
        rows = latest_answers(store, str(teacher), LATEST, LONGEST_ROW, PATIENCE) if store.exists() else []
        return [{"at": clip(row.bought), **_told(row.request, row.answer)} for row in rows]

    bought = reading.of("response store", _with_log(store), read, list[Any]()) if teacher is not None else []
    path = Path(TRIPLETS)
    made = any(one.stage.writes(TRIPLETS) and not one.earlier for one in stages) and path.exists()
    if not made:
        return bought
    nothing = run is not None and not any(row.answers for row in _of_run(_ledger(store, reading), run))
    if bought and not nothing and _time(bought[0]["at"]) > path.stat().st_mtime:
        return bought
    return reading.of(str(path), [path], partial(_last_triplets, path), list[Any]())


def _ledger(store: Path, reading: Reading) -> list[Spending]:
    files = _with_log(ledger_path(store), store)
    return reading.of("ledger", files, lambda: spendings(store, PATIENCE), list[Spending]())


def _of_run(rows: Iterable[Spending], run: ProcessId | None) -> list[Spending]:
    return [row for row in rows if row.run == run_of(run)] if run is not None else []


def _time(told: object) -> float:
    """In seconds since 1970, of what the store says; of what is no time, the earliest."""
    try:
        return datetime.fromisoformat(str(told)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def sources(stages: Iterable[StageState], reading: Reading) -> list[dict[str, Any]]:
    """Where each stage had its answers from when it last ended."""
    found = []
    for one in stages:
        path = Path(metrics_of(one.stage.name))
        metrics: Any = reading.of(str(path), [path], partial(read_json, path), {}) if path.exists() else {}
        counts = metrics["teacher"].get("this_run") if isinstance(metrics.get("teacher"), dict) else None
        if isinstance(counts, Mapping):
            had = {name: int(counts.get(name) or 0) for name in ("store", "recorded", "bought", "failures")}
            found.append({"stage": one.stage.name, "earlier": one.earlier, **had})
    return found


def _teacher(reading: Reading) -> str | None:
    """Content id of the teacher, once it is resolved."""
    path = Path(TEACHER)
    return reading.of(str(path), [path], lambda: read_identity(path).id, None) if path.exists() else None


def _amounts(lines: list[Line], bounds: Mapping[str, float], prices: Prices | None) -> dict[str, Any]:
    whole = lines[-1] if lines else None
    spent = whole.spending if whole else None
    money = whole.money if whole else 0.0 if prices else None
    return {
        "answers": spent.answers if spent else 0,
        "failures": spent.failures if spent else 0,
        "seconds": spent.seconds if spent else 0.0,
        "calls": {"spent": spent.calls if spent else 0, "bound": bounds.get("calls")},
        "tokens": {"spent": spent.spent.tokens if spent else 0, "bound": bounds.get("tokens")},
        "money": {"spent": money, "bound": bounds.get("money")},
    }


def _told(request: str, answer: str) -> dict[str, str | float | None]:
    """A question by its end, where the text stands, and its answer; the store is not ours alone, so either may be
    anything."""
    try:
        asked = json.loads(request)["prompt"] if request else ""
        said = Answer.from_json(answer)
        likely = (said.label_logprobs or {}).get(said.text)
        likely = float(likely) if likely is not None and math.isfinite(likely) else None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return {"question": "", "answer": clip(answer), "logprob": None}
    return {"question": _end_of(str(asked)), "answer": clip(said.text), "logprob": likely}


def _last_triplets(path: Path) -> list[dict[str, str | float | None]]:
    with parquet_file(path, Triplet) as file:
        last = file.num_row_groups - 1
        columns = ["prompt", "response", "labels", "probabilities"]
        rows = file.read_row_group(last, columns=columns) if last >= 0 else None
    told = rows.slice(max(0, len(rows) - LATEST)).to_pylist()[::-1] if rows is not None else []
    return [
        {
            "at": str(path),
            "question": _end_of(row["prompt"]),
            "answer": clip(row["response"]),
            "logprob": _logprob(row["response"], row["labels"] or [], row["probabilities"] or []),
        }
        for row in told
    ]


def _logprob(response: str, labels: Sequence[str], probabilities: Sequence[float]) -> float | None:
    likely = dict(zip(labels, probabilities, strict=False)).get(response, 0.0)
    return math.log(likely) if 0.0 < likely < math.inf else None


def _end_of(prompt: str) -> str:
    """Of a prompt its end, where the text stands."""
    folded = " ".join(prompt[-4 * LONGEST :].split())
    return clip(folded if len(folded) <= LONGEST else f"…{folded[1 - LONGEST :]}")


def _with_log(*files: Path) -> list[Path]:
    return [path for file in files for path in (file, Path(f"{file}-wal"))]
