"""What of a report lies with the student's run in MLflow: the page without texts, its charts as files, confusions as
tables.

A registry is read by more people than a checkout is, and `forget` looks for a text where the data lies: so no file here
holds a text, or words that come from one.
"""

import csv
import io
from collections.abc import Iterator

from compeffdist.evaluation.table import SYSTEMS
from compeffdist.report import learning, results
from compeffdist.report.page import render_without_texts
from compeffdist.report.run import Run
from compeffdist.svg import alone

CHARTS = {"warm_up_student": "warm_up_curve.svg", "train_student": "training_curve.svg"}
"""By the stage that trained."""
GOLD, OTHER = "gold", "another"
"""Heads of a confusion's columns: of its rows' names, and of answers that are none of the labels."""


def attached(run: Run) -> dict[str, bytes]:
    """The files, path -> contents."""
    charts = {"scores.svg": results.scores_chart(run.evaluation), "gains.svg": results.gains_chart(run.evaluation)}
    charts |= {CHARTS[stage]: learning.curve_chart(stage, losses) for stage, losses in run.curves.items()}
    texts = {
        "index.html": render_without_texts(run),
        **{name: alone(figure) for name, figure in charts.items()},
        **dict(_confusions(run)),
    }
    return {name: contents.encode() for name, contents in texts.items()}


def _confusions(run: Run) -> Iterator[tuple[str, str]]:
    """A CSV for each task and system: a row a gold label, a column a label that was said, in it how often."""
    counts = results.answers_by_gold(run.predictions)
    for task, figures in run.evaluation["tasks"].items():
        labels = list(figures["gold"])
        for system in (system for system in SYSTEMS if (task, system) in counts):
            said, stream = counts[task, system], io.StringIO()
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow([GOLD, *labels, OTHER])
            for gold in labels:
                row = [said[gold, label] for label in labels]
                every = sum(count for (right, _), count in said.items() if right == gold)
                writer.writerow([gold, *row, every - sum(row)])
            yield f"confusion/{task}.{system}.csv", stream.getvalue()
