"""What docs/ show of `compeffdist study` and its parts is what they print, or has its columns and lines."""

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import yaml

from compeffdist.artefacts import SCORED
from compeffdist.files import write_json
from compeffdist.models import cache_folder, resolve_model
from compeffdist.params import ModelParams
from compeffdist.profiles import compose
from compeffdist.records import EvaluationRow, Triplet
from tests.docs_site.printed import hold, typed
from tests.factories import write_scored
from tests.fakes import put_domains
from tests.stages import ROOT, run_stage
from tests.study.test_study_mistakes import run as mistaken
from tests.study.test_study_tasks import run as with_tasks
from tests.study.world import write_world

__all__ = ["mistaken", "with_tasks"]

SHEET = Path("report/sheet.csv")
LABELS = [None, ["1", "5"], ["1"] * 35 + ["hard"]]
"""What a person has written into the sheet's first rows before each command; before the first there is no sheet."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    return lambda command: typed(command, capsys)


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
    tmp_path: Path, run: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(compose("smoke", ROOT / "profiles")))
    write_world(tmp_path)
    turns = iter(LABELS)

    def labelled(command: str) -> str:
        if labels := next(turns):
            label(labels)
        return run(command)

    hold("difficulty.md", "sheet", labelled)
    assert next(turns, None) is None


def test_scores_against_other_measures_and_other_settings(
    tmp_path: Path, base_folder: Path, run: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = compose("smoke", ROOT / "profiles")
    raw["runtime"]["cache"] = str(tmp_path / "cache")
    raw["pairing"]["pairs"] = 40
    raw["warm_up"]["training"] |= {"epochs": 1.0, "batch_size": 4, "max_length": 600}
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    put_domains()
    rows = write_world(tmp_path, rows=40)
    measured = [row.measures | {"tokens": n % 5 + 1, "nucleus_miss_rate": n % 3 / 4} for n, row in enumerate(rows)]
    write_scored(tmp_path / SCORED, [replace(row, measures=own) for row, own in zip(rows, measured, strict=True)])
    reference = ModelParams(reference=[f"path:{base_folder}"], licence="Apache-2.0")
    write_json(Path("models/student.json"), resolve_model("student", reference, cache_folder("cache")).to_row())
    run_stage("warm_up_student")
    hold("difficulty.md", "studied", run)


def test_the_teacher_s_mistakes(mistaken: list[EvaluationRow], run: Callable[[str], str]) -> None:
    hold("studies.md", "mistakes", cache(run))  # three tables of what is printed once


def test_the_signs_of_tasks(with_tasks: list[Triplet], run: Callable[[str], str]) -> None:
    hold("studies.md", "tasks", run)
