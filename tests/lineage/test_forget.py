"""A withdrawn text leaves the store at once, the data with the next run, and what is older when it is purged."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import pytest

from compeffdist.artefacts import DEMONSTRATIONS, TASKS, TEXTS
from compeffdist.errors import UserError
from compeffdist.instructions.rendering import with_text
from compeffdist.lineage.forget import NEEDLE_CHARACTERS, needle_of, phrases, quoted
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.withdrawal_report import plan_lines
from compeffdist.params import DemonstrationsParams
from compeffdist.prompting import clipped
from compeffdist.record_files import write_records
from compeffdist.records import Reject, Text
from compeffdist.stage_notes import note_path, noted, read_note
from compeffdist.teacher.store import ResponseStore, store_problems
from compeffdist.texts.withdrawals import withdrawn_ids
from tests.factories import make_text
from tests.lineage.conftest import MODEL, World, learnt_text


def holds(path: Path, text: Text) -> bool:
    """Whether a file, read row by row if it is Parquet, says anything of a text."""
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        content = repr(pq.read_table(path).to_pylist()).encode()
    return text.text.encode() in content or text.id.encode() in content


def stored(world: World) -> set[str]:
    with ResponseStore(world.store) as store:
        return set(store.keys_holding(""))


def test_a_dry_run_shows_all_of_it_and_changes_nothing(world: World) -> None:
    text = learnt_text(world)
    plan = world.forgetting().plan(text.id)
    lines = "\n".join(plan_lines(plan, dry_run=True))
    assert lines.endswith(f"nothing is done yet; next: compeffdist forget {text.id}")
    assert (plan.source, plan.source_row) == ("mine", text.source_row)
    assert plan.records["text"] == 1 and plan.records["triplet"] >= 1
    assert {"ingest_texts", "collect_responses", "sample_triplets", "collect_sampled"} <= set(plan.stages)
    assert f"model version models:/{MODEL}/1" in lines
    assert text.text not in lines
    assert not withdrawn_ids(world.folder / "data/withdrawals.jsonl")


def test_forgetting_removes_every_stored_answer_that_holds_the_text(own_world: World) -> None:
    text, before = learnt_text(own_world), stored(own_world)
    forgetting = own_world.forgetting()
    plan = forgetting.plan(text.id)
    (own_world.folder / ".compeffdist/stages").mkdir(parents=True, exist_ok=True)
    with pytest.raises(UserError), noted("ingest_texts"):
        raise UserError(f"my.csv: row 3: no label for {text.text}")
    forgetting.apply(plan)
    note = read_note("ingest_texts")
    assert note is not None and note.error.startswith("failed; why was removed")
    assert not holds(note_path("ingest_texts"), text)
    # attributes, polarity, and the two instructions it was paired with, at least
    assert len(plan.answers) >= 4
    assert stored(own_world) == before - set(plan.answers)
    assert text.text.encode() not in own_world.store.read_bytes()
    assert store_problems(own_world.store) == []
    assert withdrawn_ids(own_world.folder / "data/withdrawals.jsonl") == {text.id}


@pytest.mark.parametrize("beginning", ["I ", "\N{CJK UNIFIED IDEOGRAPH-597D} ", ""])
def test_a_text_is_looked_for_by_enough_of_it_whatever_its_first_words(beginning: str) -> None:
    """A short word before a long one, an address say, stands in every question."""
    whole = f"{beginning}https://example.org/{'a' * 60} was down again today"
    text = make_text(whole)
    needle = needle_of(text)
    assert needle in with_text("Do it.", whole)
    assert len(needle) >= NEEDLE_CHARACTERS // 2


def test_a_text_that_begins_the_same_is_another() -> None:
    beginning = "the parcel that I had ordered for my sister's birthday came "
    text, other = (make_text(beginning + rest) for rest in ("late and <text> broken", "on time and whole"))
    assert needle_of(text) == needle_of(other)
    clip = clipped(text.text, NEEDLE_CHARACTERS + 10)
    for mine in (with_text("Do it.", text.text), f"Write in the style of\n- {clip}\n- {other.text}\nNow."):
        assert quoted(text, mine)
    assert not quoted(text, with_text("Do it.", other.text))
    assert quoted(text, "Say something.")  # its answer has it


def test_a_reference_of_style_is_never_too_short_to_be_found() -> None:
    shortest = DemonstrationsParams(reference_characters=NEEDLE_CHARACTERS)
    text = make_text("word " * 30 + "end")
    assert needle_of(text) in clipped(text.text, shortest.reference_characters)
    with pytest.raises(ValueError, match="greater than or equal to 40"):
        DemonstrationsParams(reference_characters=NEEDLE_CHARACTERS - 1)


def test_words_of_the_question_itself_are_not_taken_for_the_text_s(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher may copy its prompt's example: that phrase stands in the questions on all texts."""
    text = learnt_text(world)
    before = world.forgetting().plan(text.id).answers
    asked = set(world.snapshot.values("data/mentions.parquet", "answer_id"))
    assert len(asked) > 2
    monkeypatch.setattr("compeffdist.lineage.forget.phrases", lambda snapshot, text_id: ["the text below"])
    with ResponseStore(world.store) as store:
        monkeypatch.setattr(ResponseStore, "keys_holding", _common_to(asked, ResponseStore.keys_holding))
        assert set(store.keys_holding("the text below")) >= asked
    assert world.forgetting().plan(text.id).answers == before


