"""A small benchmark in a folder, as the manifest's schema has it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TASKS = {
    "mood": "family: A\nquestion: Which mood is the text in?\nlabels: [glad, sad]\n",
    "stance": "family: A\nquestion: What is its stance towards {target}?\nlabels: [for, against]\n",
    "aspects": (
        "family: B\nquestion: Which aspects does the text judge?\n"
        "fields:\n  - {name: term, from_text: true}\n  - {name: sentiment, values: [positive, negative]}\n"
    ),
}


def labelled(task: str, split: str, count: int) -> list[dict[str, Any]]:
    """Rows whose text says their answer."""
    labels = {"mood": ["glad", "sad"], "stance": ["for", "against"]}
    rows = []
    for n in range(count):
        row: dict[str, Any] = {
            "id": f"{task}/{split}/{n}",
            "text": f"{split} number {n}: the food is good",
            "label": None,
        }
        if task in labels:
            row["label"] = labels[task][n % 2]
            row["target"] = "taxes" if task == "stance" else None
        else:
            row["gold"] = [["food", "positive"]] if n % 3 else []
        rows.append(row)
    return rows


def write_tasks(folder: Path, tasks: Mapping[str, str] = TASKS) -> Path:
    """A folder of task files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tasks.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def write_benchmark(folder: Path, rows: int = 6) -> Path:
    """Manifest, train and val of every task."""
    manifest: dict[str, Any] = {}
    for task in TASKS:
        splits = {}
        for split in ("train", "val"):
            splits[split] = write_split(folder / task / f"{split}.jsonl", labelled(task, split, rows))
        manifest[task] = {"splits": splits | {"test": {"n": 9, "note": "held out"}}}
    (folder / "manifest.json").write_text(json.dumps({"tasks": manifest}))
    return folder


def write_split(path: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The file, and what the manifest says of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"n": len(rows), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
