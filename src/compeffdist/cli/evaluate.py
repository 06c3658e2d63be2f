"""`compeffdist evaluate`: any models, any labelled files, by the pipeline's own prompt and figures."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from compeffdist.params import RuntimeParams

HELP = "ask models about labelled files: macro-F1 and accuracy with intervals, and how the models compare"
EXAMPLE = "compeffdist evaluate --model models:/compeffdist-student@candidate --tasks tasks.yaml"

DEFAULT_SEED = 42


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        required=True,
        action="append",
        metavar="REF",
        help="models:/NAME/VERSION, models:/NAME@ALIAS, a folder, or hf:…, pypi:…, path:…; for a benchmark also "
        "teacher, the one of params.yaml; repeat it to compare",
    )
    add(
        "--tasks",
        metavar="FILE",
        help="YAML with a list of tasks as evaluation.tasks in params.yaml, or one labelled .jsonl, .csv or .parquet; "
        "with --benchmark: names of its tasks with commas between (default: all)",
    )
    add("--benchmark", type=Path, metavar="FOLDER", help="with manifest.json and TASK/SPLIT.jsonl")
    add("--split", default="val", help="of a benchmark (default val)")
    add("--shots", type=int, default=0, metavar="K", help="of a benchmark: demonstrations (default 0)")
    add("--limit", type=int, metavar="N", help="of a benchmark: the first N rows of each task")
    add("--seeds", type=int, nargs="+", metavar="SEED", help="of a benchmark: of the demonstrations (default 42 52 62)")
    add(
        "--parity",
        choices=["official"],
        help="of a benchmark: count as its authors' scripts do, quirks included",
    )
    add("--prices", type=Path, metavar="FILE", help="of a benchmark: YAML with prices, for the cost of 1,000 answers")
    add("--question", help="of a labelled file: asks for the label (default: the domain's question)")
    add("--labels", help="of a labelled file: with commas between (default: those in the file)")
    add("--text-field", metavar="NAME", help="of a labelled file (default text)")
    add("--label-field", metavar="NAME", help="of a labelled file (default label)")
    add("--rows", type=int, metavar="N", help="of a labelled file: draw N, evenly over labels")
    add("--base", default="", metavar="REF", help="the base model of folders that hold an adapter")
    add(
        "--prior",
        choices=["none", "batch"],
        help="batch: divide each label's likelihood by its mean over the task's texts (default); none: as it is "
        "(with --parity always)",
    )
    add("--seed", type=int, default=DEFAULT_SEED, help="of draws and intervals (default 42)")
    add("--device", choices=["auto", "cpu", "cuda", "mps"], help="where the models run")
    add("--out", type=Path, metavar="FILE", help="write every answer, .jsonl or .parquet")
    add("--json", action="store_true", help="print the figures as JSON, with and without priors")


def run(args: argparse.Namespace) -> None:
    """Read the tasks, ask each model, print the figures."""
    from compeffdist.domain import domain_here
    from compeffdist.errors import UserError
    from compeffdist.evaluation.rows import load_evaluation
    from compeffdist.evaluation.standalone import asked_tasks, compare_models, decided, report_lines
    from compeffdist.models import cache_folder

    if len(set(args.model)) != len(args.model):
        raise UserError("--model: the same model is named twice")
    if args.benchmark is not None:
        _run_benchmark(args)
        return
    if args.parity is not None:
        raise UserError("--parity: is of a benchmark (--benchmark)")
    prior: Literal["none", "batch"] = args.prior or "batch"
    if args.prices is not None:
        raise UserError("--prices: is of a benchmark, not of labelled files")
    if args.tasks is None:
        raise UserError("name labelled files with --tasks, or a benchmark's folder with --benchmark")
    if args.out is not None and args.out.suffix not in (".jsonl", ".parquet"):
        raise UserError(f"{args.out}: the name of the output must end in .jsonl or .parquet")
    runtime = _runtime(args)
    params = asked_tasks(Path(args.tasks), _given(args), domain_here().monitored)
    rows, _ = load_evaluation(params, args.seed, cache_folder(runtime.cache))

    from compeffdist.registry.weights import ask_rows

    answers = {model: ask_rows(model, rows, params, runtime, args.base) for model in args.model}
    report = compare_models(answers, params, prior, args.seed)
    if args.out is not None:
        from compeffdist.record_files import write_records
        from compeffdist.records import Prediction

        made = [answer for own in answers.values() for answer in decided(own, params.tasks, prior)]
        write_records(args.out, Prediction, made)
    print(json.dumps(report, indent=2, ensure_ascii=False) if args.json else "\n".join(report_lines(report)))


def _runtime(args: argparse.Namespace) -> "RuntimeParams":
    from compeffdist.params import PARAMS_FILE, RuntimeParams, load_params

    runtime = load_params().runtime if PARAMS_FILE.exists() else RuntimeParams()
    return runtime.model_copy(update={"device": args.device} if args.device else {})


def _run_benchmark(args: argparse.Namespace) -> None:
    from compeffdist.benchmark.running import SEEDS, Settings, run_benchmark
    from compeffdist.benchmark.table import benchmark_lines
    from compeffdist.errors import UserError
    from compeffdist.params import read_prices

    strange = next(iter(_given(args)), None)
    if strange is not None:
        raise UserError(f"--{strange.replace('_', '-')}: is of a labelled file, not of a benchmark")
    if args.shots < 0 or (args.limit is not None and args.limit < 1):
        raise UserError("--shots must be 0 or more, and --limit 1 or more")
    if args.parity is not None and args.prior == "batch":
        raise UserError("--prior batch: the authors take no prior out, so it goes without --parity official")
    if args.out is not None and args.out.suffix != ".jsonl":
        raise UserError(f"{args.out}: the name of a benchmark's output must end in .jsonl")
    settings = Settings(
        folder=args.benchmark,
        names=[name.strip() for name in args.tasks.split(",")] if args.tasks else None,
        split=args.split,
        shots=args.shots,
        limit=args.limit,
        seeds=tuple(dict.fromkeys(args.seeds)) if args.seeds else SEEDS,
        official=args.parity is not None,
    )
    prices = read_prices(args.prices) if args.prices is not None else None
    report = run_benchmark(args.model, settings, _runtime(args), args.base, args.seed, args.out, prices)
    lines = benchmark_lines(report, args.prior or ("none" if args.parity else "batch"))
    print(json.dumps(report, indent=2, ensure_ascii=False) if args.json else "\n".join(lines))


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of a labelled file."""
    named = {name: getattr(args, name) for name in ("question", "labels", "text_field", "label_field", "rows")}
    named["labels"] = [label.strip() for label in args.labels.split(",")] if args.labels else None
    return {name: value for name, value in named.items() if value is not None}
