"""A run in one row of figures: what `dvc metrics show` prints and `dvc metrics diff` compares.

Each stage leaves its full metrics in a file of its own, in git; a table of all of them would be hundreds of columns
wide, so these few are what DVC is told of.
"""

from typing import Any

from compeffdist.report.run import Run

TOKENS = ("prompt_tokens", "completion_tokens")


def headline(run: Run) -> dict[str, Any]:
    """Counts along the pipeline, the teacher's cost, and macro-F1 (0 to 1) of teacher, base student and student.

    In mode proxy the cost is an upper bound: an answer that two stages use counts in both.
    """
    answers = [usage["answers"] for usage in run.asking.values()]
    evaluation = run.evaluation["headline"]
    return {
        "texts": run.account("ingest_texts")["out"],
        "attributes": run.metrics["enumerate_attributes"]["vocabulary"]["out"],
        "perspectives": len(run.perspectives),
        "instructions": len(run.instructions),
        "triplets": len(run.triplets),
        "teacher_answers": sum(one["used"] for one in answers),
        "teacher_tokens": sum(one[key] for one in answers for key in TOKENS),
        "difficulty": round(_mean([score.ranking for score in run.scored]), 4),
        "kept": sum(draw.kept for draw in run.draws),
        "calls_saved": round(run.metrics["collect_sampled"]["asked"]["calls_saved"], 4),
        "gates_passed": sum(report["passed"] for report in run.gates.values()),
        **{name: round(evaluation[name], 4) for name in sorted(evaluation)},
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
