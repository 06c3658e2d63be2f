"""Stage evaluate_teacher: the teacher's answers on the evaluation rows; asked once, whatever the student does.

The last stage of a run that needs the teacher, so it lets the engine go: training needs the memory.
"""

from pathlib import Path

from compeffdist.domain import domain_of
from compeffdist.evaluation.predictions import Prediction, predict_rows, teacher_scorer
from compeffdist.evaluation.priors import take_out
from compeffdist.evaluation.tasks import EvaluationRow
from compeffdist.files import write_json
from compeffdist.params import load_params
from compeffdist.record_files import read_records, write_records
from compeffdist.running import run_stage
from compeffdist.teacher.asking import open_teacher, release_engine
from compeffdist.teacher.conversation import Conversation


def main() -> None:
    params = load_params()
    domain = domain_of(params)
    rows = read_records(Path("data/evaluation.jsonl"), EvaluationRow)
    with open_teacher(Path("models/teacher.json"), params) as teacher:
        score = teacher_scorer(Conversation(teacher, domain, params.teacher, params.seed, "evaluate_teacher"))
        given = predict_rows(rows, domain.monitored.asked_in(params.evaluation), "teacher", teacher.identity.id, score)
    release_engine()
    predictions = take_out(given, params.evaluation.tasks, params.label_priors.strength)
    write_records(Path("data/teacher_predictions.parquet"), Prediction, predictions)
    write_json(Path("metrics/evaluate_teacher.json"), {"rows": len(predictions), "teacher": teacher.usage()})


if __name__ == "__main__":
    run_stage(main)
