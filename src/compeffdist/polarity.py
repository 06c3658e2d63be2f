"""The one question asked of every text: its overall polarity.

The same prompt serves the monitor of class balance, the optional seed task, evaluation of teacher, base student and
student, and `compeffdist predict`, so that no figure rests on a difference in wording.
"""

from collections.abc import Sequence

from compeffdist.prompting import closed_question, with_input

POLARITIES = ("negative", "neutral", "positive")


def polarity_prompt(text: str, subject: str = "text", labels: Sequence[str] = POLARITIES) -> str:
    """The user message asking for the overall polarity of `text`, a `subject` such as "tweet"."""
    return with_input(polarity_instruction(subject, labels), text)


def polarity_instruction(subject: str = "text", labels: Sequence[str] = POLARITIES) -> str:
    """The part of the prompt before the text."""
    return closed_question(polarity_question(subject), labels)


def polarity_question(subject: str = "text") -> str:
    """The question alone."""
    return f"What is the overall sentiment of the {subject} towards what it speaks of?"
