"""Source files of SENTIBENCH as its authors have them, made into a folder that `rows.load_benchmark_rows` reads.

Gold tuples are those that the authors' `fsa.py` builds as `label_seq` (HITSZ-HLT/Sentiment-Distillation), as lists.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from compeffdist.benchmark.fetching import Files
from compeffdist.benchmark.rows import MANIFEST, OPINION_PARTS
from compeffdist.benchmark.sources import Form, Source, SourceSplit, SourceTask
from compeffdist.benchmark.tasks import JOINED, BenchmarkTask
from compeffdist.canonical import hash_bytes
from compeffdist.errors import UserError
from compeffdist.files import atomic_folder, read_json, write_json
from compeffdist.params import ABSENT

Row = dict[str, Any]
EMPTY: Row = {"label": None, "target": None, "score": None, "gold": None, "opinions": None, "source_id": None}
"""What a row has beside its id and text."""
UNHELD = "not held against a SHA-256, as none is known; the commit says what the file is"


# ---------------------------------------------------------------- forms of rows


def _label(raw: Row) -> Row:
    return {"label": raw["label"].lower(), "target": raw.get("target"), "score": raw.get("label_score")}


def _aspect_terms(raw: Row) -> Row:
    """(term, polarity) in the order of the text; the same pair at two places stands twice."""
    named = [one for one in raw["aspects"] if one["target"] not in (ABSENT, None)]
    said = dict.fromkeys((int(one["from"]), int(one["to"]), one["target"], one["polarity"]) for one in named)
    placed = sorted(said, key=lambda one: one[:2])
    return {"gold": [[term, polarity] for _, _, term, polarity in placed], "source_id": raw.get("ID")}


def _aspect_categories(raw: Row) -> Row:
    said = [(one["category"].lower().replace("#", " "), one["polarity"]) for one in raw["aspects"]]
    return {"gold": _once(said), "source_id": raw.get("ID")}


def _quadruples(raw: Row) -> Row:
    return {"gold": _once((q["category"], q["aspect"], q["opinion"], q["sentiment"]) for q in raw["quards"])}


def _opinions(raw: Row) -> Row:
    """(holder, target, expression, polarity), and the opinions themselves with their places; all NULL if none."""
    said = []
    for one in raw["opinions"]:
        holder, target, expression = (JOINED.join(one[part][0]) for part in OPINION_PARTS)
        said.append((holder or ABSENT, target or ABSENT, expression, one["Polarity"].lower()))
    gold = _once(said) or [[ABSENT] * 4]
    return {"gold": gold, "opinions": raw["opinions"], "source_id": raw.get("sent_id")}


def _once(tuples: Any) -> list[list[str]]:
    return [list(one) for one in dict.fromkeys(tuples)]


FORMS: Mapping[Form, Callable[[Row], Row]] = {
    "label": _label,
    "aspect_terms": _aspect_terms,
    "aspect_categories": _aspect_categories,
    "quadruples": _quadruples,
    "opinions": _opinions,
}
"""By the name in the source's data: a row of a file -> what it says beside its `sentence`."""


# ---------------------------------------------------------------- splits, folder


def write_benchmark_folder(
    out: Path, name: str, source: Source, files: Files, tasks: Mapping[str, BenchmarkTask]
) -> dict[str, dict[str, int]]:
    """Write manifest and rows, all or nothing.

    Args:
        name: of the benchmark; a folder that is there is replaced only if it was written for it.
        files: all of `source.files()`.
        tasks: by name; a task's labels are what its rows may have.

    Returns:
        task -> split -> how many rows.

    Raises:
        UserError: `out` is something else; a source file is not of its form or has not as many rows as the source says.
    """
    refuse_other_folder(out, name)
    contents: dict[tuple[str, str], bytes] = {}
    manifest: dict[str, Any] = {}
    for key, task in source.tasks.items():
        splits = {}
        for split, wanted in task.splits.items():
            lines = _lines(source, task, wanted, files, f"{key}/{split}", tasks[key])
            contents[key, split] = content = b"".join(lines)
            splits[split] = {
                "n": len(lines),
                "bytes": len(content),
                "sha256": hash_bytes(content),
                "source_path": wanted.path,
                "source_sha256": hash_bytes(files[task.repository, wanted.path]),
                **({"note": UNHELD} if wanted.sha256 is None else {}),
                **{how: listed for how, listed in (("only", wanted.only), ("without", wanted.without)) if listed},
            }
        manifest[key] = {**_described(tasks[key]), "repository": task.repository, "splits": splits}
    with atomic_folder(out) as draft:
        for (key, split), content in contents.items():
            (draft / key).mkdir(exist_ok=True)
            (draft / key / f"{split}.jsonl").write_bytes(content)
        known = source.model_dump(include={"licence", "repositories", "row_lists"})
        write_json(draft / MANIFEST, {"benchmark": name, **known, "tasks": manifest})
    return {key: {split: stated["n"] for split, stated in task["splits"].items()} for key, task in manifest.items()}


def refuse_other_folder(out: Path, name: str) -> None:
    """Raises UserError if `out` holds something other than this benchmark, which would be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_dir() and not out.is_symlink():
        if not any(out.iterdir()):
            return
        manifest = read_json(out / MANIFEST) if (out / MANIFEST).is_file() else None
        if isinstance(manifest, dict) and manifest.get("benchmark") == name:
            return
    raise UserError(f"{out}: is there and was not written by compeffdist benchmark fetch {name}: name another folder")


def _described(task: BenchmarkTask) -> dict[str, Any]:
    said = {"category": task.family, "metric": task.metric, "form": "classification" if task.labels else "tuples"}
    return {**said, **({"labels": list(task.labels)} if task.labels else {})}


def _lines(
    source: Source, task: SourceTask, split: SourceSplit, files: Files, name: str, asked: BenchmarkTask
) -> list[bytes]:
    """The rows of a split, each a line of JSON."""
    raws = _list(files, task.repository, split.path)
    for listed, kept in ((split.only, True), (split.without, False)):
        if listed is not None:
            one = source.row_lists[listed]
            ids = {_id(raw, one.path) for raw in _list(files, one.repository, one.path)}
            raws = [raw for raw in raws if (_id(raw, split.path) in ids) == kept]
    if len(raws) != split.rows:
        raise UserError(f"{split.path}: {len(raws)} rows for {name}, not {split.rows}; nothing is written")
    form = FORMS[task.form]
    lines = []
    for number, raw in enumerate(raws):
        try:
            row = {"id": f"{name}/{number}", "text": raw["sentence"], **EMPTY, **form(raw)}
            lines.append((json.dumps(row, ensure_ascii=False) + "\n").encode())
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            said = f"{type(error).__name__}: {error}"
            raise UserError(f"{split.path}: row {number} of {name} is not of form {task.form} ({said})") from None
        if asked.labels and row["label"] not in asked.labels:
            raise UserError(f"{split.path}: row {number} of {name}: label {row['label']!r} is not one of the task's")
    return lines


def _list(files: Files, repository: str, path: str) -> list[Any]:
    try:
        value = json.loads(files[repository, path].decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON: {error}; nothing is written") from None
    if not isinstance(value, list):
        raise UserError(f"{path}: is no JSON list; nothing is written")
    return value


def _id(raw: Any, path: str) -> str:
    own = raw.get("ID") if isinstance(raw, dict) else None
    if not isinstance(own, str):
        raise UserError(f"{path}: a row has no ID; nothing is written")
    return own
