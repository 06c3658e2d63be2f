"""`compeffdist predict`: ask a registered student."""

import argparse
from pathlib import Path
from typing import Any

NAME = "predict"
HELP = "ask a registered student for the polarity of texts, or for answers to prompts"
EXAMPLE = 'compeffdist predict --text "The battery lasts two days."'
DEFAULT_MODEL = "models:/compeffdist-student@candidate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"MLflow model URI (default {DEFAULT_MODEL})")
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("--text", action="append", help="a text whose polarity is asked; may be repeated")
    asked.add_argument("--prompt", action="append", help="a prompt to be answered; may be repeated")
    asked.add_argument("--file", type=Path, help="JSON Lines with `text` or `prompt` in each line")
    parser.add_argument("--json", action="store_true", help="print one JSON object a row")


def run(args: argparse.Namespace) -> None:
    """Load the version, ask it in batches, print one line a row."""
    from compeffdist.files import canonical_json
    from compeffdist.registry.asking import ask_model, read_rows

    if args.file is not None:
        rows = read_rows(args.file)
    else:
        kind = "text" if args.text is not None else "prompt"
        rows = [{kind: value} for value in args.text or args.prompt]
    for row, result in zip(rows, ask_model(args.model, rows), strict=True):
        print(canonical_json({**row, **result}) if args.json else _line(row, result))


def _line(row: dict[str, str], result: dict[str, Any]) -> str:
    from compeffdist.errors import one_line

    if "answer" in result:
        return one_line(result["answer"])
    likelihood = result["probabilities"][result["polarity"]]
    return f"{result['polarity']:<8} {likelihood:.2f}  {one_line(row['text'], 90)}"
