"""Stage study_difficulty: the scores as a page: distribution, other measures, real rows of every decile."""

from pathlib import Path

from compeffdist.files import write_json
from compeffdist.pages import write_page
from compeffdist.params import load_params, stage_seed
from compeffdist.running import run_stage
from compeffdist.study.findings import STAGE, study_scores
from compeffdist.study.page import render


def main() -> None:
    seed = stage_seed(load_params().seed, STAGE)
    study = study_scores(Path("data/scored.parquet"), Path("data/triplets.parquet"), seed)
    write_page(Path("report/difficulty.html"), render(study))
    write_json(Path(f"metrics/{STAGE}.json"), study.to_json())


if __name__ == "__main__":
    run_stage(main)
