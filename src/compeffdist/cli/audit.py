"""`compeffdist audit`: every link from source to model, checked."""

import argparse

HELP = "hash and look up again every link from source texts to registered models; exit code 1 if one is broken"
EXAMPLE = "compeffdist audit --model models:/compeffdist-student@champion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="REF", help="audit one version with the data it was trained on")
    parser.add_argument("--failures", action="store_true", help="print only links that are broken")
    parser.add_argument("--json", action="store_true", help="print the links as JSON")


def run(args: argparse.Namespace) -> None:
    """Print a line a link, then the verdict."""
    import json

    from compeffdist.lineage.checkout import open_auditor
    from compeffdist.lineage.versions import find_version

    auditor = open_auditor()
    audit = auditor.version_audit(find_version(auditor.versions, args.model)) if args.model else auditor.audit()
    if args.json:
        print(json.dumps(audit.to_json(), indent=2, sort_keys=True))
    else:
        print("\n".join(audit.lines(args.failures)))
    raise SystemExit(0 if audit.passed else 1)
