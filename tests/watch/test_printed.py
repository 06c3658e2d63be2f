"""What docs/ show of watch, spend and doctor is what they print of a run in miniature."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from compeffdist.teacher.spending import Ledger, Spent
from tests.docs_site.printed import hold, typed
from tests.mini_run import MiniRun
from tests.mini_stages import TEACHER

PRICES = "currency: EUR\ndate: 2026-11-29\nprices:\n  vllm: {prompt_tokens: 0.15, answer_tokens: 0.60}\n"


@pytest.fixture
def done(run: MiniRun, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Runs a command where the run has a budget, and has spent of it."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    budget = {"run": {"tokens": 2_000_000}, "total": {"money": 40.0}}
    params["runtime"] |= {"budget": budget, "prices": "prices.yaml", "store": "bought.sqlite"}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    Path("prices.yaml").write_text(PRICES)
    with Ledger(Path("bought.sqlite")) as ledger:
        ledger.add("enumerate_attributes", TEACHER.id, "vllm", Spent(1200, 190_800, 150_000, 14_520), 1200, 3, 412.0)
        ledger.add("collect_responses", TEACHER.id, "vllm", Spent(4140, 621_300, 505_000, 28_010), 4130, 0, 968.0)
    return lambda command: typed(command, capsys)


def test_where_a_run_is(done: Callable[[str], str]) -> None:
    hold("watching.md", "watched", done)


def test_what_was_spent(done: Callable[[str], str]) -> None:
    hold("spending.md", "spent", done)


def test_what_a_run_would_trip_over(done: Callable[[str], str]) -> None:
    hold("before-a-run.md", "looked-over", done)
