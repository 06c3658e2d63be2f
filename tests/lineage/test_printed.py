"""What docs/ show of audit, trace and forget is what they print of the miniature run."""

import random
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.artefacts import TEXTS, TRAINING
from compeffdist.exchange.questions import Questions
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import write_record
from tests import mini_stages
from tests.docs_site.printed import hold, typed
from tests.lineage.conftest import MODEL, World, learnt_text
from tests.lineage.test_audit import flipped
from tests.lineage.test_recorded_answers import forget_store, questions

__all__ = ["questions"]

STORE, RECORD = str(mini_stages.STORE), Path("records/ours")
SHOWN_MODEL = "compeffdist-student"
"""What pages call the model."""


def name_answers(**runtime: Any) -> None:
    """Let the working folder's params name its own model, and where its answers are."""
    path = Path("params.yaml")
    params = yaml.safe_load(path.read_text())
    params["registry"]["model_name"] = MODEL
    params["runtime"] |= runtime
    path.write_text(yaml.safe_dump(params, sort_keys=False))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Runs a command in the working folder, a copy of the miniature run."""

    def done(command: str) -> str:
        if shlex.split(command, comments=True) == ["dvc", "repro"]:
            here = World(Path.cwd(), "")
            here.repro()
            here.commit("without the text")
            return ""
        return typed(command.replace(SHOWN_MODEL, MODEL), capsys).replace(MODEL, SHOWN_MODEL)

    return done


def test_an_audit_that_finds_a_changed_bit(own_world: World, run: Callable[[str], str]) -> None:
    name_answers(store=STORE)
    with flipped(own_world.folder / "data/triplets.parquet", random.Random(1)):
        hold("lineage.md", "changed-bit", run)


def test_an_audit_of_a_run_as_it_was(own_world: World, run: Callable[[str], str]) -> None:
    name_answers(store=STORE)
    hold("lineage.md", "untouched", run)


def test_a_triplet_that_was_kept_and_the_version_that_learnt_it(own_world: World, run: Callable[[str], str]) -> None:
    name_answers(store=STORE)
    texts = {text.id: text.text for text in own_world.records(TEXTS)}
    learnt = sorted(own_world.records(TRAINING), key=lambda triplet: triplet.id)
    # asked of a text in which nobody named what the task is about, so that the tree has it in a place of its own
    kept = next(one for one in learnt if one.task_name == "on battery" and "battery" not in texts[one.text_id])
    hold("trace.md", "traced", run, {"triplet": kept.id})


def test_a_text_whose_answers_are_recorded_before_it_is_withdrawn(
    own_world: World, questions: Questions, run: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownAnswers(own_world.store, [])
    write_record(RECORD, known.rows(known.keys()).values(), [mini_stages.TEACHER])
    forget_store(own_world)
    own_world.commit("the record")
    name_answers(recorded=[str(RECORD)])
    # the miniature's questions are no real stage's
    monkeypatch.setattr("compeffdist.exchange.questions.questions_of", lambda params, known: questions)
    hold("lineage.md", "recorded-text", run, {"text": learnt_text(own_world).id})


def test_a_text_that_is_withdrawn_and_purged(lone_world: World, run: Callable[[str], str]) -> None:
    name_answers(store=STORE)
    hold("lineage.md", "withdrawn-text", run, {"text": learnt_text(lone_world).id})
