"""Stage check_triplets: gate of the teacher's answers: every pair answered or refused, labels in their set."""

from pathlib import Path

from compeffdist.domain import domain_of
from compeffdist.gates.running import run_gate
from compeffdist.gates.triplets import look_at_triplets
from compeffdist.params import load_params
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    bounds = params.gates.triplets
    guarded = [Path("data/triplets.parquet")]
    run_gate("triplets", bounds.action, guarded, lambda: look_at_triplets(bounds, domain_of(params).monitored))


if __name__ == "__main__":
    run_stage(main)
