"""The page and the command on a small run, warm-ups and scoring included."""

import argparse
import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from compeffdist.cli import study as command
from compeffdist.errors import UserError
from compeffdist.files import write_json
from compeffdist.models import cache_folder, resolve_model
from compeffdist.params import ModelParams, validate_params
from compeffdist.profiles import compose
from compeffdist.study.findings import study_scores
from compeffdist.study.page import render
from compeffdist.study.variants import make_variants
from tests.fakes import put_domains
from tests.stages import ROOT, run_stage
from tests.study.world import HOSTILE, write_world


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with 30 scored triplets; no models."""
    monkeypatch.chdir(tmp_path)
    raw = compose("smoke", ROOT / "profiles")
    raw["runtime"]["cache"] = str(tmp_path / "cache")
    raw["warm_up"]["training"] |= {"epochs": 1.0, "batch_size": 4, "max_length": 600}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    put_domains()
    write_world(tmp_path, rows=30)
    return tmp_path


class Checker(HTMLParser):
    """Fails on a script, anything fetched, or a tag left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe", "object")
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag not in ("meta", "rect", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "path"):
            assert self.open.pop() == tag


def test_the_page_is_whole_fetches_nothing_and_escapes_hostile_texts(folder: Path) -> None:
    study = study_scores(Path("data/scored.parquet"), Path("data/triplets.parquet"), seed=1)
    html = render(study)
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert HOSTILE not in html and "&lt;script&gt;" in html
    assert html.count('class="text prompt"') == 20
    assert not re.search(r"https?:", html)
    assert "nan" not in html.lower().replace("nanny", "")
    assert html == render(study_scores(Path("data/scored.parquet"), Path("data/triplets.parquet"), seed=1))
    assert "Text" not in json.dumps(study.to_json())  # what is in git holds no texts


def test_another_run_and_labels_get_their_sections(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_world(folder, rows=30, noise=0.1, name="other")
    command.run(parsed("--sheet", "sheet.csv", "--sheet-rows", "20"))
    assert "20 rows in sheet.csv" in capsys.readouterr().out
    with pytest.raises(UserError, match="already there, and may hold labels"):
        command.run(parsed("--sheet", "sheet.csv"))
    with Path("sheet.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    for number, row in enumerate(rows[1:]):
        row[-1] = str(1 + number % 5)
    with Path("sheet.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    command.run(parsed("--runs", "data/other.parquet", "--labels", "sheet.csv", "--out", "page.html", "--json"))
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(Path("page.json").read_text())
    assert found["agreement"][0]["rows"] == 30
    assert found["human_judgement"][0]["labelled"] == 20
    page = Path("page.html").read_text()
    assert "Agreement between runs" in page and "20 rows were labelled" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "page.json"), "--out: page.json is where the JSON is put; name the page, such as page.html"),
        (("--sheet", "new.csv", "--sheet-rows", "0"), r"--sheet-rows: must be at least 1 \(got 0\)"),
        (("--sheet", "new.csv", "--sheet-rows", "-5"), r"--sheet-rows: must be at least 1 \(got -5\)"),
    ],
)
def test_arguments_that_make_no_sense_are_one_line(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        command.run(parsed(*arguments))
    assert not list(folder.glob("*.csv")) and not list(folder.glob("page*"))


def test_variants_are_scored_as_the_pipeline_would_and_only_once(
    folder: Path, base_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = ModelParams(reference=[f"path:{base_folder}"], licence="Apache-2.0")
    write_json(Path("models/student.json"), resolve_model("student", reference, cache_folder("cache")).to_row())
    run_stage("warm_up_student")
    arguments = parsed("--top-p", "0.95", "0.5", "--warm-up-rows", "12", "--seeds", "7")
    command.run(arguments)
    printed = capsys.readouterr().out
    assert [line.split(":")[0].strip() for line in printed.splitlines() if "kept by both" in line] == [
        "difficulty.top_p=0.5",  # 0.95 is the pipeline's own
        "warm_up.rows=12",
        "seed=7",
    ]
    assert len(list(Path(".compeffdist/study").iterdir())) == 3
    monkeypatch.setattr("compeffdist.study.variants.score_triplets", None)
    command.run(arguments)
    assert capsys.readouterr().out == printed
    domain = Path("domains/sentiment.yaml")
    domain.write_text(domain.read_text().replace("\n  student: ", "\n  student: Now. "))
    command.run(parsed("--top-p", "0.5"))  # the standing warm-up's prompt is that of its training
    for other in (parsed("--seeds", "7"), parsed("--top-p", "0.5")):
        with pytest.raises(TypeError, match="not callable"):
            command.run(other)
        monkeypatch.setattr("compeffdist.study.variants.own_fingerprint", lambda stage: "other code")


def test_a_value_that_params_do_not_allow_is_named() -> None:
    params = validate_params(compose("smoke", ROOT / "profiles"), "smoke")
    with pytest.raises(UserError, match=r"difficulty\.top_p=1\.5: difficulty\.top_p"):
        make_variants(params, top_ps=[1.5])
    with pytest.raises(UserError, match=r"warm_up\.rows"):
        make_variants(params, warm_up_rows=[0])
    assert make_variants(params, top_ps=[params.difficulty.top_p]) == []
