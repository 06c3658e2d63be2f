"""What may be spent on a teacher, and what things cost: by prices of the user's own, for no price is known here.

A file of prices names models as commands do (`teacher`, `models/student`, …), or engines, for all models that have no
entry of their own:

    currency: EUR
    date: 2026-11-29            # of the prices
    prices:
      teacher: {prompt_tokens: 0.15, answer_tokens: 0.60}   # of a million tokens each
      transformers: {hour: 0.40}                            # of the machine; any model in this process
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from compeffdist.params.sections import Line, NonNegativeInt, Section, read_section

MILLION = 1_000_000
Money = Annotated[float, Field(ge=0.0)]


class Limits(Section):
    """The most that may be spent; null: no bound."""

    calls: NonNegativeInt | None = None
    """Requests that have a reply. Weighing labels takes several for one answer."""
    tokens: NonNegativeInt | None = None
    """Of prompts and answers, those read from a cache included."""
    money: Money | None = None
    """In the currency of `runtime.prices`, by the price of tokens."""

    def bounds(self) -> dict[str, float]:
        """Those that are set, by name."""
        return self.model_dump(exclude_none=True)


class BudgetParams(Section):
    """What asking the teacher may take. A request goes out only if it cannot exceed what is left; what was bought
    before is kept, and the run goes on from there once the budget is raised."""

    run: Limits = Limits()
    """Of one `dvc repro` or command."""
    total: Limits = Limits()
    """Of all that was ever bought through this response store."""


class Price(Section):
    """Of one model or engine."""

    prompt_tokens: Money | None = None
    """Of a million of them, read from a cache or not."""
    answer_tokens: Money | None = None
    """Of a million of them, thoughts included."""
    hour: Money | None = None
    """Of the machine that it runs on."""

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if (self.prompt_tokens is None) != (self.answer_tokens is None):
            raise ValueError("prompt_tokens and answer_tokens go together")
        if self.prompt_tokens is None and self.hour is None:
            raise ValueError("expected prompt_tokens and answer_tokens, or hour")
        return self

    def of_tokens(self, prompt: int, answer: int) -> float | None:
        """What so many tokens cost; None if there is no price of tokens."""
        if self.prompt_tokens is None or self.answer_tokens is None:
            return None
        return (prompt * self.prompt_tokens + answer * self.answer_tokens) / MILLION


class Prices(Section):
    """A file of prices."""

    currency: Line
    """What the numbers are in, such as EUR."""
    date: Line
    """On which they were these."""
    prices: dict[str, Price] = Field(min_length=1)
    """By model or engine."""

    @field_validator("date")
    @classmethod
    def _is_one(cls, value: str) -> str:
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            raise ValueError("must be a date such as 2026-11-29") from None

    def entry(self, *names: str) -> str | None:
        """The first of these names that has a price."""
        return next((name for name in names if name in self.prices), None)


def read_prices(source: Path) -> Prices:
    """The prices in a YAML file. Raises UserError, naming file and key."""
    return read_section(Prices, source)
