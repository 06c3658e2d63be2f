"""Stage register_student: a model version that is proved to load and answer; alias `candidate` if it has earned it."""

from dataclasses import asdict
from pathlib import Path

from compeffdist.files import read_json, write_json
from compeffdist.gates.outcome import LAST, gate_tags
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import load_params
from compeffdist.registry.artifacts import evaluation_evidence
from compeffdist.registry.register import headline_metrics, register_student, version_tags
from compeffdist.running import run_stage
from compeffdist.teacher.asking import release_engine

STUDENT = Path("models/student")


def main() -> None:
    release_engine()
    params = load_params()
    teacher, base = (read_identity(Path(f"models/{role}.json")) for role in ("teacher", "student"))
    gates = gate_tags()
    predictions, rows = Path("data/student_predictions.parquet"), Path("data/evaluation.jsonl")
    registration = register_student(
        STUDENT,
        model_folder(base, cache_folder(params.runtime.cache)),
        params.registry,
        version_tags(params, teacher, base, STUDENT, headline_metrics(Path("metrics/evaluation.json"))) | gates,
        run_id=read_json(Path("models/student_run.json"))["run_id"],
        evidence=evaluation_evidence(predictions, rows, params.evaluation.tasks),
        earned=gates[f"gate.{LAST}"] != "failed",
    )
    write_json(Path("metrics/registration.json"), asdict(registration))


if __name__ == "__main__":
    run_stage(main)
