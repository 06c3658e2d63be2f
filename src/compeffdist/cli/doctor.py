"""`compeffdist doctor`: what a run would trip over, before it does."""

import argparse

HELP = "look at the machine, params and what they name, stores, git and DVC; exit code 1 if something will not work"
EXAMPLE = "compeffdist doctor --online"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--online", action="store_true", help="ask servers and registries, too (default: no network)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> None:
    """Print a line for each finding; leave with 1 if one is a fault."""
    import json
    from collections import Counter
    from dataclasses import asdict

    from compeffdist.doctor.looking import look
    from compeffdist.errors import one_line

    findings = []
    for finding in look(args.online):
        findings.append(finding)
        if not args.json:
            advice = f": {finding.do}" if finding.do else ""
            print(f"{finding.state:<6} {finding.of}: {one_line(finding.said, 400)}{one_line(advice, 200)}", flush=True)
    counts = Counter(finding.state for finding in findings)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        print(f"faults: {counts['fault']}, notes: {counts['note']}, ok: {counts['ok']}")
    if counts["fault"]:
        raise SystemExit(1)
