"""The page of `dvc plots show` in a real Chromium: drawn without anything from the network, names as text."""

from pathlib import Path
from typing import Any

import pytest
from dvc_render import VegaRenderer, render_html

from tests.browser.test_pages import Opened, chromium
from tests.stages import ROOT

__all__ = ["chromium"]
pytestmark = pytest.mark.browser


def test_curves_and_bars_are_drawn_and_nothing_is_fetched(chromium: Any, tmp_path: Path) -> None:
    steps = [{"step": str(n), "loss": str(2 / n), "rev": rev} for rev in ("workspace", "HEAD") for n in range(1, 9)]
    tasks = [{"task": name, "student": 0.5, "rev": "workspace"} for name in ("mean", "a & b", "<b>bold</b>")]
    plots = [
        VegaRenderer(steps, "metrics/training_curve.csv", x="step", y="loss", title="Loss"),
        VegaRenderer(tasks, "metrics/results.csv", x="student", y="task", template="bar_horizontal", title="Tasks"),
    ]
    page = render_html(plots, tmp_path / "index.html", ROOT / ".dvc/plots.html")
    seen = Opened(chromium, Path(page))
    assert (seen.requests, seen.alarms) == ([], [])
    assert [seen.elements.count(name) for name in ("svg", "polyline", "rect", "b")] == [2, 2, 3, 0]
    assert seen.overflow == 0
