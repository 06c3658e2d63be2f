"""Stage collect_responses: the teacher answers every pair; answers are checked and become triplets."""

from collections import Counter
from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.errors import run_stage
from compeffdist.files import write_json
from compeffdist.instructions.responses import STAGE, collect_responses
from compeffdist.params import load_params
from compeffdist.records import Instruction, Pair, Text, Triplet, by_id, read_records, write_records
from compeffdist.teacher.asking import open_teacher


def main() -> None:
    params = load_params()
    pairs = read_records(Path("data/pairs.parquet"), Pair)
    instructions = by_id(read_records(Path("data/instructions.jsonl"), Instruction))
    texts = by_id(read_records(Path("data/texts.parquet"), Text))
    with open_teacher(Path("models/teacher.json"), params) as teacher:
        triplets, rejects, polarities = collect_responses(
            pairs, instructions, texts, params.responses, params.teacher, teacher, params.seed
        )
    write_records(Path("data/triplets.parquet"), Triplet, triplets)
    write_rejects(Path(f"data/rejects/{STAGE}.parquet"), rejects)
    metrics = {
        "records": account(STAGE, len(pairs), len(triplets), rejects),
        "polarity": dict(sorted(Counter(polarities.values()).items())),
        "task_types": dict(sorted(Counter(triplet.task_type for triplet in triplets).items())),
        "teacher": teacher.usage(),
    }
    write_json(Path(f"metrics/{STAGE}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
