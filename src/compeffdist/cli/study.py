"""`compeffdist study`: can these difficulty scores be trusted?"""

import argparse
import json
from pathlib import Path

from compeffdist.artefacts import TRIPLETS
from compeffdist.cli import study_agreement, study_label, study_mistakes, study_perspectives, study_tasks
from compeffdist.cli.commands import add_command
from compeffdist.errors import UserError
from compeffdist.params import load_params
from compeffdist.seeds import stage_seed

HELP = "check difficulty scores: against other measures, other runs and settings, and human labels"
EXAMPLE = (
    "compeffdist study --top-p 0.9 0.95 0.99 --warm-up-rows 12 48 --seeds 1 2\n"
    "  compeffdist study --runs yesterday.parquet     agreement with another scored.parquet\n"
    "  compeffdist study --sheet report/sheet.csv     100 rows to label from 1 to 5\n"
    "  compeffdist study label report/sheet.csv       with the keyboard, on a page\n"
    "  compeffdist study --labels report/sheet.csv    agreement with what was labelled\n"
    "  compeffdist study agreement                    of student and teacher on pairs not trained on\n"
    "  compeffdist study mistakes                     of the teacher, by difficulty and confidence\n"
    "  compeffdist study tasks                        which generated tasks are poor, which stand for the others\n"
    "  compeffdist study perspectives --sheet FILE    20 perspectives for a person to judge"
)

PARTS = {
    "label": study_label,
    "agreement": study_agreement,
    "mistakes": study_mistakes,
    "tasks": study_tasks,
    "perspectives": study_perspectives,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    data, report = Path("data"), Path("report")
    add("--scored", type=Path, default=data / "scored.parquet", metavar="FILE", help="what is studied")
    add("--runs", type=Path, nargs="+", default=[], metavar="FILE", help="other scores of its triplets")
    add("--top-p", type=float, nargs="+", default=[], metavar="P", help="score again with each top-p")
    add("--warm-up-rows", type=int, nargs="+", default=[], metavar="N", help="warm up on so many rows, and score again")
    add("--seeds", type=int, nargs="+", default=[], metavar="S", help="warm up with another seed, and score again")
    add("--sheet", type=Path, metavar="FILE", help="write rows to label (.csv or .tsv), and no page")
    add("--sheet-rows", type=int, default=100, metavar="N", help="how many (default: 100)")
    add("--labels", type=Path, metavar="FILE", help="the sheet, labelled")
    add("--out", type=Path, default=report / "study.html", metavar="FILE", help="page; the JSON is put beside it")
    add("--json", action="store_true", help="print the findings as JSON")
    parts = parser.add_subparsers(metavar="PART", title="of its own arguments")
    for name, module in PARTS.items():
        add_command(parts, name, module)


def run(args: argparse.Namespace) -> None:
    """Write the sheet, or study and write page and JSON; print a summary."""
    machine = args.out.with_suffix(".json")
    if machine == args.out:
        raise UserError(f"--out: {args.out} is where the JSON is put; name the page, such as {args.out.stem}.html")
    if args.sheet:
        _write_sheet(args)
        return
    from compeffdist.files import write_json
    from compeffdist.pages import write_page
    from compeffdist.study.findings import STAGE, study_scores
    from compeffdist.study.measures import read_scores
    from compeffdist.study.page import render, summary_lines
    from compeffdist.study.variants import make_variants, score_variants

    params = load_params()
    runs = [read_scores(path) for path in args.runs]
    variants = make_variants(params, args.top_p, args.warm_up_rows, args.seeds)
    runs += score_variants(variants, Path(".compeffdist/study")) if variants else []
    study = study_scores(args.scored, Path(TRIPLETS), stage_seed(params.seed, STAGE), runs, args.labels)
    write_page(args.out, render(study))
    write_json(machine, study.to_json())
    print(json.dumps(study.to_json()) if args.json else "\n".join([*summary_lines(study), f"{args.out}, {machine}"]))


def _write_sheet(args: argparse.Namespace) -> None:
    if args.sheet.exists():
        raise UserError(f"{args.sheet}: already there, and may hold labels; name another file")
    if args.sheet_rows < 1:
        raise UserError(f"--sheet-rows: must be at least 1 (got {args.sheet_rows})")
    from compeffdist.study.findings import STAGE, read_triplets
    from compeffdist.study.labels import LABEL, SCALE, choose_rows, task_types_of, write_sheet
    from compeffdist.study.measures import read_scores

    scores = read_scores(args.scored)
    seed = stage_seed(load_params().seed, STAGE)
    places = choose_rows(scores, task_types_of(scores, Path(TRIPLETS)), args.sheet_rows, seed)
    ids = [scores.triplet_ids[int(place)].as_py() for place in places]
    triplets = read_triplets(Path(TRIPLETS), ids)
    write_sheet(args.sheet, [triplets[triplet_id] for triplet_id in ids])
    print(f"{len(ids)} rows in {args.sheet}: put {SCALE[0]} (easy) to {SCALE[-1]} (hard) into the column {LABEL},")
    print(f"with the keyboard on a page: compeffdist study label {args.sheet}")
    print(f"or in a spreadsheet, as far as you get, then: compeffdist study --labels {args.sheet}")
