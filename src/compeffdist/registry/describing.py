"""What a version is, in the words that MLflow shows beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compeffdist.artefacts import TRAINING
from compeffdist.errors import one_line
from compeffdist.evaluation.table import SYSTEMS, difference_cell, priors_line
from compeffdist.files import hash_file
from compeffdist.gates.outcome import LAST
from compeffdist.models import ModelIdentity
from compeffdist.models.naming import short_name
from compeffdist.params import Params
from compeffdist.records import Text
from compeffdist.student.loading import read_provenance

COMMIT_DIGITS = 10


def description(
    params: Params,
    teacher: ModelIdentity,
    base: ModelIdentity,
    student: Path,
    texts: Sequence[Text],
    tasks: int,
    evaluation: Mapping[str, Any],
    tags: Mapping[str, str],
) -> str:
    """A version as Markdown, a line each: what it is and who taught it, on what data, how good it is, whether it passed
    its gates, under which licence.

    Args:
        student: its folder.
        texts: of the run.
        tasks: how many the training set has rows of.
        evaluation: as metrics/evaluation.json has it.
        tags: of the version, its commit's and the gates' among them.
    """
    provenance = read_provenance(student)
    rows = sum(task["rows"] for task in evaluation["tasks"].values())
    scores = evaluation["mean"]["macro_f1"]
    found = ", ".join(f"{system} {100 * scores[system]['estimate']:.1f}" for system in reversed(SYSTEMS))
    gain = difference_cell(evaluation["mean"]["student_minus_base"])
    commit, dirty, marked = tags["git_commit"].partition("-")
    licences = ", ".join(sorted({text.licence for text in texts}))
    lines = [
        f"{_called(base)}, taught by {_called(teacher)}: {provenance['method']} fine-tuning, domain {params.domain}, "
        f"profile {params.profile}, commit {commit[:COMMIT_DIGITS]}{dirty}{marked}.",
        f"Trained on {provenance['rows']:,} rows of {tasks:,} tasks, drawn from {len(texts):,} texts ({TRAINING}, MD5 "
        f"{hash_file(Path(TRAINING), 'md5')}).",
        f"Macro-F1 x 100, mean of {len(evaluation['tasks']):,} evaluation tasks with {rows:,} rows: {found}. Gain over "
        f"the base student {gain}, {100 * evaluation['confidence']:g}% interval.",
        _sentence(priors_line(evaluation)),
        f"Gate {LAST}: {tags[f'gate.{LAST}']}; all gates: {tags['gates']}.",
        f"Licences, as they were stated: base weights {one_line(base.licence, 120)}; texts {one_line(licences, 300)}.",
    ]
    return "\n\n".join(filter(None, lines))


def _called(identity: ModelIdentity) -> str:
    """A model's name, which may hold anything, as Markdown's code; and its size where that is known."""
    name = one_line(short_name(identity), 120).replace("`", "")
    return f"`{name}`" + (f" ({identity.parameters / 1e6:,.0f} M parameters)" if identity.parameters else "")


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}." if line else ""