def _common_to(keys: set[str], found: Callable[[ResponseStore, str], list[str]]) -> Callable[..., list[str]]:
    return lambda store, needle: sorted(keys) if needle == "the text below" else found(store, needle)


def test_a_phrase_that_came_into_a_task_is_found_in_questions_that_state_the_task(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They quote other texts, too, yet the phrase is not the question's own."""
    text, demonstration = learnt_text(world), world.records(DEMONSTRATIONS)[0]
    task = next(task for task in world.records(TASKS) if task.id == demonstration.task_id)
    assert demonstration.answer_id not in world.forgetting().plan(text.id).answers
    monkeypatch.setattr("compeffdist.lineage.forget.phrases", lambda snapshot, text_id: [task.description])
    assert demonstration.answer_id in world.forgetting().plan(text.id).answers


def test_a_description_is_looked_for_without_its_full_stop() -> None:
    """So it stands in the question for task ideas."""
    said = {
        "text_id": ["text_1", "text_1", "text_2"],
        "description": ["how the cat is missed.", "how much it cost.", "how much it cost"],
        "value": ["sorely", "far too much.", "little"],
    }

    class Told:
        def values(self, path: str, field: str) -> list[Any]:
            return said[field]

    assert phrases(cast(Snapshot, Told()), "text_1") == ["far too much", "how the cat is missed"]


def test_a_row_that_an_older_state_cut_elsewhere_is_named(own_world: World) -> None:
    """It is another text, under another id, that says the same."""
    whole = learnt_text(own_world)
    cut = dataclasses.replace(whole, id="", text=whole.text.rsplit(" ", 2)[0])
    texts = [cut if text.id == whole.id else text for text in own_world.records(TEXTS)]
    write_records(own_world.folder / TEXTS, Text, texts)
    own_world.dvc_commit("ingest_texts")
    plan = own_world.forgetting().plan(cut.id)
    assert plan.cuts == (whole.id,)
    assert any(whole.id in line and "cut elsewhere" in line for line in plan_lines(plan))
    assert own_world.forgetting().plan(whole.id).cuts == (cut.id,)
    assert own_world.forgetting().plan(texts[0].id if texts[0] != cut else texts[1].id).cuts == ()


def test_a_source_that_is_gone_does_not_stop_a_withdrawal(own_world: World) -> None:
    text, forgetting = learnt_text(own_world), own_world.forgetting()

    def gone(text_id: str, source: str) -> list[str]:
        raise UserError(f"{source}: no such file")

    forgetting.whole_ids = gone
    assert "mine: no such file" in forgetting.apply(forgetting.plan(text.id))
    assert withdrawn_ids(own_world.folder / "data/withdrawals.jsonl") == {text.id}


def test_what_was_written_in_the_style_of_a_text_goes_with_it(world: World) -> None:
    demonstration = world.records(DEMONSTRATIONS)[0]
    plan = world.forgetting().plan(demonstration.reference_text_ids[0])
    assert demonstration.answer_id in plan.answers
    assert plan.records["demonstration"] >= 1 and plan.records["instruction"] >= 1


def test_what_other_texts_have_too_is_not_taken_for_its_own(world: World) -> None:
    plan = world.forgetting().plan(learnt_text(world).id)
    assert "task" not in plan.records and "attribute" not in plan.records


def test_what_only_one_text_gave_rise_to_goes_with_it(world: World) -> None:
    """One text speaks of the screen, alone in its perspective; several speak of plot and acting."""
    alone = next(text for text in world.records(TEXTS) if "screen" in text.text)
    plan = world.forgetting().plan(alone.id)
    assert (plan.records["attribute"], plan.records["perspective"], plan.records["task"]) == (1, 1, 1)
    assert "generate_tasks" in plan.stages


def test_an_object_of_a_run_that_was_never_committed_is_found(own_world: World) -> None:
    text = learnt_text(own_world)
    for name, content in (("a" * 32, json.dumps({"said": text.text})), ("b" * 32, "nothing of it")):
        path = own_world.repository.object_path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    found = {h.name: h.what for h in own_world.forgetting().plan(text.id).holdings if h.kind == "cache object"}
    assert found["a" * 32] == "no known lock: a run that was not committed"
    assert "b" * 32 not in found


def test_an_object_that_is_cut_short_is_not_taken_for_one_without_the_text(own_world: World) -> None:
    text = learnt_text(own_world)
    whole = (own_world.folder / "data/texts.parquet").read_bytes()
    torn = own_world.repository.object_path("ab" * 16)
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_bytes(whole[:-9])
    assert any("ab" * 16 in line and "cut short" in line for line in own_world.forgetting().plan(text.id).unlooked)


@pytest.mark.pipeline
def test_the_next_run_knows_nothing_of_it_and_buys_only_what_changed(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = learnt_text(own_world)
    forgetting = own_world.forgetting()
    plan = forgetting.plan(text.id)
    forgetting.apply(plan)
    left = stored(own_world)
    own_world.repro()
    own_world.commit("without it")
    assert not own_world.snapshot.holds(text.id)
    for path in (own_world.folder / "data").rglob("*.jsonl"):
        assert text.text not in path.read_text()
    assert stored(own_world) == left  # every question on other texts was answered before
    rejects = [r for r in own_world.records("data/rejects/ingest_texts.parquet") if r.reason == "withdrawn"]
    assert len(rejects) == 1 and rejects[0].record_id == f"mine:{text.source_row}"
    assert own_world.register(monkeypatch) == 2
    assert own_world.auditor().audit().failures == []


def test_a_near_duplicate_that_would_take_its_place_is_named(own_world: World) -> None:
    """It says nearly the same, and with the text gone nothing keeps it out."""
    text, path = learnt_text(own_world), "data/rejects/ingest_texts.parquet"
    near = Reject(stage="ingest_texts", record_id="text_near", reason="near_duplicate", detail=f"mine:7 {text.id}")
    other = Reject(stage="ingest_texts", record_id="text_other", reason="near_duplicate", detail="mine:8 text_else")
    write_records(own_world.folder / path, Reject, [near, other])
    own_world.dvc_commit("ingest_texts")
    plan = own_world.forgetting().plan(text.id)
    assert plan.stand_ins == ("text_near",)
    assert any("text_near" in line for line in plan_lines(plan))


def test_a_reject_that_names_a_text_in_passing_is_found(own_world: World) -> None:
    text = learnt_text(own_world)
    path = "data/rejects/score_difficulty.parquet"
    near = Reject(stage="ingest_texts", record_id="text_other", reason="near_duplicate", detail=f"mine:7 {text.id}")
    write_records(own_world.folder / path, Reject, [near])
    own_world.dvc_commit("score_difficulty")
    md5 = own_world.snapshot.lock.md5(path)
    assert md5 in {holding.name for holding in own_world.forgetting().plan(text.id).holdings}


def test_purging_waits_for_the_next_run(own_world: World) -> None:
    forgetting = own_world.forgetting()
    plan = forgetting.plan(learnt_text(own_world).id)
    forgetting.apply(plan)
    with pytest.raises(UserError, match="run dvc repro, then purge"):
        forgetting.purge(plan)


@pytest.mark.pipeline
def test_purging_removes_cache_remote_experiments_and_versions(
    lone_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = learnt_text(lone_world)
    lone_world.run("dvc", "remote", "add", "-d", "origin", str(tmp_path / "remote"))
    lone_world.commit("remote")
    lone_world.run("dvc", "push", "-q")
    lone_world.run("dvc", "exp", "run", "-q", "-n", "larger", "-S", "texts.min_characters=25")
    lone_world.run("git", "checkout", "-q", "-f", "HEAD", "--", "params.yaml", "dvc.lock")
    lone_world.run("dvc", "checkout", "-q", "--force")
    forgetting = lone_world.forgetting()
    forgetting.apply(forgetting.plan(text.id))
    lone_world.repro()
    lone_world.commit("without it")
    assert lone_world.register(monkeypatch) == 2
    objects = [path for path in (lone_world.folder / ".dvc/cache/files").rglob("*") if path.is_file()]
    assert (
        sum(holds(path, text) for path in objects) >= 4
    )  # texts, mentions, pairs and triplets name it: the search sees what is there
    plan = lone_world.forgetting().plan(text.id)
    kinds = {holding.kind for holding in plan.holdings}
    assert kinds == {"cache object", "remote object", "experiment", "model version"}
    assert {h.name for h in plan.holdings if h.kind == "model version"} == {f"models:/{MODEL}/1"}
    with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        unlink = Path.unlink

        def cut_short(path: Path, missing_ok: bool = False) -> None:
            unlink(path, missing_ok)
            raise KeyboardInterrupt

        patch.setattr(Path, "unlink", cut_short)
        lone_world.forgetting().purge(plan)
    left = lone_world.forgetting().plan(text.id)
    assert {holding.kind for holding in left.holdings} == {"cache object"}  # the last to go, and still found
    assert lone_world.forgetting().purge(left)
    after = lone_world.forgetting().plan(text.id)
    assert after.holdings == () and after.unseen
    assert any(line.startswith("not looked into: ") for line in plan_lines(after))
    assert [version.number for version in lone_world.versions] == [2]
    # everything that is left, whatever it is, holds neither the text nor its id
    for root in (lone_world.folder / ".dvc/cache/files", tmp_path / "remote"):
        assert [path for path in root.rglob("*") if path.is_file() and holds(path, text)] == []
    with pytest.raises(UserError, match="in no data"):
        lone_world.tracer().trace(text.id)
    assert lone_world.auditor().audit().failures == []


@pytest.mark.pipeline
def test_a_champion_is_not_purged(lone_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from compeffdist.registry.tracking import open_tracking

    open_tracking().set_registered_model_alias(MODEL, "champion", "1")
    forgetting = lone_world.forgetting()
    text = learnt_text(lone_world)
    forgetting.apply(forgetting.plan(text.id))
    lone_world.repro()
    lone_world.commit("without it")
    lone_world.register(monkeypatch)
    plan = lone_world.forgetting().plan(text.id)
    assert [h.needed for h in plan.holdings if h.kind == "model version"] == [True]
    lone_world.forgetting().purge(plan)
    assert [version.number for version in lone_world.versions] == [2, 1]


def test_an_unknown_text_is_one_line(world: World) -> None:
    with pytest.raises(UserError, match="text_0000: no such text"):
        world.forgetting().plan("text_0000")
