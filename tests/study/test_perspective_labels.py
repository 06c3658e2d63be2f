"""Perspectives go into a sheet for a person and come back as shares; what is no judgement is one line."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compeffdist.artefacts import CLUSTERS
from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.labelling.sheet import Sheet
from compeffdist.record_files import write_perspectives
from compeffdist.records import Perspective
from compeffdist.study import embedder
from compeffdist.study.perspective_labels import (
    COLUMNS,
    FAULTS,
    LABEL,
    MOST_MEMBERS,
    NEAREST,
    choose,
    found_in,
    nearest_elsewhere,
    read_labels,
    write_sheet,
)
from tests.factories import make_perspective
from tests.stages import ROOT

ANGLES = {"joy": 0.0, "glee": 0.1, "cheer": 0.2, "anger": 1.5, "rage": 1.4, "irony": 0.7}
VECTORS = {name: np.array([np.cos(angle), np.sin(angle)]) for name, angle in ANGLES.items()}


def world() -> list[Perspective]:
    return [make_perspective("joy", "glee"), make_perspective("anger", "rage"), make_perspective("cheer", "irony")]


def test_what_is_elsewhere_is_the_nearest_to_the_exemplar_and_none_of_its_own() -> None:
    joy, anger, _ = perspectives = world()
    assert list(nearest_elsewhere(joy, perspectives, VECTORS)) == ["cheer", "irony", "rage", "anger"]
    assert list(nearest_elsewhere(anger, perspectives, VECTORS)) == ["irony", "cheer", "glee", "joy"]
    many = [joy, make_perspective(*(f"a{n}" for n in range(NEAREST + 5)))]
    level = {name: np.ones(2) for one in many for name in one.member_names}
    assert list(nearest_elsewhere(joy, many, level)) == sorted(f"a{n}" for n in range(NEAREST + 5))[:NEAREST]


def test_a_choice_hangs_on_the_seed_and_not_on_the_order() -> None:
    perspectives = [make_perspective(f"name {n}") for n in range(30)]
    drawn = choose(perspectives, 8, 1)
    assert drawn == choose(perspectives[::-1], 8, 1) != choose(perspectives, 8, 2)
    assert len({one.id for one in drawn}) == 8
    assert len(choose(perspectives, 99, 1)) == 30


def labelled(path: Path, *faults: str) -> dict[str, str]:
    """The sheet of `world`, its rows labelled so, as it is read."""
    perspectives = world()
    write_sheet(path, perspectives, perspectives, VECTORS)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows({**row, LABEL: fault} for row, fault in zip(rows, faults, strict=True))
    return read_labels(path)


def test_faults_are_counted_and_rows_left_blank_are_not(tmp_path: Path) -> None:
    labels = labelled(tmp_path / "a.csv", "both", "Outside", "")
    found = found_in(labels, world(), tmp_path / "a.csv")
    assert (found["labelled"], found["perspectives"]) == (2, 3)
    assert (found["member"]["count"], found["outside"]["count"]) == (1, 2)
    # of two in two Clopper and Pearson's lower end is the square root of 2.5%
    assert found["outside"]["low"] == pytest.approx(0.025**0.5) and found["outside"]["high"] == 1.0


def test_what_is_no_judgement_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(
        UserError, match=r"a\.csv: line \d+: fault is 'bad', expected fine, member, outside, both or an empty cell"
    ):
        labelled(path, "fine", "bad", "")
    with pytest.raises(UserError, match="nothing is labelled yet"):
        found_in(labelled(path, "", "", ""), world(), path)
    with pytest.raises(UserError, match=r"a\.csv: perspective_\w+ is no perspective of this run"):
        found_in(labelled(path, "fine", "fine", "fine"), world()[:1], path)


def test_the_page_gives_each_label_as_the_sheet_has_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    perspectives = [make_perspective("=1+1", f"a (1), b{n}") for n in range(len(FAULTS))]
    vectors = {name: np.ones(1) for one in perspectives for name in one.member_names}
    write_sheet(path, perspectives, perspectives, vectors)
    sheet = Sheet(path)
    for place, choice in enumerate(sheet.state()["choices"]):
        sheet.label(place, 0, choice["value"])
    assert list(read_labels(path).values()) == list(FAULTS)
    parts = {part["title"]: part["text"] for part in (sheet.row(0) or {})["parts"]}
    assert parts["Their exemplar"] == "=1+1"
    assert parts["The attributes of the perspective"].splitlines() == ["=1+1 (3)", "a (1), b0 (3)"]
    with path.open(encoding="utf-8-sig", newline="") as stream:
        assert not any(cell.startswith("=") for row in csv.reader(stream) for cell in row)


def test_a_cell_holds_so_many_attributes_and_says_how_many_more_there_are(tmp_path: Path) -> None:
    large = make_perspective(*(f"name {n}" for n in range(MOST_MEMBERS + 2)))
    write_sheet(tmp_path / "a.csv", [large], [large], {name: np.ones(1) for name in large.member_names})
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as stream:
        lines = next(csv.DictReader(stream))["members"].splitlines()
    assert (len(lines), lines[-1]) == (MOST_MEMBERS + 1, "… and 2 more")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedder, "run_embedder", lambda params: lambda names: [VECTORS[name] for name in names])
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    Path("data").mkdir()
    write_perspectives(Path(CLUSTERS), world(), {})


def test_the_command_writes_a_sheet_once_and_reads_it_back(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["study", "perspectives", "--sheet", "a.csv", "--rows", "2"])
    assert "2 of 3 perspectives in a.csv: put into the column fault" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["study", "perspectives", "--sheet", "a.csv"])
    assert "already there, and may hold labels" in capsys.readouterr().err
    sheet = Sheet(Path("a.csv"))
    for place, label in enumerate(("member", "fine")):
        sheet.label(place, 0, label)
    main(["study", "perspectives", "--labels", "a.csv"])
    assert capsys.readouterr().out.splitlines() == [
        "2 of 3 perspectives are labelled",
        "  a member does not belong:            1 of 2, 50% [1, 99]",
        "  an attribute elsewhere belongs here: 0 of 2, 0% [0, 84]",
    ]
    main(["study", "perspectives", "--labels", "a.csv", "--json"])
    assert json.loads(capsys.readouterr().out)["member"]["count"] == 1
