"""The gates, stages `check_*`: Great Expectations over the artefact just written."""

import sys
from importlib import import_module

from compeffdist.gates.running import run_gate
from compeffdist.given import Given, Made


def run(given: Given) -> Made:
    run_gate(given, import_module(f"compeffdist.gates.{given.stage.gate}"))
    return Made()


if __name__ == "__main__":
    sys.exit("error: usage: python stages/run.py check_GATE")
