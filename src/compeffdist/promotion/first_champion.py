"""What a first champion must show: there is no other to beat, so it has to have earned its base student's place.

The rule is that of gate `student` (`evaluation.earning`), applied to the predictions kept with the version: a version
may have been registered before there was that gate, or under bounds of its own.
"""

from compeffdist.evaluation.bootstrap import difference_interval
from compeffdist.evaluation.earning import family_confidence, most_overused
from compeffdist.evaluation.table import difference_cell
from compeffdist.params import Params
from compeffdist.promotion.comparison import Comparison, Evaluation
from compeffdist.registry.artifacts import BASE, STUDENT


def unearned(evaluation: Evaluation, over_base: Comparison, params: Params) -> list[str]:
    """Why a version has not earned to be the first champion, one line each; empty if it has.

    Args:
        evaluation: the version's, whole.
        over_base: its comparison with its base student.
        params: `gates.student` has the bounds, `gain_low: null` counting as 0; `promotion` the confidence.
    """
    bounds, settings = params.gates.student, params.promotion
    mean, lines = over_base.mean, []
    if mean.low <= (bounds.gain_low or 0.0):
        cell = difference_cell({"estimate": mean.estimate, "low": mean.low, "high": mean.high})
        lines.append(
            f"it is not shown to be better than its base student: mean gain {cell}, of which the lower end must be "
            f"above {100 * (bounds.gain_low or 0.0):g}"
        )
    student, base = evaluation.answers(STUDENT), evaluation.answers(BASE)
    confidence = family_confidence(settings.confidence, len(student))
    worse = [
        name
        for name in student
        if difference_interval(
            {name: student[name]}, {name: base[name]}, "macro_f1", settings.resamples, confidence, params.seed
        ).high
        < 0
    ]
    if len(worse) > bounds.worse_tasks:
        lines.append(f"it is worse than its base student beyond chance on {', '.join(worse)}")
    use = most_overused(student)
    if use is not None and use.share > bounds.label_share:
        lines.append(f"it gives {use}; gates.student.label_share allows {bounds.label_share:g}")
    return lines
