"""Stage check_sample: gate of the sample: the draw it says it is, no instruction lost, no class swelled."""

from pathlib import Path

from compeffdist.domain import domain_of
from compeffdist.gates.running import run_gate
from compeffdist.gates.sample import look_at_sample
from compeffdist.params import load_params
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    bounds = params.gates.sample
    guarded = [Path("data/sampled.parquet")]
    question = domain_of(params).monitored.name
    run_gate("sample", bounds.action, guarded, lambda: look_at_sample(bounds, params.sampling, question))


if __name__ == "__main__":
    run_stage(main)
