"""What a student must show over its base student: one rule, for the gate `student` and for a first champion.

Better in the mean over tasks, on no task worse, and no label for nearly everything. "Worse on no task" asks a question
of every task, and with eight tasks at 95% an equal student would be found worse on one of them, by chance, 18 times in
a hundred. So a task's interval is one of a family (Bonferroni): each is taken at 1 - (1 - confidence) / tasks, and an
equal student is found worse on any task at most (1 - confidence) / 2 of the time, as only one side counts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from compeffdist.evaluation.bootstrap import Predictions

EVEN = 1.25
"""Gold labels count as balanced if none has more than this times its even share. Where they are not, a label that is
given often may be right."""


@dataclass(frozen=True)
class LabelUse:
    """The label that a system gives most on a task."""

    task: str
    label: str
    given: int
    """Rows it is given to."""
    true: int
    """Rows it is the gold label of."""
    rows: int

    @property
    def share(self) -> float:
        """Of the task's rows."""
        return self.given / self.rows

    def __str__(self) -> str:
        return f"{self.label!r} to {self.given} of {self.rows} rows of {self.task}, where {self.true} are"


def family_confidence(confidence: float, tasks: int) -> float:
    """The confidence of each task's interval under which all of them hold together at `confidence`."""
    return 1.0 - (1.0 - confidence) / tasks


def label_counts(labels: Sequence[str], given: Iterable[str]) -> dict[str, int]:
    """How often each of a task's labels is among those given, in the task's order."""
    counts = Counter(given)
    return {label: counts[label] for label in labels}


def is_balanced(gold: Mapping[str, int]) -> bool:
    """Whether gold labels, label -> rows, are balanced (`EVEN`)."""
    return max(gold.values()) <= EVEN * sum(gold.values()) / len(gold)


def most_given(task: str, gold: Mapping[str, int], given: Mapping[str, int]) -> LabelUse:
    """The label given most; of several, the first in the task's order."""
    label = max(given, key=lambda name: given[name])
    return LabelUse(task, label, given[label], gold.get(label, 0), sum(gold.values()))


def most_overused(answers: Mapping[str, Predictions]) -> LabelUse | None:
    """Over the tasks whose gold labels are balanced, the label with the largest share of its task; None without any."""
    uses = []
    for name, task in answers.items():
        gold = label_counts(task.labels, task.gold.values())
        if is_balanced(gold):
            uses.append(most_given(name, gold, label_counts(task.labels, task.predicted.values())))
    return max(uses, key=lambda use: use.share, default=None)
