"""`compeffdist predict`: ask a registered student."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compeffdist.registry.prompted_rows import PromptedRow

HELP = "ask a registered student its domain's question of texts, its tasks, any closed question, or for free answers"
EXAMPLE = 'compeffdist predict --text "The battery lasts two days." --question "Is it praise?" --labels praise,blame'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", help="MLflow model URI (default: the candidate of registry.model_name in params.yaml)")
    rows = parser.add_mutually_exclusive_group(required=True)
    rows.add_argument(
        "--text", action="append", help="a text of which its domain's question (or what else) is asked; may be repeated"
    )
    rows.add_argument("--prompt", action="append", help="a prompt to be answered; may be repeated")
    rows.add_argument(
        "--file",
        type=Path,
        help="CSV, Parquet or JSON Lines with `text` or `prompt` in each row; with a text, `task`, or `question` "
        "and `labels`, say what is asked of it",
    )
    rows.add_argument("--list-tasks", action="store_true", help="print the tasks that --task may name")
    add("--text-field", metavar="NAME", help="of a file: the column of texts (default: text)")
    add("--out", type=Path, help="of a file: write its rows, with all their columns and ours behind them, to this one")
    add("--prefix", help="of --out: how our columns' names begin (default: student_)")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--task", help="a task the student was taught, asked of every text that names none")
    asked.add_argument("--question", help="a question asked of every text that names none; needs --labels")
    add("--labels", help="the answers to --question, separated by commas")
    strength = parser.add_mutually_exclusive_group()
    strength.add_argument(
        "--prior-strength",
        type=float,
        help="how much of the student's liking for some labels is taken out, 0 to 1 (default: as it was registered)",
    )
    strength.add_argument("--no-priors", action="store_const", const=0.0, dest="prior_strength", help="take none out")
    add("--json", action="store_true", help="print one JSON object a row")


def run(args: argparse.Namespace) -> None:
    """Load the version, ask it in batches, print one line a row; and to standard error whence the priors were."""
    from compeffdist.canonical import canonical_json
    from compeffdist.registry.asking import load_version, tasks_of
    from compeffdist.registry.prompted_rows import PromptedRow, read_prompted_rows
    from compeffdist.texts.normalise import whole_characters

    model = args.model or _candidate()
    if args.list_tasks:
        for task in tasks_of(model):
            print(canonical_json(task) if args.json else f"{task['name']}: {_answers(task)}")
        return
    asked = _asked(args)
    _check_file(args)
    if args.file is not None:
        rows = read_prompted_rows(args.file, asked, args.text_field or "")
    else:  # an argument that is not of the terminal's encoding arrives as halves of characters, too
        kind, given = ("text", args.text) if args.text is not None else ("prompt", args.prompt)
        whole = [{kind: whole_characters(text), **asked} for text in given]
        rows = [PromptedRow(number, row) for number, row in enumerate(whole, 1)]
    version = load_version(model)
    if args.file is not None:
        rows = [version.fitting(row) for row in rows]
    sent = [row for row in rows if not row.reject]
    numbers = [row.number for row in sent]
    results = version.ask([row.asked for row in sent], args.prior_strength, numbers, args.file is not None)
    sources, rejected = Counter[str](), Counter[str]()
    if args.out is not None:
        _write(args, rows, results, sources, rejected)
    for row in rows if args.out is None else ():
        result = {"reject": row.reject} if row.reject else next(results)
        if reject := result.get("reject"):
            print(canonical_json({"row": row.number, "reject": reject}) if args.json else f"rejected {reject}")
            rejected.update([reject])
            continue
        print(canonical_json({**row.asked, **result}) if args.json else _line(row.asked, result))
        sources.update([result["prior"]] if "prior" in result else [])
    if rejected:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items()))
        asked_of = len(rows) - rejected.total()
        print(f"{args.file}: {asked_of} of {len(rows)} rows asked; rejected: {reasons}", file=sys.stderr)
    if sources.keys() - {"version", "none"}:
        counts = ", ".join(f"{count} rows by {source}" for source, count in sorted(sources.items()))
        print(f"label priors: {counts} (docs/label-priors.md)", file=sys.stderr)


def _check_file(args: argparse.Namespace) -> None:
    """Raises UserError if arguments do not go together, or the answers cannot be put beside the file's columns."""
    from compeffdist.errors import UserError
    from compeffdist.registry.answered_file import PREFIX, check_out

    of_file = {"--text-field": args.text_field, "--out": args.out}
    if args.file is None and (stray := next((name for name, value in of_file.items() if value is not None), "")):
        raise UserError(f"{stray}: is of a file (--file)")
    if args.prefix is not None and args.out is None:
        raise UserError("--prefix: is of --out")
    if args.out is not None:
        check_out(args.file, args.out, PREFIX if args.prefix is None else args.prefix)


def _write(
    args: argparse.Namespace,
    rows: "list[PromptedRow]",
    results: Iterator[Mapping[str, Any]],
    sources: Counter[str],
    rejected: Counter[str],
) -> None:
    """Write the file of answers, and note whence their priors were and why rows have none."""
    from compeffdist.registry.answered_file import PREFIX, beside, write_answered

    values = list(beside(rows, results))
    write_answered(args.file, args.out, PREFIX if args.prefix is None else args.prefix, values)
    sources.update(value["prior"] for value in values if value.get("prior"))
    rejected.update(value["reject"] for value in values if value.get("reject"))
    print(f"{args.out}: {len(rows)} rows", file=sys.stderr)


def _candidate() -> str:
    """The candidate of the model that params name; without params, of the one that they name by default."""
    from compeffdist.params import PARAMS_FILE, RegistryParams, load_params
    from compeffdist.registry.register import CANDIDATE
    from compeffdist.tracking_uri import SCHEME

    registry = load_params().registry if PARAMS_FILE.exists() else RegistryParams()
    return f"{SCHEME}{registry.model_name}@{CANDIDATE}"


def _asked(args: argparse.Namespace) -> dict[str, str]:
    """What is asked of texts by arguments. Raises UserError if they do not go together."""
    from compeffdist.errors import UserError
    from compeffdist.texts.normalise import whole_characters

    said = {key: getattr(args, key) for key in ("task", "question", "labels")}
    given = {key: whole_characters(value) for key, value in said.items() if value is not None}
    if ("question" in given) != ("labels" in given):
        raise UserError("--question and --labels go together; for a free answer use --prompt")
    if given and args.prompt is not None:
        raise UserError(f"--{next(iter(given))} is asked of texts; a prompt is asked as it is")
    return given


def _answers(task: Mapping[str, Any]) -> str:
    from compeffdist.prompting import listed

    return listed(task["labels"]) if task["labels"] else "a free answer"


def _line(row: Mapping[str, str], result: Mapping[str, Any]) -> str:
    from compeffdist.errors import one_line

    if "answer" in result:
        return one_line(result["answer"])
    label = result["label"] if "label" in result else result["polarity"]  # a version from before there were others
    return f"{label:<8} {result['probabilities'][label]:.2f}  {one_line(row['text'], 90)}"
