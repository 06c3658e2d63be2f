"""Stage predict_difficulty: in mode proxy, how hard the pairs that were not asked are likely to be."""

from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.files import write_json
from compeffdist.instructions.parts import PREDICTED, SCORED, in_part
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import load_params
from compeffdist.proxy.predicting import STAGE, predict_difficulty, scored_part
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Instruction, Pair, PredictedDifficulty, ScoredTriplet, Text, Triplet, by_id
from compeffdist.running import run_stage
from compeffdist.teacher.asking import release_engine


def main() -> None:
    release_engine()
    params = load_params()
    made = read_records(Path("data/pairs.parquet"), Pair)
    pairs = in_part(made, PREDICTED)
    instructions = by_id(read_records(Path("data/instructions.jsonl"), Instruction))
    texts = by_id(read_records(Path("data/texts.parquet"), Text))
    triplets = read_records(Path("data/triplets.parquet"), Triplet)
    scored = read_records(Path("data/scored.parquet"), ScoredTriplet)
    found = predict_difficulty(
        [(pair, instructions[pair.instruction_id], texts[pair.text_id]) for pair in pairs],
        scored_part(triplets, scored),
        params,
        asked=len(in_part(made, SCORED)),
        warm_up=Path("models/warmup"),
        base_folder=model_folder(read_identity(Path("models/student.json")), cache_folder(params.runtime.cache)),
        output=Path("models/proxy"),
    )
    write_records(Path("data/predicted.parquet"), PredictedDifficulty, found.predicted)
    write_rejects(Path(f"data/rejects/{STAGE}.parquet"), found.rejects)
    records = account(STAGE, len(pairs), len(found.predicted), found.rejects)
    write_json(Path(f"metrics/{STAGE}.json"), {"records": records, **found.metrics})


if __name__ == "__main__":
    run_stage(main)
