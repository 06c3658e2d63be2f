"""Stage collect_responses: the teacher answers the pairs that are to be scored; checked answers become triplets."""

from collections import Counter
from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.domain import domain_of
from compeffdist.files import write_json
from compeffdist.instructions.parts import SCORED, in_part
from compeffdist.instructions.responses import STAGE, collect_responses
from compeffdist.params import load_params
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Instruction, Pair, Text, Triplet, by_id
from compeffdist.running import run_stage
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation


def main() -> None:
    params = load_params()
    domain = domain_of(params)
    pairs = in_part(read_records(Path("data/pairs.parquet"), Pair), SCORED)
    instructions = by_id(read_records(Path("data/instructions.jsonl"), Instruction))
    texts = by_id(read_records(Path("data/texts.parquet"), Text))
    with open_teacher(Path("models/teacher.json"), params) as teacher:
        talk = Conversation(teacher, domain, params.teacher, params.seed, STAGE)
        found = collect_responses(pairs, instructions, texts, params.responses, domain.monitored, talk)
    write_records(Path("data/triplets.parquet"), Triplet, found.triplets)
    write_json(Path("data/label_priors.json"), found.priors.to_json())
    write_rejects(Path(f"data/rejects/{STAGE}.parquet"), found.rejects)
    metrics = {
        "records": account(STAGE, len(pairs), len(found.triplets), found.rejects),
        "monitored": dict(sorted(Counter(found.monitored.values()).items())),
        "task_types": dict(sorted(Counter(triplet.task_type for triplet in found.triplets).items())),
        "teacher": teacher.usage(),
    }
    write_json(Path(f"metrics/{STAGE}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
