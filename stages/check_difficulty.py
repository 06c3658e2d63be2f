"""Stage check_difficulty: gate of the scores: not saturated, none missing, by a scorer that was warmed up."""

from pathlib import Path

from compeffdist.gates.difficulty import look_at_difficulty
from compeffdist.gates.running import run_gate
from compeffdist.params import load_params
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    bounds = params.gates.difficulty
    guarded = [Path("data/scored.parquet")]
    run_gate("difficulty", bounds.action, guarded, lambda: look_at_difficulty(bounds))


if __name__ == "__main__":
    run_stage(main)
