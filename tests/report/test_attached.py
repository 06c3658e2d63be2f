"""What lies of a report with a run in MLflow: no text, drawings that stand by themselves, confusions that add up."""

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from compeffdist.report.attached import attached
from compeffdist.report.page import OF_TEXTS, render
from compeffdist.report.run import Run
from tests.factories import make_draw, make_perspective, make_score, make_text, make_triplet
from tests.report.making import answered, free_instruction, make_run

SECRET = "zebra"
"""A word of a text, which the teacher made an attribute, a perspective and a task of."""


@pytest.fixture
def run() -> Run:
    """A run whose texts, and all that is made of them, have a word of their own."""
    text, perspective = make_text(f"a {SECRET} in the rain"), make_perspective(SECRET)
    instruction = free_instruction(f"on the {SECRET}", perspective.id, SECRET)
    triplets = [make_triplet(instruction, text, response=f"{SECRET} {number}") for number in range(3)]
    scored = [make_score(triplet, 0.5) for triplet in triplets]
    return replace(
        make_run("plain"),
        texts=[text],
        perspectives=[perspective],
        places=dict.fromkeys(perspective.member_ids, (0.1, 0.2)),
        instructions=[instruction],
        triplets=list(map(answered, triplets)),
        scored=len(scored),
        draws=[make_draw(score, True, pair_id=f"pair_{n}") for n, score in enumerate(scored)],
    )


def test_no_word_of_a_text_is_in_what_is_attached(run: Run) -> None:
    assert SECRET in render(run)
    assert not [name for name, contents in attached(run).items() if SECRET.encode() in contents]


def test_the_page_has_no_dead_link_and_no_script(run: Run) -> None:
    page = attached(run)["index.html"].decode()
    assert "<script" not in page and "gates/" not in page
    assert not [name for name in OF_TEXTS if f'href="#{name}"' in page or f"id='{name}'" in page]
    assert "Macro-F1 x 100" in page and "Learning curves" in page and "What it cost" in page


def test_drawings_are_files_of_their_own(run: Run) -> None:
    drawn = {name: contents for name, contents in attached(run).items() if name.endswith(".svg")}
    assert set(drawn) == {"scores.svg", "gains.svg", "training_curve.svg", "warm_up_curve.svg"}
    for contents in drawn.values():
        root = ElementTree.fromstring(contents)  # which has no entities, and so nothing to expand
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and float(root.attrib["width"]) > 0


def confusions(run: Run) -> Iterator[tuple[str, list[list[str]]]]:
    for name, contents in attached(run).items():
        if name.startswith("confusion/"):
            yield name, list(csv.reader(io.StringIO(contents.decode())))


def test_confusions_count_every_row_of_every_system(run: Run) -> None:
    changed = [
        replace(one, id="", predicted="no label of it") if one.system == "base" else one for one in run.predictions
    ]
    found = dict(confusions(replace(run, predictions=changed)))
    assert set(found) == {f"confusion/tweets.{system}.csv" for system in ("teacher", "base", "student")}
    assert found["confusion/tweets.student.csv"] == [
        ["gold", "negative", "positive", "another"],
        ["negative", "1", "0", "0"],
        ["positive", "0", "1", "0"],
    ]
    assert [row[1:] for row in found["confusion/tweets.base.csv"][1:]] == [["0", "0", "1"], ["0", "0", "1"]]


def test_a_system_without_predictions_has_no_confusion(run: Run) -> None:
    assert not dict(confusions(replace(run, predictions=[])))
