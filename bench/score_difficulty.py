"""How fast difficulty is scored: the slow obvious way, ours, and the limit; same rows, model and threads.

    python bench/score_difficulty.py [--model FOLDER] [--triplets data/triplets.parquet] [--rows 32]

slow   row by row, logits at every position, softmax and full sort of the vocabulary, a loop over tokens
ours   compeffdist.difficulty.scorer
body   bare forward passes of the model's body over the same tokens in the same batches, no head: the limit

Peak memory is what the process held at its largest by the end of each, so ours runs first. On a busy machine
compare seconds of CPU with --threads 1. Without a triplets
file, rows are cut from the prose of Python's own documentation.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from tests.difficulty.oracle import oracle_row

from compeffdist.difficulty.batching import TokenRow, plan_batches
from compeffdist.difficulty.head import split_model
from compeffdist.difficulty.scorer import collate, score_rows
from compeffdist.formatting import STUDENT_SYSTEM, encode_prompt, encode_response
from compeffdist.models import cache_folder, model_folder, resolve_model
from compeffdist.params import load_params
from compeffdist.records import Triplet, read_records
from compeffdist.student.loading import load_student

TOP_P, MAX_LENGTH = 0.95, 2048
LONG_RESPONSE = 100


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    model, tokenizer = load_student(arguments.model, "cpu", arguments.dtype)
    rows = triplet_rows(arguments.triplets, tokenizer) if arguments.triplets.exists() else prose_rows(tokenizer)
    print(f"{arguments.model.name} · {model.dtype} · {arguments.threads} threads · budget {arguments.budget}")
    long = [row for row in rows if len(row.response_ids) >= LONG_RESPONSE]
    print(f"loaded: {peak_gib():.2f} GiB")
    for label, chosen in (("all rows", rows), (f"responses of {LONG_RESPONSE}+ tokens", long)):
        if chosen:
            step = max(1, len(chosen) // arguments.rows)
            compare(label, model, chosen[::step][: arguments.rows], arguments.budget)


def compare(label: str, model: Any, rows: Sequence[TokenRow], budget: int) -> None:
    """Time the three ways on `rows` and print rates, ratios, memory and the largest difference in score."""
    tokens = sum(len(row.prompt_ids) + len(row.response_ids) for row in rows)
    responses = sum(len(row.response_ids) for row in rows)
    print(f"\n{label}: {len(rows)} rows, {tokens} tokens, {responses} of them in responses")
    settings: dict[str, Any] = {"top_p": TOP_P, "max_length": MAX_LENGTH, "token_budget": budget}
    score_rows(model, rows[:2], **settings)  # warm up
    seconds, results = {}, {}
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: score_rows(model, rows, **settings)[0],
        "body": lambda: run_body(model, rows, budget),
        "slow": lambda: [oracle_row(model, row, TOP_P) for row in rows],
    }
    for name, run in ways.items():
        start, cpu_start = time.perf_counter(), time.process_time()
        results[name] = run()
        seconds[name], cpu = time.perf_counter() - start, time.process_time() - cpu_start
        rates = f"{len(rows) / seconds[name]:8.2f} rows/s {tokens / seconds[name]:8.0f} tokens/s"
        print(f"  {name}  {rates} {cpu:7.1f} s of CPU   peak so far {peak_gib():.2f} GiB", flush=True)
    pairs = zip(results["ours"], results["slow"], strict=True)
    worst = max(abs(ours.ranking_all - slow.ranking_all) for ours, slow in pairs)
    print(f"  ours is {seconds['slow'] / seconds['ours']:.1f} times the slow way", end=", ")
    print(f"{seconds['body'] / seconds['ours']:.0%} of the bare body; largest difference in score {worst:.1g}")


def run_body(model: Any, rows: Sequence[TokenRow], budget: int) -> None:
    """The body alone over the batches the scorer makes."""
    parts = split_model(model)
    with torch.inference_mode():
        for batch in plan_batches(rows, budget, share=False):
            parts.hidden(collate([rows[index] for index in batch.rows])[0])


def triplet_rows(source: Path, tokenizer: Any) -> list[TokenRow]:
    return [
        TokenRow(
            triplet.id,
            encode_prompt(tokenizer, STUDENT_SYSTEM, triplet.prompt),
            encode_response(tokenizer, triplet.response, end=False),
        )
        for triplet in read_records(source, Triplet)
    ]


def prose_rows(tokenizer: Any) -> list[TokenRow]:
    """200 rows of 120-400 prompt tokens and 4-200 response tokens, lengths spread evenly."""
    from pydoc_data.topics import topics

    prose = tokenizer("\n".join(topics[key] for key in sorted(topics)), verbose=False).input_ids
    rows, start = [], 0
    for number in range(200):
        prompt, response = 120 + number * 37 % 281, 4 + number * 61 % 197
        ids = prose[start : start + prompt + response]
        rows.append(TokenRow(f"prose{number:03d}", ids[:prompt], ids[prompt:]))
        start += prompt + response
    return rows


def peak_gib() -> float:
    """Largest resident size of this process so far, in GiB (Linux counts in KiB, macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a student's model folder; default: the student of params.yaml")
    parser.add_argument("--triplets", type=Path, default=Path("data/triplets.parquet"))
    parser.add_argument("--rows", type=int, default=32, help="rows of each kind")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budget", type=int, default=4096, help="tokens of one batch, padding included")
    arguments = parser.parse_args()
    if arguments.model is None:
        params = load_params()
        cache = cache_folder(params.runtime.cache)
        arguments.model = model_folder(resolve_model("student", params.models.student, cache), cache)
    return arguments


if __name__ == "__main__":
    main()
