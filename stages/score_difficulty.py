"""Stage score_difficulty: how hard each triplet is for the warmed-up student, by the rank of its response tokens."""

from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.difficulty.scoring import STAGE, score_triplets
from compeffdist.difficulty.summary import summarise_scores, write_histogram
from compeffdist.files import write_json
from compeffdist.instructions.answers import choices
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import load_params
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Instruction, ScoredTriplet, Triplet
from compeffdist.running import run_stage
from compeffdist.student.loading import read_card, student_id
from compeffdist.teacher.asking import release_engine

WARM_UP = Path("models/warmup")


def main() -> None:
    release_engine()
    params = load_params()
    triplets = read_records(Path("data/triplets.parquet"), Triplet)
    instructions = read_records(Path("data/instructions.jsonl"), Instruction)
    scored, rejects = score_triplets(
        triplets,
        WARM_UP,
        params.difficulty,
        params.runtime,
        weights=student_id(WARM_UP),
        system=read_card(WARM_UP)["system_prompt"],
        base_folder=model_folder(read_identity(Path("models/student.json")), cache_folder(params.runtime.cache)),
        choices={instruction.id: labels for instruction in instructions if (labels := choices(instruction))},
    )
    write_records(Path("data/scored.parquet"), ScoredTriplet, scored)
    write_rejects(Path(f"data/rejects/{STAGE}.parquet"), rejects)
    write_histogram(Path("metrics/difficulty_histogram.csv"), scored)
    records = account(STAGE, len(triplets), len(scored), rejects)
    write_json(Path(f"metrics/{STAGE}.json"), {"records": records, **summarise_scores(scored)})


if __name__ == "__main__":
    run_stage(main)
