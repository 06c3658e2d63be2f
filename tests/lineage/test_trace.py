"""Any id leads back to its source and forward to the students that learnt from it."""

import json
from typing import Any

import pytest

from compeffdist.artefacts import EVALUATION, INSTRUCTIONS, RECORDS, SAMPLED, TEXTS, TRAINING, TRIPLETS
from compeffdist.errors import UserError
from compeffdist.lineage.prov import prov_document, prov_json
from compeffdist.lineage.tree import render
from compeffdist.record_files import write_records
from compeffdist.records import Draw, Reject
from tests.lineage.conftest import MODEL, World


def draws(world: World) -> list[Draw]:
    return world.records(SAMPLED)


def text_of(world: World, sample: str) -> str:
    return next(triplet.text_id for triplet in world.records(TRIPLETS) if triplet.id == sample)


def rejected_by(world: World, stage: str) -> str:
    rejects: list[Reject] = world.records(f"data/rejects/{stage}.parquet")
    return rejects[0].record_id


def shown(world: World, reference: str) -> str:
    tracer = world.tracer()
    return "\n".join(render(tracer.trace(reference), tracer))


def test_a_kept_triplet_leads_from_its_text_to_the_version_that_learnt_it(world: World) -> None:
    sample = next(draw.triplet_id for draw in draws(world) if draw.kept)
    trace = world.tracer().trace(sample)
    kinds = {key.split("_")[0] for key in trace.ancestors}
    assert kinds == {"pair", "instruction", "task", "perspective", "attribute", "mention", "text", "demonstration"}
    assert text_of(world, sample) in trace.ancestors
    assert {key.split("_")[0] for key in trace.descendants} == {"score", "draw"}
    assert [version.reference for version in trace.versions] == [f"models:/{MODEL}/1"]
    text = shown(world, sample)
    assert "raw answer: bad" in text and "licence CC0-1.0" in text and "kept: draw" in text
    assert f"models:/{MODEL}/1 (candidate)" in text


def test_a_triplet_that_was_not_chosen_says_why(world: World) -> None:
    draw = next(draw for draw in draws(world) if not draw.kept)
    text = shown(world, draw.triplet_id)
    assert f"not kept: draw {draw.draw:.3f} >= inclusion probability {draw.inclusion_probability:.3f}" in text
    assert "no registered student learnt from it" in text


def test_a_pair_whose_answer_was_refused_says_why(world: World) -> None:
    text = shown(world, rejected_by(world, "collect_responses"))
    assert "left out by: collect_responses" in text and "label_not_in_set" in text


def test_a_source_row_that_was_dropped_says_why(world: World) -> None:
    assert "too_short" in shown(world, rejected_by(world, "ingest_texts"))


def test_every_record_of_every_artefact_can_be_traced_back_to_texts_or_evaluation_rows(world: World) -> None:
    snapshot = world.snapshot
    for path in RECORDS:
        for record in world.records(path):
            nodes = snapshot.nodes({record.id: path, **snapshot.ancestors([record.id], path)})
            roots = {key for key, node in nodes.items() if not node.parents}
            assert roots and all(root.startswith(("text_", "row_")) for root in roots), path


def test_a_version_leads_back_to_exactly_the_rows_it_was_trained_on(world: World) -> None:
    trace = world.tracer().trace(f"models:/{MODEL}@candidate")
    kept = {draw.triplet_id for draw in draws(world) if draw.kept}
    assert {key for key in trace.ancestors if key.startswith("triplet_")} == kept
    assert kept == set(trace.snapshot.kept_triplet_ids())
    assert f"trained on: {len(kept)} of" in shown(world, f"models:/{MODEL}/1")
    assert "rows from mine (CC0-1.0)" in shown(world, f"models:/{MODEL}/1")


def test_a_student_id_is_its_version(world: World) -> None:
    student = world.versions[0].tags["student_id"]
    assert world.tracer().trace(student).subject == f"models:/{MODEL}/1"


def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(world: World) -> None:
    sample = draws(world)[0].triplet_id
    assert world.tracer().trace(sample[:20]).subject == sample
    with pytest.raises(UserError, match="ids begin so, such as"):
        world.tracer().trace("triplet_")


class Row:
    """A state of the data with one text, which goes by `row` in its source."""

    def __init__(self, key: str, row: str) -> None:
        self.row = {"id": key, "source": "mine", "source_row": row}

    def holds(self, reference: str) -> bool:
        return reference == self.row["id"]

    def beginning(self, reference: str) -> list[str]:
        return [key for key in [self.row["id"]] if key.startswith(reference)]

    def values(self, path: str, field: str) -> list[str]:
        return [self.row[field]] if path == TEXTS else []


def test_a_row_of_a_source_whose_id_begins_another_is_that_row(world: World) -> None:
    tracer = world.tracer()
    newer, older = Row("text_12ab0000", "a"), Row("text_99990000", "text_12")
    tracer.__dict__["snapshots"] = [newer, older]
    assert tracer._find("text_12") == (older, "text_99990000")
    assert tracer._find("text_12a") == (newer, "text_12ab0000")
    assert tracer._find("text_12ab0000") == (newer, "text_12ab0000")


