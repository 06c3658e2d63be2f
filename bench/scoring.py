"""How fast difficulty is scored: the slow obvious way, ours, and the limit; same rows, model, dtype and threads.

    python bench/scoring.py [--model FOLDER] [--triplets data/triplets.parquet] [--rows 180] [--dtype float32]

slow    row by row, as the official script: logits at every position, all hidden states returned, and for each response
        token a softmax, a full sort of the vocabulary and a copy to the host
apart   compeffdist.difficulty.scorer with every row read whole
shared  the same as the pipeline uses it: what rows have in common is read once
body    bare forward passes of the model's body over whole rows in the batches of `apart`, no head: the limit

The ways take turns, --repeat times; medians are compared. On a busy machine compare seconds of CPU with --threads 1:
they are what the ratios in brackets are of. Peak memory is the largest resident size of the process
during each (Linux; elsewhere the largest so far), the model included. Growth is measured on written rows with two
random layers in place of the model, so that what the scorer itself costs per row shows.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from real_rows import long_rows, real_rows, student_folder, token_rows, written_rows

from compeffdist.difficulty.scorer import score_rows
from compeffdist.params import load_params
from compeffdist.student.batching import TokenRow, collate, plan_batches
from compeffdist.student.head import split_model
from compeffdist.student.loading import load_student

TOP_P, MAX_LENGTH = 0.95, 2048
LONG_RESPONSE = 100
GROWTH = (1000, 4000, 16000)


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    runtime = load_params().runtime
    budget, cache = arguments.budget or runtime.token_budget, runtime.cache
    model, tokenizer = load_student(arguments.model, "cpu", arguments.dtype)
    size = f"{model.config.model_type} of {model.num_parameters() / 1e6:.0f}M"
    print(f"{size} · {model.dtype} · {arguments.threads} threads · budget {budget}")
    source, texts = real_rows(arguments.triplets, arguments.rows, cache)
    compare(f"rows as they come, {source}", model, token_rows(tokenizer, texts), budget, arguments.repeat)
    source, rows = long_rows(arguments.triplets, arguments.long_rows, LONG_RESPONSE, tokenizer, cache)
    compare(f"responses of {LONG_RESPONSE}+ tokens, {source}", model, rows, budget, arguments.repeat)
    if arguments.growth:
        measure_growth(tokenizer, cache, budget)


def compare(label: str, model: Any, rows: Sequence[TokenRow], budget: int, repeat: int) -> None:
    """Time the four ways on `rows` in turn; print rates, ratios, memory and the largest difference in score."""
    tokens = sum(len(row.prompt_ids) + len(row.response_ids) for row in rows)
    responses = sum(len(row.response_ids) for row in rows)
    read = tokens_read(rows, budget)
    print(f"\n{label}: {len(rows)} rows, {tokens} tokens, {responses} of them in responses; shared: {read} read")
    settings: dict[str, Any] = {"top_p": TOP_P, "max_length": MAX_LENGTH, "token_budget": budget}
    ways: dict[str, Callable[[], Any]] = {
        "shared": lambda: score_rows(model, rows, **settings)[0],
        "apart": lambda: score_rows(model, rows, share_prefixes=False, **settings)[0],
        "body": lambda: run_body(model, rows, budget),
        "slow": lambda: [slow_row(model, row) for row in rows],
    }
    ways["apart"]()  # memory and kernels are warm before anything is timed
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, float] = {}
    results = {}
    for _ in range(repeat):
        for name, run in ways.items():
            forget_peak()
            start, cpu_start = time.perf_counter(), time.process_time()
            results[name] = run()
            seconds[name].append(time.perf_counter() - start)
            cpu[name].append(time.process_time() - cpu_start)
            peaks[name] = max(peaks.get(name, 0.0), peak_gib())
    median = {name: statistics.median(values) for name, values in seconds.items()}
    median_cpu = {name: statistics.median(values) for name, values in cpu.items()}
    for name, value in median.items():
        rates = f"{len(rows) / value:8.2f} rows/s {tokens / value:8.0f} tokens/s"
        print(
            f"  {name:<7}{rates}   {value:6.1f} s ({median_cpu[name]:.1f} of CPU)   peak {peaks[name]:.2f} GiB",
            flush=True,
        )
    for name in ("shared", "apart"):
        differences = [abs(float(a.scores.mean()) - b) for a, b in zip(results[name], results["slow"], strict=True)]
        slower, body = (_ratio(median, median_cpu, way, name) for way in ("slow", "body"))
        print(f"  {name}: the slow way takes {slower} times as long, the bare body {body};", end=" ")
        print(f"difference in score: mean {statistics.mean(differences):.1g}, largest {max(differences):.1g}")


def _ratio(wall: dict[str, float], cpu: dict[str, float], way: str, ours: str) -> str:
    return f"{wall[way] / wall[ours]:.2f} ({cpu[way] / cpu[ours]:.2f})"


def slow_row(model: Any, row: TokenRow) -> float:
    """Mean score of a row, computed as the official script does it."""
    with torch.no_grad():
        ids = torch.tensor([[*row.prompt_ids, *row.response_ids]])
        logits = model(input_ids=ids, labels=ids, output_hidden_states=True).logits[0]
    scores = []
    for number, target in enumerate(row.response_ids):
        probabilities = torch.softmax(logits[len(row.prompt_ids) + number - 1].float(), dim=-1)
        descending, order = torch.sort(probabilities, descending=True)
        size = min(int((descending.cumsum(0) < TOP_P).sum().item()) + 1, len(descending))
        rank = int((order == target).nonzero().item())
        scores.append(rank / size if rank < size else 1.0)
    return sum(scores) / len(scores)


def run_body(model: Any, rows: Sequence[TokenRow], budget: int) -> None:
    """The body alone over the batches the scorer makes when it shares nothing."""
    parts = split_model(model)
    with torch.inference_mode():
        for batch in plan_batches(rows, budget, share=False):
            parts.hidden(collate([rows[index] for index in batch.rows])[0])


def tokens_read(rows: Sequence[TokenRow], budget: int) -> int:
    """Tokens the body reads when prefixes are shared, padding included."""
    read, before = 0, None
    for batch in plan_batches(rows, budget):
        prefix = tuple(rows[batch.rows[0]].prompt_ids[: batch.prefix])
        read += 0 if prefix == before else len(prefix)
        read += len(batch.rows) * (max(rows[index].width for index in batch.rows) - batch.prefix)
        before = prefix
    return read


def measure_growth(tokenizer: Any, cache: str, budget: int) -> None:
    """Cost from 1K to 16K rows with two random layers: what planning, collating and scoring tokens cost."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=2,
        initializer_range=1.0,  # weights so large that nuclei are narrow, as a trained model's are
    )
    model = LlamaForCausalLM(config).eval()
    print("\ngrowth, two random layers: rows, seconds, milliseconds a row, of them planning, peak GiB")
    for count in GROWTH:
        rows = token_rows(tokenizer, written_rows(count, cache))
        forget_peak()
        start = time.perf_counter()
        for _ in plan_batches(rows, budget):
            pass
        planned = time.perf_counter() - start
        start = time.perf_counter()
        score_rows(model, rows, top_p=TOP_P, max_length=MAX_LENGTH, token_budget=budget)
        seconds = time.perf_counter() - start
        each = f"{1000 * seconds / count:8.2f} {1000 * planned / count:8.3f}"
        print(f"  {count:6d} {seconds:8.1f} {each} {peak_gib():6.2f}", flush=True)


def forget_peak() -> None:
    """Start the measurement of the peak anew, where the system allows it."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def peak_gib() -> float:
    """Largest resident size of this process since `forget_peak` on Linux, since its start elsewhere, in GiB."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a student's model folder; default: the student of params.yaml")
    parser.add_argument("--triplets", type=Path, default=Path("data/triplets.parquet"))
    parser.add_argument("--rows", type=int, default=180, help="rows as they come")
    parser.add_argument("--long-rows", type=int, default=24, help="rows with long responses")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--budget", type=int, help="tokens of a batch with padding; default: that of params.yaml")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each way")
    parser.add_argument("--no-growth", dest="growth", action="store_false", help="leave out growth with rows")
    arguments = parser.parse_args()
    arguments.model = arguments.model or student_folder()
    return arguments


if __name__ == "__main__":
    main()
