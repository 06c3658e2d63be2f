"""A long hunt for input that the product neither reads right nor refuses in one line.

    python -m tests.fuzz --cases 2000 --seconds 300 [--only NAME ...] [--seed 7]     # make fuzz

Targets take turns until the time is up or each had its cases; a fault is told with its smallest case, and then other
targets go on. The exit code is 1 if there was one.
"""

import argparse
import random
import time

from tests.fuzz.hunting import Found, hunt
from tests.fuzz.targets import TARGETS

BATCH = 50
"""Cases of a target at a time."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Hostile input for every reader.")
    parser.add_argument("--cases", type=int, default=2000, help="of each target, about (slow ones have fewer)")
    parser.add_argument("--seconds", type=float, default=300.0, help="of all together")
    parser.add_argument("--seed", type=int, default=None, help="of the hunt; drawn and told unless given")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="beginnings of names of targets")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if args.seed is None else args.seed
    draw, ends = random.Random(seed), time.monotonic() + args.seconds
    targets = [one for one in TARGETS if not args.only or one.name.startswith(tuple(args.only))]
    found = {one.name: Found(one.name) for one in targets}
    for _ in range(0, args.cases, BATCH):
        for target in targets:
            if time.monotonic() < ends and not found[target.name].faults:
                hunt(target, min(BATCH, args.cases), draw.randrange(2**32), found[target.name])
                for fault in found[target.name].faults:
                    print(f"{target.name}: {fault}", flush=True)
    print(f"seed {seed}", *found.values(), sep="\n")
    return int(any(one.faults for one in found.values()))


if __name__ == "__main__":
    raise SystemExit(main())
