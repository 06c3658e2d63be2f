"""How a label is spelt: as it is shown (`clean_label`), and the forms in which two spellings are compared.

Labels are users' own: with case, punctuation, quotes and stars of theirs ("5*", "n.a."). What is done to an answer
before it is compared is done to the labels too.
"""

import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from math import isfinite

QUOTES = {'"': '"', "'": "'", "`": "`", "*": "*", "_": "_", "“": "”", "‘": "’", "„": "“", "«": "»", "(": ")", "[": "]"}
"""What may stand around an answer in pairs: opening -> closing."""
_AROUND = " .。!,:;" + "".join({*QUOTES, *QUOTES.values()})
_EDGE = " .,:;!?\"'`*()[]{}<>_/\\|“”‘’-"


def written_label(value: object) -> str:
    """What is written of a label that may be text, a number or a truth value; empty for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal) and isfinite(value) and value == int(value):
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int | float | Decimal) else ""


def clean_label(label: str) -> str:
    """A label as shown and compared: one line, lower case, no surrounding punctuation."""
    return " ".join(label.split()).strip(_EDGE).lower()


def folded(text: str) -> str:
    """A text but for case and spaces."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def bare(text: str) -> str:
    """A text but for case, spaces, and what stands around it; a minus before a number is no punctuation."""
    return folded(text).strip(_AROUND)


def begun(text: str) -> str:
    """How a text begins: what opens around a label left out, what closes it not."""
    return folded(text).lstrip(_AROUND)


def are_distinct(labels: Sequence[str]) -> bool:
    """Whether no two labels are the same but for case and spaces."""
    return len(set(map(folded, labels))) == len(labels)
