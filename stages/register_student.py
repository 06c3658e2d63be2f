"""Stage register_student: a model version that is proved to load and answer; alias `candidate` if it has earned it."""

from dataclasses import asdict
from pathlib import Path

from compeffdist.domain import domain_of
from compeffdist.files import read_json, write_json
from compeffdist.gates.outcome import LAST, gate_tags
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import load_params
from compeffdist.record_files import read_records
from compeffdist.records import Instruction, Text, Triplet
from compeffdist.registry.artifacts import evaluation_evidence
from compeffdist.registry.carrying import carried_by
from compeffdist.registry.register import headline_metrics, register_student, version_tags
from compeffdist.running import run_stage
from compeffdist.teacher.asking import release_engine
from compeffdist.texts.draw import draw_texts

STUDENT = Path("models/student")


def main() -> None:
    release_engine()
    params = load_params()
    monitored = domain_of(params).monitored
    teacher, base = (read_identity(Path(f"models/{role}.json")) for role in ("teacher", "student"))
    gates = gate_tags()
    texts = draw_texts(read_records(Path("data/texts.parquet"), Text), params.label_priors, params.seed)
    taught = {triplet.instruction_id for triplet in read_records(Path("data/training.parquet"), Triplet)}
    instructions = read_records(Path("data/instructions.jsonl"), Instruction)
    base_folder = model_folder(base, cache_folder(params.runtime.cache))
    carried = carried_by(
        STUDENT, base_folder, instructions, taught, texts, params.label_priors, params.runtime, monitored
    )
    predictions, rows = Path("data/student_predictions.parquet"), Path("data/evaluation.jsonl")
    registration = register_student(
        STUDENT,
        base_folder,
        params.registry,
        version_tags(params, teacher, base, STUDENT, headline_metrics(Path("metrics/evaluation.json"))) | gates,
        run_id=read_json(Path("models/student_run.json"))["run_id"],
        evidence=evaluation_evidence(predictions, rows, monitored.asked_in(params.evaluation).tasks),
        carried=carried.to_files(len(texts)),
        earned=gates[f"gate.{LAST}"] != "failed",
    )
    write_json(Path("metrics/registration.json"), asdict(registration))


if __name__ == "__main__":
    run_stage(main)
