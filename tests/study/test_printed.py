"""What docs/difficulty.md shows of a sheet to label is what the commands print."""

import csv
from pathlib import Path

import pytest
import yaml

from compeffdist.profiles import compose
from tests.docs_site.printed import hold, typed
from tests.stages import ROOT
from tests.study.world import write_world

SHEET = Path("report/sheet.csv")
LABELS = [None, ["1", "5"], ["1"] * 35 + ["hard"]]
"""What a person has written into the sheet's first rows before each command; before the first there is no sheet."""


def label(labels: list[str]) -> None:
    with SHEET.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, given in zip(rows, labels, strict=False):
        row["difficulty"] = given
    with SHEET.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_a_sheet_too_few_labels_and_one_that_is_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(compose("smoke", ROOT / "profiles")))
    write_world(tmp_path)
    turns = iter(LABELS)

    def run(command: str) -> str:
        if labels := next(turns):
            label(labels)
        return typed(command, capsys)

    hold("difficulty.md", "sheet", run)
    assert next(turns, None) is None
