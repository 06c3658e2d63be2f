"""`compeffdist trace`: a row's whole ancestry and what came of it."""

import argparse

HELP = "show what a record or model version was made from, and what was made of it"
EXAMPLE = "compeffdist trace models:/compeffdist-student@candidate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id",
        help="an id, or its beginning; SOURCE:ROW, as a source names its row, or ROW alone; models:/NAME/VERSION or "
        "models:/NAME@ALIAS",
    )
    parser.add_argument("--all", action="store_true", help="show every branch, where the default is a few of each")
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print everything as JSON, records in full")
    formats.add_argument("--prov", action="store_true", help="print W3C PROV-JSON")


def run(args: argparse.Namespace) -> None:
    import json

    from compeffdist.lineage.checkout import open_tracer
    from compeffdist.lineage.prov import prov_json
    from compeffdist.lineage.tree import render

    tracer = open_tracer()
    trace = tracer.trace(args.id)
    if args.prov:
        print(prov_json(trace))
    elif args.json:
        print(json.dumps(trace.to_json(), indent=2, sort_keys=True, ensure_ascii=False))
    else:
        print("\n".join(render(trace, tracer, everything=args.all)))
