"""The parts of an answer that is a list of tuples, such as the aspects a text names with the opinion of each."""

from typing import Self

from pydantic import Field, model_validator

from compeffdist.params.sections import Line, Name, Section
from compeffdist.prompting import listed

ABSENT = "NULL"
"""What stands for a part of a tuple that the text does not name."""


class TuplePart(Section):
    """One part of a tuple."""

    name: Name
    """Of the key in the answer's objects."""
    about: str = ""
    """What it is, where the name does not say it."""
    values: list[Line] = Field(default_factory=list)
    """What it may be; empty: words of the text."""
    from_text: bool = False
    """Whether it is copied from the text, word for word; then it has no `values`."""
    may_be_absent: bool = False
    """Whether it may be `NULL`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.values) == self.from_text:
            raise ValueError("has either values or from_text: true")
        return self

    @property
    def described(self) -> str:
        """As the prompt explains it."""
        about = f"{self.about}, " if self.about else ""
        form = f"one of {listed(self.values)}" if self.values else "copied exactly from the text"
        return f'"{self.name}" ({about}{form}{f", or {ABSENT}" if self.may_be_absent else ""})'
