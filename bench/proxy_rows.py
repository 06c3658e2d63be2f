"""Scored rows to measure the proxy on: python bench/proxy_rows.py --folder bench/proxy_rows

Real texts of the package corpora, the tasks of bench/proxy_tasks.yaml, the small teacher of profile `smoke`
and a student warmed up on a random part. Writes texts, instructions, pairs, triplets, scored and the warmed-up
student into --folder. A run that was ended goes on where it was: answers and scores are kept there, and a warm-up
that is there is not made again.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from compeffdist.canonical import canonical_json
from compeffdist.difficulty.score_difficulty import score_triplets
from compeffdist.domain import domain_here
from compeffdist.environment import quiet
from compeffdist.files import write_json
from compeffdist.instructions.rendering import instruction_prompt
from compeffdist.measures.registry import COLUMNS
from compeffdist.models import cache_folder, model_folder, resolve_model
from compeffdist.params import Params, validate_params
from compeffdist.profiles import compose
from compeffdist.record_files import write_records
from compeffdist.records import Instruction, Pair, ScoredTriplet, Task, Text, Triplet, by_id, content_id
from compeffdist.student.loading import PROVENANCE, student_id
from compeffdist.student.training import TrainingRow, draw_ids, fine_tune
from compeffdist.teacher.asking import BuyingTeacher, release_engine
from compeffdist.teacher.conversation import Conversation
from compeffdist.texts.ingest_texts import ingest
from compeffdist.triplets.collect_responses import collect_responses
from compeffdist.triplets.pair_texts import pair_texts


def main() -> None:
    arguments = parse_arguments()
    quiet()
    folder: Path = arguments.folder
    params = parameters(arguments)
    cache = cache_folder(params.runtime.cache)
    texts, _, _ = ingest(params.texts, {}, params.seed, cache)
    instructions = written_instructions()
    pairs, _ = pair_texts(instructions, texts, params.pairing, params.seed)
    identity = resolve_model("teacher", params.models.teacher, cache)
    with BuyingTeacher(identity, params.teacher, params.runtime, lambda: model_folder(identity, cache)) as teacher:
        talk = Conversation(teacher, domain_here(), params.teacher, params.seed, "collect_responses")
        found = collect_responses(
            pairs, by_id(instructions), by_id(texts), params.responses, domain_here().monitored, talk
        )
    triplets = found.triplets
    print(f"{len(pairs)} pairs, {len(triplets)} triplets, {len(found.rejects)} rejected; {teacher.usage()}", flush=True)
    write_records(folder / "texts.parquet", Text, texts)
    write_records(folder / "instructions.jsonl", Instruction, instructions)
    write_records(folder / "pairs.parquet", Pair, pairs)
    write_records(folder / "triplets.parquet", Triplet, triplets)
    student = resolve_model("student", params.models.student, cache)
    write_json(folder / "student.json", student.to_row())
    release_engine()
    if not (folder / "warmup" / PROVENANCE).exists():
        warm_up(triplets, params, student.id, model_folder(student, cache), folder / "warmup")
    scored, unscored = score_triplets(
        triplets,
        folder / "warmup",
        params.difficulty,
        params.runtime,
        weights=student_id(folder / "warmup"),
        system=domain_here().system_prompts.student,
    )
    write_records(folder / "scored.parquet", ScoredTriplet, scored, COLUMNS)
    print(f"{len(scored)} scored, {len(unscored)} rejected")


def parameters(arguments: argparse.Namespace) -> Params:
    """Profile `smoke` with more and longer texts, more pairs, and a warm-up in proportion."""
    values = compose("smoke")
    values["texts"] |= {"count": arguments.texts, "max_characters": 240}
    values["pairing"]["pairs"] = arguments.pairs
    values["responses"]["max_tokens"] = 64
    values["warm_up"] = {"rows": arguments.warm_up, "training": {"epochs": 1.5, "learning_rate": 1e-4}}
    values["runtime"] |= {"store": str(arguments.folder / "answers.sqlite"), "scores": str(arguments.folder / "scores")}
    return validate_params(values, "profiles/smoke.yaml")


def written_instructions() -> list[Instruction]:
    """The written tasks as instructions without demonstrations."""
    tasks = yaml.safe_load((Path(__file__).parent / "proxy_tasks.yaml").read_text(encoding="utf-8"))
    return [written_instruction(task) for task in tasks]


def written_instruction(written: dict[str, Any]) -> Instruction:
    perspective = content_id("perspective", {"task": written["name"]})
    task = Task(
        perspective_id=perspective,
        name=written["name"],
        description=written["description"],
        type=written["type"],
        labels=written.get("labels", []),
        score_range=written.get("range", []),
        json_schema=schema_of(written),
        exact_spans=written.get("spans", False),
    )
    return Instruction(
        task_id=task.id,
        perspective_id=perspective,
        demonstration_ids=[],
        prompt=instruction_prompt(task.description, task, []),
        type=task.type,
        labels=task.labels,
        score_range=task.score_range,
        json_schema=task.json_schema,
        exact_spans=task.exact_spans,
        task_name=task.name,
    )


def schema_of(written: dict[str, Any]) -> str:
    text = {"type": "string", "maxLength": 80}
    if written["type"] == "extraction":
        return canonical_json({"type": "array", "items": text, "maxItems": 5})
    if written["type"] == "structured":
        fields = dict.fromkeys(written["fields"], text)
        required = sorted(fields)
        return canonical_json({"type": "object", "properties": fields, "required": required})
    return ""


def warm_up(triplets: list[Triplet], params: Params, base_id: str, base: Path, output: Path) -> None:
    rows = {triplet.id: TrainingRow(triplet.id, triplet.prompt, triplet.response) for triplet in triplets}
    result = fine_tune(
        base,
        [rows[row_id] for row_id in draw_ids(rows, params.warm_up.rows, params.seed)],
        params.warm_up.training,
        base_id=base_id,
        seed=params.seed,
        output=output,
        stage="warm_up",
        system=domain_here().system_prompts.student,
    )
    print(json.dumps(result.metrics()))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("bench/proxy_rows"))
    parser.add_argument("--texts", type=int, default=500)
    parser.add_argument("--pairs", type=int, default=2600)
    parser.add_argument("--warm-up", type=int, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    main()
