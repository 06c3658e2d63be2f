"""The gates, stages `check_*`: Great Expectations over the artefact just written."""

from importlib import import_module

from compeffdist.gates.running import run_gate
from compeffdist.given import Given, Made


def run(given: Given) -> Made:
    gate = import_module(f"compeffdist.gates.{given.stage.gate}")
    run_gate(given, gate.GUARDS, gate.gather)
    return Made()
