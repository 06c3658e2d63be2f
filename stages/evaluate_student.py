"""Stage evaluate_student: base student and student on the evaluation rows, held against the teacher."""

from pathlib import Path

from compeffdist.domain import domain_of
from compeffdist.evaluation.predictions import Prediction, predict_rows, student_scorer
from compeffdist.evaluation.priors import take_out
from compeffdist.evaluation.summary import summarise
from compeffdist.evaluation.tasks import EvaluationRow
from compeffdist.files import write_json
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import load_params
from compeffdist.record_files import read_records, write_records
from compeffdist.running import run_stage
from compeffdist.student.loading import student_id
from compeffdist.teacher.asking import release_engine

STUDENT = Path("models/student")


def main() -> None:
    release_engine()
    params = load_params()
    domain = domain_of(params)
    evaluation = domain.monitored.asked_in(params.evaluation)
    rows = read_records(Path("data/evaluation.jsonl"), EvaluationRow)
    base = read_identity(Path("models/student.json"))
    base_folder = model_folder(base, cache_folder(params.runtime.cache))
    tasks, strength = evaluation.tasks, params.label_priors.strength
    predictions = {"teacher": read_records(Path("data/teacher_predictions.parquet"), Prediction)}
    for system, system_id, folder in (
        ("base", base.id, base_folder),
        ("student", student_id(STUDENT), STUDENT),
    ):
        label = f"evaluation of the {system}"
        score = student_scorer(folder, base_folder, params.runtime, label, domain.system_prompts.student)
        given = predict_rows(rows, evaluation, system, system_id, score)
        predictions[system] = take_out(given, tasks, strength)
    summary = summarise(predictions, evaluation, params.seed, strength)
    write_records(Path("data/student_predictions.parquet"), Prediction, predictions["base"] + predictions["student"])
    write_json(Path("metrics/evaluation.json"), summary)


if __name__ == "__main__":
    run_stage(main)