def test_an_unknown_id_is_one_line(world: World) -> None:
    with pytest.raises(UserError, match="nonsense: not an id"):
        world.tracer().trace("nonsense")
    with pytest.raises(UserError, match="text_0000: in no data of the working folder"):
        world.tracer().trace("text_0000")
    with pytest.raises(UserError, match="no such model version"):
        world.tracer().trace(f"models:/{MODEL}/99")


def test_json_holds_the_records_in_full(world: World) -> None:
    sample = draws(world)[0].triplet_id
    value = json.loads(json.dumps(world.tracer().trace(sample).to_json()))
    assert value["nodes"][sample]["record"]["id"] == sample
    assert value["nodes"][sample]["artefact"] == "data/triplets.parquet"
    assert set(value["ancestors"]) | set(value["descendants"]) | {sample} == value["nodes"].keys()


def test_the_training_sets_that_hold_a_row_are_named(world: World) -> None:
    sample = next(draw for draw in draws(world) if draw.kept)
    md5 = world.snapshot.lock.md5(TRAINING)
    for reference in (sample.triplet_id, sample.id):
        (held,) = world.tracer().trace(reference).training_sets
        assert (held.md5, held.rows) == (md5, 1) and held.places[0] == "working folder"
    dropped = next(draw.triplet_id for draw in draws(world) if not draw.kept)
    assert world.tracer().trace(dropped).training_sets == ()
    whole = world.tracer().trace(f"models:/{MODEL}/1").training_sets
    assert [(held.md5, held.rows) for held in whole] == [(md5, sum(draw.kept for draw in draws(world)))]


@pytest.mark.parametrize("lost", [TRIPLETS, TEXTS, SAMPLED, TRAINING, INSTRUCTIONS, "models/teacher.json"])
def test_what_is_not_on_this_machine_is_said_and_stops_nothing(own_world: World, lost: str) -> None:
    sample, path = draws(own_world)[0], own_world.folder / lost
    md5 = own_world.snapshot.lock.md5(lost)
    own_world.repository.object_path(md5).unlink()
    path.unlink()
    for reference in (f"models:/{MODEL}/1", sample.triplet_id, sample.id, own_world.records(EVALUATION)[0].id):
        tracer = own_world.tracer()
        try:
            trace = tracer.trace(reference)
        except UserError as error:
            assert lost in (TRIPLETS, SAMPLED) and "artefacts of them are not on this machine" in str(error)
            continue
        text = "\n".join(render(trace, tracer))
        assert lost.startswith("models") or f"not on this machine: {lost}" in text
        json.dumps(trace.to_json())
        prov_document(trace)


def prov_of(world: World, reference: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(prov_json(world.tracer().trace(reference)))
    return value


def test_prov_names_derivation_generation_and_teacher(world: World) -> None:
    sample = next(draw.triplet_id for draw in draws(world) if draw.kept)
    trace, value = world.tracer().trace(sample), prov_of(world, sample)
    derived = {(r["prov:generatedEntity"], r["prov:usedEntity"]) for r in value["wasDerivedFrom"].values()}
    assert (f"ced:{sample}", f"ced:{next(iter(trace.ancestors))}") in derived
    assert (f"ced:{MODEL}.1", f"ced:{sample}") in derived
    made = {r["prov:entity"]: r["prov:activity"] for r in value["wasGeneratedBy"].values()}
    assert made[f"ced:{sample}"].startswith("ced:collect_responses@")
    (agent,) = value["agent"].values()
    assert agent["prov:type"] == "prov:SoftwareAgent"


def test_prov_is_read_back_whole_and_refers_to_nothing_it_does_not_hold(world: World) -> None:
    """By the W3C's rules: a qualified name's prefix is declared, a relation's ends are declared elements."""
    from prov.model import ProvDocument

    for reference in (draws(world)[0].triplet_id, f"models:/{MODEL}/1", world.records(TEXTS)[0].id):
        trace, value = world.tracer().trace(reference), prov_of(world, reference)
        read = ProvDocument.deserialize(content=json.dumps(value), format="json")
        assert read == prov_document(trace) and read.unified().flattened().get_records()
        elements = {name for kind in ("entity", "activity", "agent") for name in value.get(kind, {})}
        assert {name.split(":")[0] for name in elements} <= value["prefix"].keys()
        for relation in ("wasDerivedFrom", "wasGeneratedBy", "wasAttributedTo"):
            for ends in value.get(relation, {}).values():
                assert {end for key, end in ends.items() if key != "prov:type"} <= elements


def test_a_hostile_text_cannot_write_to_the_terminal(world: World) -> None:
    from compeffdist.lineage.facts import quoted

    assert "\x1b" not in quoted("a \x1b[2J clear \r\n screen")


def test_a_hostile_row_id_of_a_source_cannot_either(own_world: World) -> None:
    hostile = "mine:\x1b[2J7"
    rejects = [Reject(stage="ingest_texts", record_id=hostile, reason="too_short", detail=hostile)]
    write_records(own_world.folder / "data/rejects/ingest_texts.parquet", Reject, rejects)
    own_world.dvc_commit("ingest_texts")
    text = shown(own_world, hostile)
    assert "too_short" in text and "\x1b" not in text


def test_looking_does_not_make_a_registry(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from compeffdist.lineage.repository import Repository
    from compeffdist.lineage.versions import read_versions

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert read_versions(Repository(), "any") == []
    assert not list(tmp_path.iterdir())
