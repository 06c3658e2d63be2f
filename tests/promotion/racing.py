"""Two processes that promote different versions of one model at the same time, again and again: in one checkout, or
each in a clone of its own, between which the ledger goes by way of git."""

import os
import subprocess
import sys
from pathlib import Path

from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.params import Params
from compeffdist.registry.tracking import open_tracking

RACER = """
import shutil, sys, time
from pathlib import Path
from compeffdist.errors import UserError
from compeffdist.ledger import PROMOTIONS
from compeffdist.lineage.checkout import version_problems
from compeffdist.params import Params
from compeffdist.promotion.promote import promote

own, folder, rounds = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
params = Params.model_validate_json(sys.stdin.read())

def wait(name):
    deadline = time.monotonic() + 120
    while not (folder / name).exists():
        assert time.monotonic() < deadline, f"waited for {name} in vain"

for number in range(rounds):
    def audit(version):
        wait(f"told-{number}")  # the mutex is held until the other one has been told so
        return version_problems(version) if audited else []

    (folder / f"ready-{number}-{own}").touch()
    wait(f"ready-{number}-{1 - own}")
    try:
        outcome = promote(2 * number + own + 1, params, audit, override)
        assert not [reason for reason in outcome.reasons if reason.startswith("audit")], outcome.reasons
        said = "won"
        if clones:
            shutil.copy(PROMOTIONS, folder / f"pushed-{number}")
    except UserError as error:
        (folder / f"told-{number}").touch()
        said = "told" if "has been promoting since" in str(error) else str(error)
    (folder / f"done-{number}-{own}").touch()
    wait(f"done-{number}-{1 - own}")
    if clones and said == "told":
        refused = promote(2 * number + own + 1, params, lambda version: [])
        behind = refused.entry is None and [reason for reason in refused.reasons if "; git pull" in reason]
        said = "told, then that it is behind" if behind else str(refused)
        PROMOTIONS.parent.mkdir(exist_ok=True)
        shutil.copy(folder / f"pushed-{number}", PROMOTIONS)
    if clones:
        (folder / f"pulled-{number}-{own}").touch()
        wait(f"pulled-{number}-{1 - own}")
    print(said, flush=True)
"""


def race(params: Params, folder: Path, rounds: int, *, clones: bool = False, audited: bool = False) -> list[list[str]]:
    """What the two said in each round, in alphabetical order; versions 1 to 2 * `rounds` are there.

    Args:
        folder: of what they tell each other, and of their clones, `clone 0` and `clone 1`.
        audited: the clones are checkouts that are there already, in which the versions are audited; these need not be
            better than their base.
    """
    override = "made for a test" if audited else None
    command = [sys.executable, "-c", f"{clones=}\n{audited=}\n{override=}\n{RACER}"]
    places = [folder / f"clone {own}" if clones else Path.cwd() for own in range(2)]
    for place in places:
        place.mkdir(exist_ok=True)
    racers = [
        subprocess.Popen(
            [*command, str(own), str(folder), str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
            cwd=place,
        )
        for own, place in enumerate(places)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(params.model_dump_json())
        racer.stdin.close()
        racer.stdin = None
    said = [racer.communicate(timeout=300)[0].splitlines() for racer in racers]
    assert [racer.returncode for racer in racers] == [0, 0]
    champion = open_tracking().get_model_version_by_alias(params.registry.model_name, "champion")
    for place in places:
        entries = Ledger(place / PROMOTIONS).entries()
        assert len(entries) == rounds and entries[-1].body["to"] == int(champion.version)
    return [sorted(pair) for pair in zip(*said, strict=True)]
