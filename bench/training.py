"""How fast the student is trained: trl as it comes, ours with rows read whole, ours with shared beginnings read once.

    python bench/training.py [--model FOLDER] [--rows data/training.parquet] [--count 256] [--batch-size 32] [--small]

trl     SFTTrainer of trl with its own collator and loss, rows of like length together, float32
whole   compeffdist.student.training with `group_rows: 1`, float32
shared  the same with shared beginnings read once, float32
…, auto the same in the precision that the pipeline takes by default: bfloat16 products where the CPU has them

Each way trains full weights on the same rows in a process of its own, with an optimiser step a batch; the first --warm
steps are not timed. On a busy machine compare the ratios in brackets, of seconds of CPU. `tokens/s` counts every row's
own tokens, whatever is read; `read` is the share of them that goes through the model, padding included. Peak memory is
the largest resident size of the process (Linux, macOS), model, moments and libraries included. `--small` trains random
weights of two layers on a few rows, to see that all ways run.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from real_rows import real_rows, student_folder

from compeffdist.domain import domain_here
from compeffdist.formatting import load_tokenizer
from compeffdist.params import FineTuningParams, load_params
from compeffdist.student.curve import CurvePoint
from compeffdist.student.packing import EncodedRow
from compeffdist.student.training import TrainingRow, encode_rows, fine_tune, step_size

TRL_ROWS = 8
"""Rows that trl is given at once, the rest of a step by accumulation: 32 of SmolLM2-135M take 20 GiB."""
WAYS: dict[str, dict[str, Any]] = {
    "trl": {"compute_dtype": "float32"},
    "whole": {"group_rows": 1, "compute_dtype": "float32"},
    "shared": {"compute_dtype": "float32"},
    "whole, auto": {"group_rows": 1},
    "shared, auto": {},
}


def main() -> None:
    arguments = parse_arguments()
    if arguments.way:
        print(json.dumps(measure(arguments)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        model = small_model(Path(scratch)) if arguments.small else arguments.model or student_folder()
        source, rows = training_rows(arguments)
        encoded = encode_rows(
            load_tokenizer(model), domain_here().system_prompts.student, rows, arguments.max_length, "bench"
        )[0]
        tokens = sum(row.length for row in encoded)
        print(f"{len(encoded)} rows, {tokens} tokens, {arguments.batch_size} rows a step; {source}")
        found: dict[str, dict[str, float]] = {}
        for way in arguments.ways or WAYS:
            found[way] = run_apart(way, model)
            one, first = found[way], next(iter(found.values()))
            print(
                f"  {way:<13}{one['rows_per_second']:8.2f} rows/s{one['tokens_per_second']:8.0f} tokens/s"
                f"   {one['rows_per_second'] / first['rows_per_second']:5.2f} times the first"
                f" ({first['cpu_per_step'] / one['cpu_per_step']:.2f})"
                f"   read {one['read']:4.0%}   peak {one['peak_gib']:5.2f} GiB   last loss {one['loss']:.3f}",
                flush=True,
            )


def run_apart(way: str, model: Path) -> dict[str, float]:
    """One way in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{way}: exit status {done.returncode}: {done.stderr.strip()}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Train in one way; rates over the steps after the first ones."""
    import torch

    torch.set_num_threads(arguments.threads)
    settings = FineTuningParams(
        epochs=1.0,
        batch_size=arguments.batch_size,
        max_length=arguments.max_length,
        pass_tokens=arguments.pass_tokens,
        **({"group_rows": arguments.group_rows} | WAYS[arguments.way]),
    )
    rows = training_rows(arguments)[1]
    encoded = encode_rows(
        load_tokenizer(arguments.model), domain_here().system_prompts.student, rows, settings.max_length, "bench"
    )[0]
    steps: list[tuple[float, float, float]] = []
    train = train_with_trl if arguments.way == "trl" else train_with_ours
    read = counted_tokens()
    train(
        arguments.model,
        rows,
        settings,
        encoded,
        lambda loss: steps.append((time.perf_counter(), time.process_time(), loss)),
    )
    timed = len(steps) - max(arguments.warm, 1)
    if timed < 1:
        sys.exit(f"{len(steps)} steps, of which {arguments.warm} are not timed: more rows (--count), please")
    seconds, cpu = ((steps[-1][clock] - steps[-1 - timed][clock]) / timed for clock in (0, 1))
    tokens = sum(row.length for row in encoded)
    return {
        "rows_per_second": arguments.batch_size / seconds,
        "tokens_per_second": tokens / len(encoded) * arguments.batch_size / seconds,
        "cpu_per_step": cpu,
        "read": read() / tokens,
        "peak_gib": peak_gib(),
        "loss": steps[-1][2],
    }


def train_with_ours(
    model: Path,
    rows: list[TrainingRow],
    settings: FineTuningParams,
    encoded: list[EncodedRow],
    on_step: Callable[[float], None],
) -> None:
    """As the pipeline trains."""

    def on_point(point: CurvePoint) -> None:
        on_step(point.loss)

    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "student"
        fine_tune(
            model,
            rows,
            settings,
            base_id="bench",
            seed=1,
            output=output,
            stage="bench",
            device="cpu",
            on_point=on_point,
            system=domain_here().system_prompts.student,
        )


def train_with_trl(
    model: Path,
    rows: list[TrainingRow],
    settings: FineTuningParams,
    encoded: list[EncodedRow],
    on_step: Callable[[float], None],
) -> None:
    """As trl trains tokenised rows with labels by itself."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    class Steps(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                on_step(logs["loss"])

    with tempfile.TemporaryDirectory() as scratch:
        config = SFTConfig(
            output_dir=scratch,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=min(settings.batch_size, TRL_ROWS),
            gradient_accumulation_steps=max(settings.batch_size // TRL_ROWS, 1),
            learning_rate=step_size(settings),
            lr_scheduler_type=settings.schedule,
            weight_decay=settings.weight_decay,
            max_length=None,
            gradient_checkpointing=False,
            train_sampling_strategy="group_by_length",
            dataset_kwargs={"skip_prepare_dataset": True},
            bf16=False,
            use_cpu=True,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        columns = [{"input_ids": row.input_ids, "labels": row.labels, "length": row.length} for row in encoded]
        SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
            args=config,
            train_dataset=Dataset.from_list(columns),
            processing_class=load_tokenizer(model),
            callbacks=[Steps()],
        ).train()


def counted_tokens() -> Callable[[], int]:
    """Count every token, padding included, that an embedding layer is asked for from now on."""
    import torch

    original, count = torch.nn.Embedding.forward, 0

    def counting(self: torch.nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
        nonlocal count
        if torch.is_grad_enabled():
            count += ids.numel()
        return original(self, ids)

    torch.nn.Embedding.forward = counting  # type: ignore[method-assign, assignment]
    return lambda: count


def training_rows(arguments: argparse.Namespace) -> tuple[str, list[TrainingRow]]:
    """Where the rows are from, and the rows."""
    if arguments.small:
        texts = [f"{'word ' * (number % 5)}{number}" for number in range(arguments.count)]
        pairs = [(f"Is the text good or bad? Say one word.\n\nInput: {text}", "good") for text in texts]
        return "made up", [TrainingRow(f"row{number:06d}", *pair) for number, pair in enumerate(pairs)]
    source, pairs = real_rows(arguments.rows, arguments.count, load_params().runtime.cache)
    return source, [TrainingRow(f"row{number:06d}", *pair) for number, pair in enumerate(pairs)]


def small_model(folder: Path) -> Path:
    """Random weights under the tokenizer of the tests."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from tests.student.tiny import tiny_model_folder

    return tiny_model_folder(folder / "model")


def peak_gib() -> float:
    """Largest resident size of this process, in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a student's model folder; default: the student of params.yaml")
    parser.add_argument("--rows", type=Path, default=Path("data/training.parquet"), help="triplets")
    parser.add_argument("--count", type=int, default=256, help="rows to train on, instruction by instruction")
    parser.add_argument("--batch-size", type=int, default=32, help="rows an optimiser step")
    parser.add_argument("--group-rows", type=int, default=FineTuningParams().group_rows)
    parser.add_argument("--pass-tokens", type=int, default=FineTuningParams().pass_tokens)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warm", type=int, default=1, help="steps that are not timed, one at least")
    parser.add_argument("--ways", nargs="*", choices=WAYS, help="only these")
    parser.add_argument("--small", action="store_true", help="a random tiny model on made-up rows")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
