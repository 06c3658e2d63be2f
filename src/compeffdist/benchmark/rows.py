"""The rows of a benchmark: a folder with `manifest.json` and `TASK/SPLIT.jsonl`, held to the manifest's hashes.

The manifest has, under `tasks`, for each task its `labels` or none, and under `splits` for each split `n` and `sha256`
of the file. A row has `id`, `text`, and `label` or `gold`, a list of tuples; `target` where the question has one; for
sentiment graphs it may have `opinions`, gold with the places that annotators marked.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.benchmark.tasks import BenchmarkTask
from compeffdist.errors import UserError
from compeffdist.files import hash_file, read_json, read_jsonl
from compeffdist.params import QUESTION_FIELD

MANIFEST = "manifest.json"
OPINION_PARTS = ("Source", "Target", "Polar_expression")
PLACE = re.compile("[0-9]+:[0-9]+")


@dataclass(frozen=True)
class BenchmarkRow:
    """A labelled text."""

    id: str
    text: str
    gold: str | list[list[str]]
    """A label, or tuples with a part for each field of the task."""
    target: str | None
    opinions: list[dict[str, Any]] | None = None
    """Of sentiment graphs: `Source`, `Target` and `Polar_expression`, each a list of pieces and one of their places
    (`BEGIN:END`, characters), and `Polarity`."""


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """The tasks of a benchmark's manifest. Raises UserError if there is no such file, or it says nothing of tasks."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: no {MANIFEST}: not the folder of a benchmark")
    manifest = read_json(path)
    tasks = manifest.get("tasks") if isinstance(manifest, dict) else None
    if not isinstance(tasks, dict) or not all(isinstance(task, dict) for task in tasks.values()):
        raise UserError(f"{path}: has no mapping `tasks`")
    return tasks


def load_benchmark_rows(folder: Path, task: BenchmarkTask, split: str) -> list[BenchmarkRow]:
    """All rows of a split, in the file's order.

    Raises:
        UserError: the split is not there or is not the manifest's; a row without text or answer, with a label or value
            that the task does not have, or an id that stands twice.
    """
    entry = read_manifest(folder).get(task.name)
    if entry is None:
        raise UserError(f"{folder / MANIFEST}: has no task {task.name!r}")
    labels = entry.get("labels")
    same = labels is None or (isinstance(labels, list) and sorted(map(str, labels)) == sorted(task.labels))
    if task.labels and not same:
        raise UserError(f"{folder / MANIFEST}: {task.name}: its labels are {labels}, the task's {task.labels}")
    splits = entry.get("splits")
    stated = splits.get(split) if isinstance(splits, dict) else None
    path = folder / task.name / f"{split}.jsonl"
    if not isinstance(stated, dict) or not path.is_file():
        there = sorted(file.stem for file in (folder / task.name).glob("*.jsonl"))
        raise UserError(f"{path}: no such split; there are {', '.join(there) or 'none'}")
    if "sha256" in stated and hash_file(path) != stated["sha256"]:
        raise UserError(f"{path}: is not the file of {folder / MANIFEST} (another sha256)")
    rows = [_row(task, raw, f"{path}:{number}") for number, raw in enumerate(read_jsonl(path), 1)]
    if not rows:
        raise UserError(f"{path}: has no rows")
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise UserError(f"{path}: the id {row.id!r} stands twice")
        seen.add(row.id)
    return rows


def _row(task: BenchmarkTask, raw: Any, where: str) -> BenchmarkRow:
    row = raw if isinstance(raw, dict) else {}
    own_id, text, target = row.get("id"), row.get("text"), row.get("target")
    if not isinstance(own_id, str) or not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: has no id or no text")
    if QUESTION_FIELD.search(task.question) and not (isinstance(target, str) and target.strip()):
        raise UserError(f"{where}: has no target, which the question of {task.name} needs")
    target = target if isinstance(target, str) else None
    return BenchmarkRow(own_id, text, _gold(task, row, where), target, _opinions(task, row, where))


def _opinions(task: BenchmarkTask, row: Mapping[str, Any], where: str) -> list[dict[str, Any]] | None:
    opinions = row.get("opinions")
    if task.metric != "sentiment_graph_f1" or opinions is None:
        return None
    if not isinstance(opinions, list) or not all(isinstance(one, dict) and _is_opinion(one) for one in opinions):
        raise UserError(f"{where}: opinions: expected a list, each with {', '.join(OPINION_PARTS)} and Polarity")
    return opinions


def _is_opinion(opinion: Mapping[str, Any]) -> bool:
    parts = [opinion.get(part) for part in OPINION_PARTS]
    placed = [part[1] for part in parts if isinstance(part, list) and len(part) == 2 and isinstance(part[1], list)]
    spans = [place for places in placed for place in places]
    return (
        len(placed) == len(OPINION_PARTS)
        and isinstance(opinion.get("Polarity"), str)
        and all(isinstance(place, str) and PLACE.fullmatch(place) for place in spans)
    )


def _gold(task: BenchmarkTask, row: Mapping[str, Any], where: str) -> str | list[list[str]]:
    if task.labels:
        label = row.get("label")
        if label not in task.labels:
            raise UserError(f"{where}: label {label!r} is not one of {', '.join(task.labels)}")
        return str(label)
    gold = row.get("gold")
    if not isinstance(gold, list):
        raise UserError(f"{where}: has no list `gold`")
    for parts in gold:
        if not isinstance(parts, list) or len(parts) != len(task.fields) or not all(isinstance(p, str) for p in parts):
            raise UserError(f"{where}: gold: {parts!r} is no tuple of {', '.join(f.name for f in task.fields)}")
    return [[str(part) for part in parts] for parts in gold]
