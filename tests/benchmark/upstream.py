"""Git repositories with a benchmark's source files, in the form that SENTIBENCH's authors have them."""

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

TASKS = {
    "mood": "family: A\nquestion: Which mood is the text in?\nlabels: [glad, sad]\n",
    "stance": "family: A\nquestion: What is its stance towards {target}?\nlabels: [favor, against]\n",
    "terms": (
        "family: B\nquestion: Which aspects?\n"
        "fields:\n  - {name: term, from_text: true}\n  - {name: sentiment, values: [positive, negative]}\n"
    ),
    "categories": (
        "family: B\nquestion: Which categories?\n"
        "fields:\n  - {name: category, values: [food quality]}\n  - {name: sentiment, values: [positive, negative]}\n"
    ),
    "quads": (
        "family: B\nquestion: Which opinions?\nfields:\n  - {name: category, values: [food quality]}\n"
        "  - {name: term, from_text: true, may_be_absent: true}\n  - {name: opinion, from_text: true}\n"
        "  - {name: sentiment, values: [positive, negative]}\n"
    ),
    "graphs": (
        "family: B\nquestion: Whose opinions?\nmetric: sentiment_graph_f1\nfields:\n"
        "  - {name: holder, from_text: true, may_be_absent: true}\n"
        "  - {name: target, from_text: true, may_be_absent: true}\n"
        "  - {name: expression, from_text: true}\n  - {name: sentiment, values: [positive, negative]}\n"
        "official: {repeated: once, malformed: loses_the_row, cut: all}\n"
    ),
}
FORMS = {"mood": "label", "stance": "label", "terms": "aspect_terms", "categories": "aspect_categories"}
FORMS |= {"quads": "quadruples", "graphs": "opinions"}


def aspect(target: str, category: str, polarity: str, begin: int = 0) -> dict[str, str]:
    end = begin + len(target) if target != "NULL" else 0
    return {
        "from": str(begin),
        "to": str(end),
        "target": target,
        "category": category,
        "polarity": polarity,
    }


SOUP = "The soup, the bread and the soup again, all of it as good as the soup of my own grandmother in her kitchen"
REVIEWED = [
    {
        "ID": "1:0",
        "sentence": SOUP,
        "aspects": [
            aspect("soup", "FOOD#QUALITY", "positive", 65),
            aspect("soup", "FOOD#QUALITY", "positive", 4),
            aspect("soup", "FOOD#STYLE_OPTIONS", "positive", 4),
            aspect("bread", "FOOD#QUALITY", "negative", 14),
            aspect("NULL", "FOOD#QUALITY", "positive"),
        ],
    },
    {"ID": "1:1", "sentence": "We came late.", "aspects": []},
    {"ID": "1:2", "sentence": "The soup!", "aspects": [aspect("soup", "FOOD#QUALITY", "positive", 4)]},
]


def opinion(holder: Any, target: Any, expression: Any, polarity: str) -> dict[str, Any]:
    return {
        "Source": holder,
        "Target": target,
        "Polar_expression": expression,
        "Polarity": polarity,
        "Intensity": "Strong",
    }


NOBODY: list[list[str]] = [[], []]
BEST = opinion(NOBODY, [["stay"], ["5:9"]], [["Best", "ever !"], ["0:4", "10:16"]], "Positive")
HATED = opinion([["I"], ["0:1"]], NOBODY, [["hated"], ["2:7"]], "Negative")
MARKED = [
    {"sent_id": "h/1", "opinions": [BEST, BEST], "sentence": "Best stay ever !"},
    {"sent_id": "h/2", "opinions": [HATED], "sentence": "I hated it ."},
    {"sent_id": "h/3", "opinions": [], "sentence": "We came late ."},
]
QUAD = {"aspect": "NULL", "category": "food quality", "sentiment": "positive", "opinion": "good"}
SPLITS: dict[str, list[dict[str, Any]]] = {
    "mood": [{"sentence": "I sing \N{GRINNING FACE}", "label": "Glad", "label_score": 2.75}],
    "stance": [{"sentence": "No more of it", "target": "taxes", "label": "AGAINST"}],
    "quads": [{"sentence": "good , good", "quards_str": "", "quards": [QUAD, QUAD]}],
    "graphs": MARKED,
}


def write_source(folder: Path) -> dict[str, Any]:
    """Two repositories below `folder` and, below its `benchmarks`, where `mini` comes from; what stands there."""
    here = {f"{task}/{split}.json": rows for task, rows in SPLITS.items() for split in ("train", "test")}
    here |= {"rest/train.json": REVIEWED, "rest/test.json": REVIEWED[:1]}
    bytes_here = {path: official_bytes(rows) for path, rows in here.items()}
    dev = official_bytes([REVIEWED[2]])
    source: dict[str, Any] = {
        "licence": "none declared",
        "repositories": {
            "main": {"url": f"file://{folder}/main", "commit": commit(folder / "main", bytes_here)},
            "earlier": {"url": f"file://{folder}/earlier", "commit": commit(folder / "earlier", {"dev.json": dev})},
        },
        "row_lists": {"dev": {"repository": "earlier", "path": "dev.json", "sha256": sha256(dev)}},
        "tasks": {},
    }
    for task, form in FORMS.items():
        place = task if task in SPLITS else "rest"
        train = {"path": f"{place}/train.json", "sha256": sha256(bytes_here[f"{place}/train.json"])}
        splits = {"test": {"path": f"{place}/test.json", "rows": len(here[f"{place}/test.json"])}}
        if place == "rest":
            splits |= {"train": {**train, "rows": 2, "without": "dev"}, "val": {**train, "rows": 1, "only": "dev"}}
        else:
            splits |= {"train": {**train, "rows": len(SPLITS[task])}}
        source["tasks"][task] = {"form": form, "repository": "main", "splits": splits}
    (folder / "benchmarks/mini").mkdir(parents=True)
    for task, text in TASKS.items():
        (folder / f"benchmarks/mini/{task}.yaml").write_text(text)
    declare(folder, source)
    return source


def declare(folder: Path, source: Mapping[str, Any]) -> None:
    """Say where the benchmark `mini` comes from."""
    path = folder / "benchmarks/sources/mini.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(source))


def official_bytes(rows: Any) -> bytes:
    """JSON with a byte order mark and carriage returns, as many of the authors' files have."""
    return json.dumps(rows, indent=4).replace("\n", "\r\n").encode("utf-8-sig")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def commit(folder: Path, files: Mapping[str, bytes]) -> str:
    """Commit files into a repository, new or there, with a later commit that changes them all; the first one's name."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "as published")
    first = git(folder, "rev-parse", "HEAD")
    for path in files:
        (folder / path).write_text("[]")
    git(folder, "commit", "-qam", "all gone")
    return first


def git(folder: Path, *arguments: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", *arguments]
    return subprocess.run(command, cwd=folder, env=clean, check=True, capture_output=True, text=True).stdout.strip()
