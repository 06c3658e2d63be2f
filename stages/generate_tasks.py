"""Stage generate_tasks: from each perspective, analysis prompts and fully defined tasks; near-duplicates dropped."""

from collections import Counter
from functools import partial
from pathlib import Path

from compeffdist.accounting import account, write_rejects
from compeffdist.domain import domain_of
from compeffdist.embedding import embed
from compeffdist.files import write_json
from compeffdist.instructions.clusters import read_perspectives
from compeffdist.instructions.tasks import STAGE, generate_tasks, tasks_asked
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import load_params
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Attribute, Task, by_id
from compeffdist.running import run_stage
from compeffdist.teacher.asking import open_teacher
from compeffdist.teacher.conversation import Conversation


def main() -> None:
    params = load_params()
    domain = domain_of(params)
    perspectives = read_perspectives(Path("data/clusters.json"))
    attributes = by_id(read_records(Path("data/attributes.parquet"), Attribute))
    folder = model_folder(read_identity(Path("models/embedder.json")), cache_folder(params.runtime.cache))
    embedder = partial(embed, folder=folder, device=params.runtime.device)
    with open_teacher(Path("models/teacher.json"), params) as teacher:
        talk = Conversation(teacher, domain, params.teacher, params.seed, STAGE)
        tasks, rejects = generate_tasks(perspectives, attributes, params.tasks, domain, talk, embedder)
    write_records(Path("data/tasks.jsonl"), Task, tasks)
    write_rejects(Path(f"data/rejects/{STAGE}.parquet"), rejects)
    metrics = {
        "records": account(STAGE, tasks_asked(perspectives, params.tasks), len(tasks), rejects),
        "types": dict(sorted(Counter(task.type for task in tasks).items())),
        "perspectives_with_tasks": len({task.perspective_id for task in tasks if task.perspective_id}),
        "teacher": teacher.usage(),
    }
    write_json(Path(f"metrics/{STAGE}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
