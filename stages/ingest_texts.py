"""Stage ingest_texts: user texts from their sources, and the evaluation rows they must not hold."""

from pathlib import Path

from compeffdist.accounting import write_rejects
from compeffdist.evaluation.tasks import EvaluationRow, load_evaluation
from compeffdist.files import write_json
from compeffdist.models import cache_folder
from compeffdist.params import load_params
from compeffdist.record_files import write_records
from compeffdist.records import Text
from compeffdist.running import run_stage
from compeffdist.texts.ingest import ingest, source_lines
from compeffdist.texts.withdrawals import withdrawn_ids


def main() -> None:
    params = load_params()
    cache = cache_folder(params.runtime.cache)
    rows, evaluation = load_evaluation(params.evaluation, params.seed, cache)
    evaluation_texts = {row.id: row.text for row in rows}
    texts, rejects, metrics = ingest(params.texts, evaluation_texts, params.seed, cache, withdrawn_ids())
    write_records(Path("data/texts.parquet"), Text, texts)
    write_rejects(Path("data/rejects/ingest_texts.parquet"), rejects)
    write_records(Path("data/evaluation.jsonl"), EvaluationRow, rows)
    write_json(Path("metrics/ingest_texts.json"), {**metrics, "evaluation": evaluation})
    print("\n".join(source_lines(metrics)))


if __name__ == "__main__":
    run_stage(main)
