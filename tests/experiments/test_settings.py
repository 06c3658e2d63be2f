"""A param is written so that Hydra, by which DVC reads it, has the same value."""

from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.experiments.settings import hydra_value

PARSER = OverridesParser.create()
TEXT = st.text().filter(str.isprintable)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT)


def read(written: str) -> Any:
    def plain(value: Any) -> Any:
        return value.text if isinstance(value, QuotedString) else value

    value = PARSER.parse_override(f"key={written}").value()
    return [plain(item) for item in value] if isinstance(value, list) else plain(value)


@given(st.one_of(SCALARS, st.lists(SCALARS)))
def test_hydra_reads_what_was_meant(value: Any) -> None:
    found = read(hydra_value(value))
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("value", [{"rate": 0.5}, "two\nlines", "a\ttab", ["a\x00"]])
def test_what_cannot_be_written_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        hydra_value(value)
