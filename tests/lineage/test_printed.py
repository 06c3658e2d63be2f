"""What docs/lineage.md shows of an audit is what it prints."""

import random

import pytest

from tests.docs_site.printed import hold, typed
from tests.lineage.conftest import World
from tests.lineage.test_audit import flipped


def test_an_audit_that_finds_a_changed_bit(own_world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with flipped(own_world.folder / "data/triplets.parquet", random.Random(1)):
        hold("lineage.md", "changed-bit", lambda command: typed(command, capsys))
