"""`compeffdist score`: difficulty of any prompts and responses under any causal language model."""

import argparse
import json
from pathlib import Path
from typing import Any

from compeffdist.params import DifficultyParams, RuntimeParams, checked

HELP = "score how hard responses are for a causal language model"
EXAMPLE = "compeffdist score --model path:models/warmup --triplets data/triplets.parquet --out scores.jsonl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, difficulty, runtime = parser.add_argument, DifficultyParams(), RuntimeParams()
    add("--model", required=True, help="a model folder, or a reference such as hf:repo@revision")
    add("--base", help="the base model, likewise, where --model is an adapter")
    add("--triplets", required=True, type=Path, help=".jsonl or .parquet with prompt, response and perhaps id")
    add("--out", required=True, type=Path, help=".jsonl or .parquet to write, a row for each row")
    add("--system", help="system prompt (default: the student's)")
    add("--plain", action="store_true", help="prompts as they are, without the chat template")
    add("--top-p", type=float, default=difficulty.top_p, help="mass of the nucleus (default %(default)s)")
    add("--max-length", type=int, default=difficulty.max_length, help="longest row in tokens (default %(default)s)")
    add("--include-zero", action="store_true", help="rank by the mean over all tokens")
    add("--ifd", action="store_true", help="also instruction-following difficulty: a second pass")
    add("--token-budget", type=int, default=runtime.token_budget, help="tokens of a batch (default %(default)s)")
    add(
        "--device",
        default="auto",
        choices=["auto", "cpu", "cuda", "mps"],
        help="where it runs (default: a GPU, if there is one)",
    )
    add(
        "--dtype",
        default="auto",
        choices=["auto", "float32", "bfloat16", "float16"],
        help="precision it computes in (default: by its weights and the machine)",
    )
    add("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> None:
    """Find the model, score the file, print what came of it."""
    from compeffdist.difficulty.standalone import score_file
    from compeffdist.domain import domain_here
    from compeffdist.models import find_model_folder
    from compeffdist.student.loading import system_prompt_of
    from compeffdist.texts.normalise import whole_characters

    difficulty = checked(
        DifficultyParams, top_p=args.top_p, max_length=args.max_length, exclude_zero=not args.include_zero, ifd=args.ifd
    )
    runtime = checked(RuntimeParams, token_budget=args.token_budget, device=args.device)
    folder = find_model_folder(args.model, runtime.cache)
    if args.system is None:
        system = system_prompt_of(folder, domain_here().system_prompts.student)
    else:
        system = whole_characters(args.system)
    summary = score_file(
        args.triplets,
        args.out,
        folder,
        difficulty,
        runtime,
        system=system,
        chat=not args.plain,
        dtype=args.dtype,
        base_folder=find_model_folder(args.base, runtime.cache) if args.base else None,
    )
    print(json.dumps(summary, indent=2) if args.json else _lines(summary, args.out))


def _lines(summary: dict[str, Any], target: Path) -> str:
    rejected = ", ".join(f"{count} {reason}" for reason, count in summary["rejected"].items())
    lines = [f"{summary['scored']} of {summary['rows']} rows scored into {target}"]
    if rejected:
        lines.append(f"without a score: {rejected}")
    if summary["scored"]:
        means = summary["means"]
        lines.append(f"mean ranking score {means['ranking']:.3f}, miss rate {means['miss_rate']:.3f}")
    return "\n".join(lines)
