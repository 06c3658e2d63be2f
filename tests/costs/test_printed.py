"""What docs/ show of a plan is what it prints where one param was changed."""

import pytest

from tests.costs.test_plan import changed, forget, keys
from tests.docs_site.printed import hold, typed
from tests.exchange.world import Checkout


def test_what_a_run_would_buy(
    ran: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("compeffdist.costs.plan.stale", lambda: {"collect_responses": changed("responses.max_tokens")})
    forget(set(keys("collect_responses")[:5]))
    hold("before-a-run.md", "planned", lambda command: typed(command, capsys))
