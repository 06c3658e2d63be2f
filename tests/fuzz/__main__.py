"""A long hunt for input that the product neither reads right nor refuses in one line.

    python -m tests.fuzz --cases 1000000 --seconds 3600 [--only NAME ...] [--seed 7]     # make fuzz

Targets take turns of equal time, so that quick readers have more cases than slow ones, until all together had theirs or
the time is up. A fault is told with its smallest case, and then the other targets go on. The exit code is 1 if there
was one.
"""

import argparse
import random
import time

from tests.fuzz.hunting import Found, Target, hunt
from tests.fuzz.targets import TARGETS

TURN = 2.0
"""Seconds of a target at a time, about."""
FIRST, MOST = 50, 2000
"""Cases of a target's first turn, and of any turn at most: each turn tries the simplest cases anew."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Hostile input for every reader.")
    parser.add_argument("--cases", type=int, default=100_000, help="of all targets together, about")
    parser.add_argument("--seconds", type=float, default=300.0, help="of all together")
    parser.add_argument("--seed", type=int, default=None, help="of the hunt; drawn and told unless given")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="beginnings of names of targets")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if args.seed is None else args.seed
    draw, ends = random.Random(seed), time.monotonic() + args.seconds
    targets = [one for one in TARGETS if not args.only or one.name.startswith(tuple(args.only))]
    found = {one.name: Found(one.name) for one in targets}
    while hunted := [one for one in targets if not found[one.name].faults]:
        for target in hunted:
            if time.monotonic() >= ends or sum(one.tried for one in found.values()) >= args.cases:
                break
            hunt(target, _cases(target, found[target.name]), draw.randrange(2**32), found[target.name])
            for fault in found[target.name].faults:
                print(f"{target.name}: {fault}", flush=True)
        else:
            continue
        break
    tried, faults = sum(one.tried for one in found.values()), sum(len(one.faults) for one in found.values())
    print(f"seed {seed}: {tried} cases, {faults} faults", *found.values(), sep="\n")
    return int(faults > 0)


def _cases(target: Target, found: Found) -> int:
    """What to ask of a target for a turn: of so many it tries its share."""
    rate = found.tried / found.seconds if found.seconds else 0.0
    return round(min(MOST, max(1.0, TURN * rate)) / target.share) if rate else FIRST


if __name__ == "__main__":
    raise SystemExit(main())
