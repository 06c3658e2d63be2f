"""Scoring without the pipeline: any causal language model, any file of prompts and responses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.difficulty.scoring import score_both_ways
from compeffdist.difficulty.shards import RowScore
from compeffdist.errors import UserError, one_line
from compeffdist.files import atomic_file, hash_file, write_jsonl
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.records import content_id
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SUFFIXES = (".jsonl", ".parquet")
COLUMNS = (
    "ranking",
    "ranking_excluding_zero",
    "ranking_all",
    "perplexity",
    "tokens",
    "miss_rate",
    "nucleus_miss_rate",
    "ifd",
)


@dataclass(frozen=True)
class PromptedResponse:
    """A row of a file to score."""

    id: str
    prompt: str
    response: str


def score_file(
    source: Path,
    target: Path,
    model_folder: Path,
    params: DifficultyParams,
    runtime: RuntimeParams,
    *,
    system: str,
    chat: bool = True,
    dtype: str = "auto",
    base_folder: Path | None = None,
) -> dict[str, Any]:
    """Score a file row by row into `target`; every row comes out, with scores or with the reason it has none.

    Args:
        source: JSON Lines or Parquet with `prompt`, `response` and perhaps `id`, as data/triplets.parquet has.
        target: JSON Lines or Parquet, by its suffix, rows in the order of `source`.
        chat: put prompts into the tokenizer's chat template; else prompts are taken as they are.
        dtype: as in `load_student`.
        base_folder: the base model, where `model_folder` holds an adapter.

    Returns:
        Counts and means.

    Raises:
        UserError: a file that cannot be read as that, or a model that cannot be scored with.
    """
    if target.suffix not in SUFFIXES:
        raise UserError(f"{target}: the name of the output must end in .jsonl or .parquet")
    if target.resolve() == source.resolve():
        raise UserError(f"{target}: is what is scored, and would be lost; name another output")
    rows = read_prompted(source)
    if base_folder is None and (model_folder / "adapter_config.json").exists():
        raise UserError(f"{model_folder}: holds an adapter; name the model it was trained on with --base")
    model, tokenizer = load_student(model_folder, runtime.device, dtype, base_folder)
    tokens = [
        TokenRow(
            row.id,
            _prompt_ids(tokenizer, system, row.prompt, chat),
            encode_response(tokenizer, row.response, end=False),
        )
        for row in rows
    ]
    weights = {"files": _hashes(model_folder)}
    if base_folder is not None:
        weights["base"] = _hashes(base_folder)
    bare_prompt = _prompt_ids(tokenizer, system, "", chat)
    if params.ifd and not bare_prompt:
        raise UserError(f"{model_folder}: its tokenizer begins no text with a token, so --ifd needs the chat template")
    scores, rejects = score_both_ways(model, tokens, bare_prompt, params, runtime, content_id("model", weights))
    results = {score.id: _columns(score, ifd, params) for score, ifd in scores}
    reasons, missing = dict(rejects), dict.fromkeys(COLUMNS)
    _write(target, [{"id": row.id, **results.get(row.id, missing), "reason": reasons.get(row.id)} for row in rows])
    return _summary(list(results.values()), list(reasons.values()))


def read_prompted(source: Path) -> list[PromptedResponse]:
    """Rows of a file; a row without `id` is known by its number.

    Raises:
        UserError: naming the file, and the row whose prompt or response is no string or whose id came before.
    """
    rows: list[PromptedResponse] = []
    seen: set[str] = set()
    for number, row in enumerate(_raw_rows(source), 1):
        if not isinstance(row, dict):
            raise UserError(f"{source}: row {number} is not an object with prompt and response")
        for column in ("prompt", "response"):
            if not isinstance(row.get(column), str):
                present = ", ".join(row) or "nothing"
                raise UserError(f"{source}: row {number} has no text {column!r}; it has: {present}")
        row_id = str(number if row.get("id") is None else row["id"])
        if row_id in seen:
            raise UserError(f"{source}: row {number} repeats the id {row_id!r}")
        seen.add(row_id)
        rows.append(PromptedResponse(row_id, row["prompt"], row["response"]))
    if not rows:
        raise UserError(f"{source}: holds no rows")
    return rows


def _raw_rows(source: Path) -> Sequence[Any]:
    import pyarrow as pa

    if source.suffix not in SUFFIXES:
        raise UserError(f"{source}: expected a file whose name ends in .jsonl or .parquet")
    try:
        return _parquet_rows(source) if source.suffix == ".parquet" else _json_rows(source)
    except FileNotFoundError:
        raise UserError(f"{source}: no such file") from None
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: cannot be read: {one_line(error, 200)}") from None


def _parquet_rows(source: Path) -> Sequence[Any]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source)
    present = file.schema_arrow.names
    for column in ("prompt", "response"):
        if column not in present:
            raise UserError(f"{source}: no column {column!r}; there are: {', '.join(present)}")
    rows: list[Any] = file.read(columns=[name for name in ("id", "prompt", "response") if name in present]).to_pylist()
    return rows


def _json_rows(source: Path) -> Sequence[Any]:
    rows = []
    for number, line in enumerate(source.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise UserError(f"{source}: line {number} is not valid JSON: {one_line(error, 120)}") from None
    return rows


def _hashes(folder: Path) -> dict[str, str]:
    return {file.name: hash_file(file) for file in sorted(folder.iterdir()) if file.is_file()}


def _prompt_ids(tokenizer: "PreTrainedTokenizerBase", system: str, prompt: str, chat: bool) -> list[int]:
    if chat:
        return encode_prompt(tokenizer, system, prompt)
    return list(tokenizer(prompt, split_special_tokens=True).input_ids)


def _columns(score: RowScore, ifd: float | None, params: DifficultyParams) -> dict[str, Any]:
    ranking = score.ranking_excluding_zero if params.exclude_zero else score.ranking_all
    values = {"ranking": ranking, "ifd": ifd}
    return {name: values[name] if name in values else getattr(score, name) for name in COLUMNS}


def _write(target: Path, rows: list[dict[str, Any]]) -> None:
    if target.suffix == ".jsonl":
        write_jsonl(target, rows)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"id": pa.string(), "tokens": pa.int64(), "reason": pa.string()}
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in rows[0]])
    with atomic_file(target) as path:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


def _summary(scored: Sequence[dict[str, Any]], reasons: Sequence[str]) -> dict[str, Any]:
    means = {
        name: sum(row[name] for row in scored) / len(scored) if scored else None
        for name in ("ranking", "ranking_all", "miss_rate", "nucleus_miss_rate")
    }
    return {
        "rows": len(scored) + len(reasons),
        "scored": len(scored),
        "rejected": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
        "response_tokens": sum(row["tokens"] for row in scored),
        "means": means,
    }
