"""`compeffdist evaluate`: any models, any labelled files, by the pipeline's own prompt and figures."""

import argparse
import json
from pathlib import Path
from typing import Any

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
        help="models:/NAME/VERSION, models:/NAME@ALIAS, a folder, or hf:…, pypi:…, path:…; repeat it to compare",
    )
    add(
        "--tasks",
        required=True,
        type=Path,
        metavar="FILE",
        help="YAML with a list of tasks as evaluation.tasks in params.yaml, or one labelled .jsonl, .csv or .parquet",
    )
    add("--question", help="of a labelled file: asks for the label (default: the domain's question)")
    add("--labels", help="of a labelled file: with commas between (default: those in the file)")
    add("--text-field", metavar="NAME", help="of a labelled file (default text)")
    add("--label-field", metavar="NAME", help="of a labelled file (default label)")
    add("--rows", type=int, metavar="N", help="of a labelled file: draw N, evenly over labels")
    add("--base", default="", metavar="REF", help="the base model of folders that hold an adapter")
    add(
        "--prior",
        choices=["none", "batch"],
        default="batch",
        help="batch: divide each label's likelihood by its mean over the task's texts (default); none: as it is",
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
    from compeffdist.evaluation.standalone import compare_models, decided, read_tasks, report_lines
    from compeffdist.models import cache_folder
    from compeffdist.params import PARAMS_FILE, EvaluationParams, RuntimeParams, load_params

    if len(set(args.model)) != len(args.model):
        raise UserError("--model: the same model is named twice")
    if args.out is not None and args.out.suffix not in (".jsonl", ".parquet"):
        raise UserError(f"{args.out}: the name of the output must end in .jsonl or .parquet")
    runtime = load_params().runtime if PARAMS_FILE.exists() else RuntimeParams()
    runtime = runtime.model_copy(update={"device": args.device} if args.device else {})
    params = domain_here().monitored.asked_in(EvaluationParams(tasks=read_tasks(args.tasks, _given(args))))
    rows, _ = load_evaluation(params, args.seed, cache_folder(runtime.cache))

    from compeffdist.registry.asking import ask_rows

    answers = {model: ask_rows(model, rows, params, runtime, args.base) for model in args.model}
    report = compare_models(answers, params, args.prior, args.seed)
    if args.out is not None:
        from compeffdist.record_files import write_records
        from compeffdist.records import Prediction

        made = [answer for own in answers.values() for answer in decided(own, params.tasks, args.prior)]
        write_records(args.out, Prediction, made)
    print(json.dumps(report, indent=2, ensure_ascii=False) if args.json else "\n".join(report_lines(report)))


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line says of a labelled file."""
    named = {name: getattr(args, name) for name in ("question", "labels", "text_field", "label_field", "rows")}
    named["labels"] = [label.strip() for label in args.labels.split(",")] if args.labels else None
    return {name: value for name, value in named.items() if value is not None}
