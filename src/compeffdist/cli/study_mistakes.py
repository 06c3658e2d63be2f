"""`compeffdist study mistakes`: where the teacher is wrong, and whether difficulty or its own confidence says so."""

import argparse
import json
from pathlib import Path

HELP = "how the teacher's wrong answers go with difficulty, and whether its confidence finds them, on gold rows"
EXAMPLE = "compeffdist study mistakes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, out = parser.add_argument, Path("report/mistakes.json")
    add("--seed", type=int, metavar="S", help="of the intervals (default: that of params.yaml)")
    add("--out", type=Path, default=out, metavar="FILE", help="the figures as JSON (default %(default)s)")
    add("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> None:
    """Score the teacher's answers to the evaluation rows, write the figures, print tables."""
    from compeffdist.errors import UserError

    if args.out.suffix != ".json":
        raise UserError(f"--out: {args.out}: the name must end in .json")
    from compeffdist.evaluation.agreement import Resampling
    from compeffdist.files import write_json
    from compeffdist.params import load_params
    from compeffdist.study.gold import read_answers, score_answers
    from compeffdist.study.mistakes import mistakes
    from compeffdist.study.mistakes_table import mistakes_lines

    params = load_params()
    answered = read_answers(params)
    rows, left_out = score_answers(answered, params)
    judged = len(answered) - sum(left_out.values())
    if not judged:
        raise UserError(
            f"none of {len(answered)} gold rows has a difficulty: {', '.join(left_out) or 'there are none'}"
        )
    how = Resampling(
        params.evaluation.bootstrap, params.evaluation.confidence, params.seed if args.seed is None else args.seed
    )
    sampling = params.sampling
    told = {
        "records": {"in": len(answered), "judged": judged, "left_out": left_out},
        "label_prior_strength": params.label_priors.strength,
        "sampling": {"rate": sampling.rate, "peak": sampling.peak},
        "resamples": how.resamples,
        "confidence": how.confidence,
        "seed": how.seed,
        "readings": {name: mistakes(own, how, sampling.rate, sampling.peak) for name, own in rows.items()},
    }
    write_json(args.out, told)
    print(json.dumps(told) if args.json else "\n".join([*mistakes_lines(told), str(args.out)]))
