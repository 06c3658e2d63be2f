"""What 1,000 answers of a model cost, by prices of the user's own (`params/spending.py`).

A price by tokens is used where the tokens of the answers are known, else one by the hour on the seconds they took. What
is not known stays unknown, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compeffdist.models.references import short
from compeffdist.params import Prices

THOUSAND, HOUR = 1000, 3600.0
BY_TOKENS, BY_SECONDS = "tokens", "seconds"


@dataclass(frozen=True)
class Usage:
    """What a model's answers took."""

    engine: str
    answers: int
    """Those that were made in this run, …"""
    seconds: float
    """… and what they took."""
    counted: int = 0
    """Answers whose tokens are known, whenever they were made; 0: of none."""
    prompt_tokens: int = 0
    """Of those."""
    answer_tokens: int = 0


def costs(prices: Prices, used: Mapping[str, Usage]) -> dict[str, Any]:
    """What is told of cost in a report: `currency`, `date`, and `models`: model -> `per_1000_answers` and `by` (tokens
    or seconds), null where it is not known, then with `why`; `price`: which entry; and what the figure rests on."""
    return {
        "currency": prices.currency,
        "date": prices.date,
        "models": {model: _cost(prices, model, usage) for model, usage in used.items()},
    }


def _cost(prices: Prices, model: str, usage: Usage) -> dict[str, Any]:
    entry = prices.entry(model, usage.engine)
    if entry is None:
        return _unknown(None, f"no price of {short(model)} or of engine {usage.engine}")
    price = prices.prices[entry]
    spent = price.of_tokens(usage.prompt_tokens, usage.answer_tokens)
    if spent is not None and usage.counted:
        tokens = {"prompt_tokens": usage.prompt_tokens, "answer_tokens": usage.answer_tokens}
        return _known(entry, BY_TOKENS, spent, usage.counted, tokens)
    if price.hour is None:
        return _unknown(entry, "its tokens are not known, and there is no price by the hour")
    if not usage.answers:
        return _unknown(entry, "every answer was there already: none took time")
    return _known(
        entry, BY_SECONDS, usage.seconds / HOUR * price.hour, usage.answers, {"seconds": round(usage.seconds, 3)}
    )


def _known(entry: str, by: str, spent: float, answers: int, rests_on: Mapping[str, float]) -> dict[str, Any]:
    each = spent / answers
    return {"per_1000_answers": THOUSAND * each, "by": by, "price": entry, "answers": answers, **rests_on}


def _unknown(entry: str | None, why: str) -> dict[str, Any]:
    return {"per_1000_answers": None, "by": None, "price": entry, "why": why}


def cost_lines(report: Mapping[str, Any]) -> list[str]:
    """A line a model, of a report that has costs."""
    told = report.get("cost")
    if told is None:
        return []
    lines = [_line(short(model), cost, told["currency"]) for model, cost in told["models"].items()]
    return [*lines, f"prices of {told['date']}, the user's own"]


def _line(model: str, cost: Mapping[str, Any], currency: str) -> str:
    if cost["per_1000_answers"] is None:
        return f"{model}: cost per 1,000 answers unknown: {cost['why']}"
    by = (
        f"{cost['prompt_tokens']:,} prompt and {cost['answer_tokens']:,} answer tokens"
        if cost["by"] == BY_TOKENS
        else f"{cost['seconds']:,.0f} s"
    )
    return (
        f"{model}: {cost['per_1000_answers']:.3g} {currency} per 1,000 answers, by {cost['by']} "
        f"({by} of {cost['answers']:,} answers; price of {short(cost['price'])})"
    )
