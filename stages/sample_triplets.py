"""Stage sample_triplets: difficulty-prioritised sampling; every row's inclusion probability and draw is kept."""

from pathlib import Path

from compeffdist.difficulty.sampling import STAGE, draw_sample, sample_metrics
from compeffdist.errors import run_stage
from compeffdist.files import write_json
from compeffdist.params import load_params, stage_seed
from compeffdist.records import Draw, ScoredTriplet, read_records, write_records


def main() -> None:
    params = load_params()
    scored = read_records(Path("data/scored.parquet"), ScoredTriplet)
    draws = draw_sample(scored, params.sampling, stage_seed(params.seed, STAGE))
    write_records(Path("data/sampled.parquet"), Draw, draws)
    write_json(Path(f"metrics/{STAGE}.json"), sample_metrics(draws))


if __name__ == "__main__":
    run_stage(main)
