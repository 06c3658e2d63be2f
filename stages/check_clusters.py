"""Stage check_clusters: gate of the perspectives: not collapsed, not exploded, every attribute in one."""

from pathlib import Path

from compeffdist.gates.clusters import look_at_clusters
from compeffdist.gates.running import run_gate
from compeffdist.params import load_params
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    bounds = params.gates.clusters
    guarded = [Path("data/clusters.json")]
    run_gate("clusters", bounds.action, guarded, lambda: look_at_clusters(bounds))


if __name__ == "__main__":
    run_stage(main)
