"""Stage write_demonstrations: worked examples of each task, and the instruction text as models see it."""

from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.domain import domain_of
from compeffdist.files import write_json
from compeffdist.instructions.demonstrations import (
    INSTANCES,
    STAGE,
    build_instructions,
    is_demonstrated,
    write_demonstrations,
)
from compeffdist.params import load_params
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Demonstration, Instruction, Task, Text
from compeffdist.running import run_stage
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation


def main() -> None:
    params = load_params()
    domain = domain_of(params)
    tasks = read_records(Path("data/tasks.jsonl"), Task)
    texts = read_records(Path("data/texts.parquet"), Text)
    with open_teacher(Path("models/teacher.json"), params) as teacher:
        talk = Conversation(teacher, domain, params.teacher, params.seed, STAGE)
        demonstrations, rejects = write_demonstrations(tasks, texts, params.demonstrations, domain.demonstrations, talk)
    instructions = build_instructions(tasks, demonstrations, params.demonstrations, params.seed)
    asked = sum(is_demonstrated(task) for task in tasks) * params.demonstrations.calls * INSTANCES
    shown = {shown_id for instruction in instructions for shown_id in instruction.demonstration_ids}
    write_records(Path("data/demonstrations.jsonl"), Demonstration, demonstrations)
    write_records(Path("data/instructions.jsonl"), Instruction, instructions)
    write_rejects(Path(f"data/rejects/{STAGE}.parquet"), rejects)
    metrics = {
        "records": account(STAGE, asked, len(demonstrations), rejects),
        "instructions": len(instructions),
        "demonstrations_shown": len(shown),
        "teacher": teacher.usage(),
    }
    write_json(Path(f"metrics/{STAGE}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
