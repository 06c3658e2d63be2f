"""Charts of a study hold every row once, whatever the values."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from compeffdist.study.charts import density, histogram

VALUES = {
    "spread": np.geomspace(1.0, 5000.0, 200),
    "all alike": np.full(200, 7.0),
    "some below 0": np.linspace(-3.0, 9.0, 200),
    "some missing": np.where(np.arange(200) % 4, np.linspace(1.0, 2.0, 200), np.nan),
}


@pytest.mark.parametrize("name", sorted(VALUES))
@pytest.mark.parametrize("log", [True, False])
def test_every_row_that_has_a_value_is_in_one_cell(name: str, log: bool) -> None:
    values, scores = VALUES[name], np.linspace(0.0, 1.0, 200)
    drawn = density(scores, values, "score", "price <$x$>", log)
    ElementTree.fromstring(drawn)  # it is well-formed, whatever a measure is called
    assert sum(map(int, re.findall(r"<title>(\d+) rows</title>", drawn))) == np.isfinite(values).sum()
    assert ("axis of price &lt;$x$&gt; is logarithmic" in drawn) == (log and name != "some below 0")


def test_the_same_values_are_drawn_by_the_same_bytes() -> None:
    values = np.linspace(0.0, 1.0, 50)
    assert histogram(values, "score") == histogram(values, "score")
    assert density(values, values, "a", "b") == density(values, values, "a", "b")
