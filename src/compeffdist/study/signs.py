"""Which signs there are that a generated task is not worth its rows, and from where on each speaks against a task."""

from collections.abc import Mapping
from dataclasses import dataclass

ABOVE, BELOW = "at least", "at most"


@dataclass(frozen=True)
class Sign:
    """One number of a task, and from where on it speaks against the task."""

    title: str
    worse: str
    """ABOVE or BELOW."""
    bound: float
    reason: str
    """Why that bound."""

    def against(self, value: float | None, bound: float) -> bool:
        """Whether a value speaks against its task."""
        return value is not None and (value >= bound if self.worse == ABOVE else value <= bound)


SIGNS: Mapping[str, Sign] = {
    "label_cosine": Sign(
        *("largest cosine similarity of two labels", ABOVE, 0.8),
        "where the run calls two tasks one (tasks.near_duplicate_similarity), two labels are hardly two",
    ),
    "second_label": Sign(
        *("mean probability of the teacher's second label", ABOVE, 1 / 3),
        "a third of the mass on the second leaves the first at most twice as likely",
    ),
    "entropy": Sign(
        *("entropy of the answers, of the largest possible", BELOW, 0.5),
        "as many answers are in use as the root of those there are: of four, two",
    ),
    "largest_answer": Sign(
        *("share of the most frequent answer", ABOVE, 0.8),
        "four texts in five are answered alike, so that a constant would do",
    ),
    "upheld": Sign(
        *("share of its demonstrations that the teacher upheld, asked without their answers", BELOW, 0.0),
        "it finds none of the answers that it wrote texts for",
    ),
    "specificity": Sign(
        *("log-likelihood of a response token under its own instruction less under another", BELOW, 0.0),
        "another instruction would bring out the same response as well",
    ),
    "task_cosine": Sign(
        *("cosine similarity to the most similar other task", ABOVE, 0.8),
        "where the run calls tasks of one type the same (tasks.near_duplicate_similarity), whatever their types",
    ),
    "answer_overlap": Sign(
        *("adjusted mutual information with the answers to another question on the same texts", ABOVE, 0.5),
        "half of what an answer says is said by that of the other question",
    ),
}
"""By name, which is an option of the command."""
