"""Scoring without the pipeline: any causal language model, any file of prompts and responses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.difficulty.passes import Passes
from compeffdist.difficulty.score_difficulty import chosen_ranking, measure_rows, passes_of
from compeffdist.difficulty.spread import Source
from compeffdist.errors import UserError, one_line
from compeffdist.files import atomic_file, hash_file, write_jsonl
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.measures.registry import MEASURES, RANKING
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.records import content_id
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student
from compeffdist.texts.normalise import whole_characters
from compeffdist.texts.row_ids import row_name, written_id
from compeffdist.texts.tables import read_rows

SUFFIXES = (".jsonl", ".parquet")
COLUMNS = [name for name, measure in MEASURES.items() if measure.needs != "label_logprobs"]
"""The measures that need no labels, which a file of prompts does not name."""


@dataclass(frozen=True)
class PromptedResponse:
    """A row of a file to score."""

    id: str
    prompt: str
    response: str
    fault: str = ""
    """Why it cannot be scored, a reject reason: `too_large` (the line), `encoding_lost` (half a character)."""


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
    """Score a file row by row into `target`; every row comes out, with scores or with the reason it has none. Returns
    counts and means.

    Args:
        source: JSON Lines or Parquet with `prompt`, `response` and perhaps `id`, as data/triplets.parquet has.
        target: JSON Lines or Parquet, by its suffix, rows in the order of `source`.
        chat: put prompts into the tokenizer's chat template; else prompts are taken as they are.
        dtype: as in `load_student`.
        base_folder: the base model, where `model_folder` holds an adapter.

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

    def prompt_ids(prompt: str) -> list[int]:
        if chat:
            return encode_prompt(tokenizer, system, prompt)
        return list(tokenizer(prompt, split_special_tokens=True).input_ids)

    tokens = [
        TokenRow(row.id, prompt_ids(row.prompt), encode_response(tokenizer, row.response, end=False))
        for row in rows
        if not row.fault
    ]
    weights = {"files": _hashes(model_folder), **({"base": _hashes(base_folder)} if base_folder else {})}
    bare_prompt = prompt_ids("")
    if params.ifd and not bare_prompt:
        raise UserError(f"{model_folder}: its tokenizer begins no text with a token, so --ifd needs the chat template")
    loaded = Source(model_folder, base_folder, dtype)
    of_model = content_id("model", weights)
    with Passes(model, loaded, params, runtime, weights=of_model, rows=len(tokens) * passes_of(params)) as passes:
        values, reasons = measure_rows(passes, tokens, bare_prompt)
    results: dict[str, dict[str, Any]] = {
        row_id: {RANKING: chosen_ranking(measures, params)} | {name: measures[name] for name in COLUMNS}
        for row_id, measures in values.items()
    }
    reasons |= {row.id: row.fault for row in rows if row.fault}
    missing = dict.fromkeys((RANKING, *COLUMNS))
    _write(target, [{"id": row.id, **results.get(row.id, missing), "reason": reasons.get(row.id)} for row in rows])
    return _summary(list(results.values()), list(reasons.values()))


def read_prompted(source: Path) -> list[PromptedResponse]:
    """Rows of a file; a row without `id` is known by its number. Raises UserError as `read_rows`, and naming the row
    whose prompt or response is no string or whose id came before."""
    if source.suffix not in SUFFIXES:
        raise UserError(f"{source}: expected a file whose name ends in .jsonl or .parquet")
    columns = {"prompt": "what is answered", "response": "the answer"}
    found = read_rows(source, source.suffix.removeprefix("."), columns, {"id": "what the row is called"})
    rows: list[PromptedResponse] = []
    names: dict[str, int] = {}
    for number, row in enumerate(found, 1):
        fields, fault = row.fields, row.fault
        for column in () if fault else columns:
            if not isinstance(fields.get(column), str):
                present = one_line(", ".join(fields), 200) or "nothing"
                raise UserError(f"{source}: row {number} has no text {column!r}; it has: {present}")
            if whole_characters(fields[column]) != fields[column]:
                fault = "encoding_lost"
        name = str(number) if fields.get("id") is None else _name(fields["id"], f"{source}: row {number}")
        if name in names:
            raise UserError(f"{source}: row {number} repeats the id {one_line(name, 80)!r} of row {names[name]}")
        names[name] = number
        prompt, response = ("", "") if fault else (fields["prompt"], fields["response"])
        rows.append(PromptedResponse(name, prompt, response, fault))
    if not rows:
        raise UserError(f"{source}: holds no rows")
    return rows


def _name(row_id: object, where: str) -> str:
    written = written_id(row_id)
    if not written:
        raise UserError(f"{where}: its id {one_line(repr(row_id), 40)} is neither text nor a whole number")
    return written if whole_characters(written) == written else row_name(written)


def _hashes(folder: Path) -> dict[str, str]:
    return {file.name: hash_file(file) for file in sorted(folder.iterdir()) if file.is_file()}


def _write(target: Path, rows: list[dict[str, Any]]) -> None:
    if target.suffix == ".jsonl":
        write_jsonl(target, rows)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = {name: pa.int64() for name, measure in MEASURES.items() if measure.whole}
    kinds = {"id": pa.string(), "reason": pa.string(), **whole}
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in rows[0]])
    with atomic_file(target) as path:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


def _summary(scored: Sequence[dict[str, Any]], reasons: Sequence[str]) -> dict[str, Any]:
    means = {
        name: sum(row[name] for row in scored) / len(scored) if scored else None
        for name in (RANKING, *COLUMNS)
        if all(row[name] is not None for row in scored)
    }
    return {
        "rows": len(scored) + len(reasons),
        "scored": len(scored),
        "rejected": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
        "response_tokens": sum(row["tokens"] for row in scored),
        "means": means,
    }
