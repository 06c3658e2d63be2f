"""Stage collect_sampled: the kept triplets become the training set; kept pairs without an answer are asked first."""

from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.domain import domain_of
from compeffdist.files import write_json
from compeffdist.instructions.calibration import read_priors
from compeffdist.instructions.responses import collect_responses
from compeffdist.instructions.training_set import STAGE, asked_of_the_teacher, kept_triplets
from compeffdist.params import load_params
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Draw, Instruction, Pair, Text, Triplet, by_id
from compeffdist.running import run_stage
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation


def main() -> None:
    params = load_params()
    domain = domain_of(params)
    pairs = read_records(Path("data/pairs.parquet"), Pair)
    draws = read_records(Path("data/sampled.parquet"), Draw)
    kept, unanswered = kept_triplets(draws, read_records(Path("data/triplets.parquet"), Triplet), pairs)
    instructions = by_id(read_records(Path("data/instructions.jsonl"), Instruction))
    texts = by_id(read_records(Path("data/texts.parquet"), Text))
    priors = read_priors(Path("data/label_priors.json"))
    with open_teacher(Path("models/teacher.json"), params) as teacher:
        # in mode direct nothing is unanswered: the store is opened, no engine started
        talk = Conversation(teacher, domain, params.teacher, params.seed, STAGE)
        bought = collect_responses(unanswered, instructions, texts, params.responses, domain.monitored, talk, priors)
    triplets = [*kept, *bought.triplets]
    write_records(Path("data/training.parquet"), Triplet, triplets)
    write_rejects(Path(f"data/rejects/{STAGE}.parquet"), bought.rejects)
    metrics = {
        "records": account(STAGE, sum(draw.kept for draw in draws), len(triplets), bought.rejects),
        "asked": asked_of_the_teacher(pairs, unanswered),
        "teacher": teacher.usage(),
    }
    write_json(Path(f"metrics/{STAGE}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
