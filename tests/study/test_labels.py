"""The sheet is stratified, blind and harmless; labels come back from it or are refused in one line."""

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from compeffdist.errors import UserError
from compeffdist.study.labels import (
    COLUMNS,
    choose_rows,
    judge_scores,
    read_labels,
    task_types_of,
    write_sheet,
)
from compeffdist.study.measures import read_scores
from compeffdist.study.sheets import FORMULA, harmless
from tests.study.world import numbered_triplet, write_world


def test_rows_are_spread_over_deciles_and_task_types(tmp_path: Path) -> None:
    write_world(tmp_path, rows=1000)
    scores = read_scores(tmp_path / "data/scored.parquet")
    types = task_types_of(scores, tmp_path / "data/triplets.parquet")
    places = choose_rows(scores, types, 90, seed=1)
    assert Counter(scores.decile[places].tolist()) == dict.fromkeys(range(10), 9)
    # eight in ten rows are of one type, and still every decile has three of each
    assert set(Counter((int(scores.decile[p]), types[p]) for p in places).values()) == {3}
    assert len(set(places.tolist())) == 90
    assert abs(spearmanr(np.arange(90), scores.ranking[places]).statistic) < 0.4  # the order says nothing
    assert places.tolist() == choose_rows(scores, types, 90, seed=1).tolist()
    assert len(choose_rows(scores, types, 5000, seed=1)) == 1000


@given(st.text(max_size=40))
def test_no_cell_is_a_formula_and_no_text_is_lost(text: str) -> None:
    cell = harmless(text)
    assert not cell.lstrip(" ").startswith(FORMULA)
    plain = text.replace("\0", "\ufffd").replace("\r\n", "\n").replace("\r", "\n")
    assert cell.removeprefix("'") == plain.removeprefix("'")


@pytest.mark.parametrize("name", ["sheet.csv", "sheet.tsv"])
def test_a_sheet_comes_back_as_it_was_labelled(tmp_path: Path, name: str) -> None:
    triplets = [
        numbered_triplet(0, prompt='=cmd|" /C calc"!A0', response="a,b;c\td\n\r\n\"e'"),
        numbered_triplet(1),
        numbered_triplet(2),
    ]
    sheet = tmp_path / name
    write_sheet(sheet, triplets)
    assert read_labels(sheet) == {}
    text = sheet.read_text(encoding="utf-8-sig")
    with sheet.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream, delimiter="\t" if name.endswith("tsv") else ","))
    assert rows[0] == list(COLUMNS)
    assert rows[1][3] == "'" + triplets[0].prompt
    assert "score" not in text  # blind
    rows[1][-1], rows[3][-1] = "2", "4,0"
    with sheet.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=";").writerows(rows)  # as a spreadsheet of another country writes it
    assert read_labels(sheet) == {triplets[0].id: 2, triplets[2].id: 4}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("triplet_id,x\na,1\n", "there is no column 'difficulty' .*keep its first line"),
        ("triplet_id,difficulty,difficulty\n", "2 columns are named 'difficulty'"),
        ("triplet_id,difficulty\na,6\n", "line 2: difficulty is '6', expected 1 to 5"),
        ("triplet_id,difficulty\na,1\nb,hard\n", "line 3: difficulty is 'hard'"),
        ("triplet_id,difficulty\na,nan\n", "line 2: difficulty is 'nan'"),
        ("triplet_id,difficulty\na,2.5\n", "line 2: difficulty is '2.5'"),
        ("triplet_id,difficulty\na,1\na,\n", "line 3: a is there twice"),
        ("triplet_id,difficulty\na,1,2\n", "the row that ends in line 2 has 3 fields, the header 2"),
        ('triplet_id,difficulty\n"a,1\n', "line 2 is not valid CSV: .*is a quotation mark not closed"),
    ],
)
def test_a_bad_sheet_is_refused_by_line(tmp_path: Path, content: str, message: str) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(content)
    with pytest.raises(UserError, match=rf"sheet\.csv: {message}"):
        read_labels(sheet)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_sheet_is_read_as_spreadsheets_save_it(tmp_path: Path, encoding: str) -> None:
    """With a line that names the delimiter, text of the reader's language, and empty cells at a row's end left out."""
    lines = ["sep=;", "prompt;triplet_id;difficulty", '"d\u00e9j\u00e0\nvu";a;3', "x;b", ";;", "y;c;5,0", ""]
    (tmp_path / "sheet.csv").write_text("\r\n".join(lines), encoding=encoding, newline="")
    assert read_labels(tmp_path / "sheet.csv") == {"a": 3, "c": 5}


def test_an_empty_sheet_has_no_labels(tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_text("")
    assert read_labels(tmp_path / "sheet.csv") == {}


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sheet.csv").write_bytes(b"triplet_id,difficulty\n\xff\x81,1\n")
    with pytest.raises(UserError, match="expected UTF-8; line 2 is not"):
        read_labels(tmp_path / "sheet.csv")
    with pytest.raises(UserError, match="no such file"):
        read_labels(tmp_path / "none.csv")


def test_judgement_is_the_correlation_with_an_interval_around_it(tmp_path: Path) -> None:
    scored = write_world(tmp_path)
    scores = read_scores(tmp_path / "data/scored.parquet")
    chance = np.random.default_rng(2)
    labels = {row.triplet_id: int(np.clip(round(5 * row.ranking + chance.normal(0, 1)), 1, 5)) for row in scored[::2]}
    judgements = {found.measure: found for found in judge_scores(scores, labels, Path("sheet.csv"), seed=1)}
    ranking = judgements["ranking"]
    expected = spearmanr([row.ranking for row in scored[::2]], list(labels.values())).statistic
    assert (ranking.labelled, ranking.spearman) == (100, pytest.approx(expected))
    assert 0.0 < ranking.low < ranking.spearman < ranking.high < 1.0  # type: ignore[operator]
    assert judgements["miss_rate"].spearman == pytest.approx(-expected)
    assert judgements["tokens"].spearman is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says(tmp_path: Path) -> None:
    """60 seeded experiments at 95%: fewer than 48 hits would be a chance below 1e-5 for a true interval."""
    scored = write_world(tmp_path)
    scores = replace(read_scores(tmp_path / "data/scored.parquet"), measures={})
    chance = np.random.default_rng(5)
    everything = np.clip(np.round(5 * scores.ranking + chance.normal(0, 1.5, 200)), 1, 5)
    truth = spearmanr(scores.ranking, everything).statistic
    hits = 0
    for trial in range(60):
        rows = chance.choice(200, 50)  # with replacement, as from a population; repeats are dropped by the sheet's ids
        labels = {scored[n].triplet_id: int(everything[n]) for n in rows}
        found = judge_scores(scores, labels, Path("sheet.csv"), seed=trial)[0]
        hits += found.low <= truth <= found.high  # type: ignore[operator]
    assert hits >= 48


def test_labels_that_say_nothing_are_refused(tmp_path: Path) -> None:
    scored = write_world(tmp_path)
    scores = read_scores(tmp_path / "data/scored.parquet")
    ids = [row.triplet_id for row in scored]
    for labels, message in [
        ({"sample_x": 1}, "sample_x is not among the scores"),
        ({}, "0 rows are labelled; a correlation needs at least 10"),
        (dict.fromkeys(ids[:20], 3), "every label is 3"),
    ]:
        with pytest.raises(UserError, match=rf"sheet\.csv: {message}"):
            judge_scores(scores, labels, Path("sheet.csv"), seed=1)
