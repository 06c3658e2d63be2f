"""Stage sample_triplets: difficulty-prioritised sampling; every row's inclusion probability and draw is kept."""

from pathlib import Path

from compeffdist.difficulty.drawing import STAGE, sample_triplets
from compeffdist.files import write_json
from compeffdist.params import load_params, stage_seed
from compeffdist.running import run_stage


def main() -> None:
    params = load_params()
    metrics = sample_triplets(
        Path("data/scored.parquet"),
        Path("data/predicted.parquet"),
        Path("data/triplets.parquet"),
        Path("data/sampled.parquet"),
        params.sampling,
        stage_seed(params.seed, STAGE),
    )
    write_json(Path(f"metrics/{STAGE}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
