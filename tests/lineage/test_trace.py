"""Any id leads back to its source and forward to the students that learnt from it."""

import json

import pytest

from compeffdist.errors import UserError
from compeffdist.lineage.artefacts import ARTEFACTS, SAMPLE, TRIPLETS
from compeffdist.lineage.prov import prov_document
from compeffdist.lineage.tree import render
from compeffdist.records import Draw, Reject
from tests.lineage.conftest import MODEL, World


def draws(world: World) -> list[Draw]:
    return world.records(SAMPLE)


def text_of(world: World, sample: str) -> str:
    return next(triplet.text_id for triplet in world.records(TRIPLETS) if triplet.id == sample)


def rejected_by(world: World, stage: str) -> str:
    rejects: list[Reject] = world.records(f"data/rejects/{stage}.parquet")
    return rejects[0].record_id


def shown(world: World, reference: str) -> str:
    tracer = world.tracer()
    return "\n".join(render(tracer.trace(reference), tracer))


def test_a_kept_triplet_leads_from_its_text_to_the_version_that_learnt_it(world: World) -> None:
    sample = next(draw.sample_id for draw in draws(world) if draw.kept)
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
    text = shown(world, draw.sample_id)
    assert f"not kept: draw {draw.draw:.3f} >= inclusion probability {draw.inclusion_probability:.3f}" in text
    assert "no registered student learnt from it" in text


def test_a_pair_whose_answer_was_refused_says_why(world: World) -> None:
    text = shown(world, rejected_by(world, "collect_responses"))
    assert "left out by: collect_responses" in text and "label_not_in_set" in text


def test_a_source_row_that_was_dropped_says_why(world: World) -> None:
    assert "too_short" in shown(world, rejected_by(world, "ingest_texts"))


def test_every_record_of_every_artefact_can_be_traced_back_to_texts_or_evaluation_rows(world: World) -> None:
    snapshot = world.snapshot
    for path in ARTEFACTS:
        for record in world.records(path):
            nodes = snapshot.nodes({record.id: path, **snapshot.ancestors([record.id], path)})
            roots = {key for key, node in nodes.items() if not node.parents}
            assert roots and all(root.startswith(("text_", "row_")) for root in roots), path


def test_a_version_leads_back_to_exactly_the_rows_it_was_trained_on(world: World) -> None:
    trace = world.tracer().trace(f"models:/{MODEL}@candidate")
    kept = {draw.sample_id for draw in draws(world) if draw.kept}
    assert {key for key in trace.ancestors if key.startswith("sample_")} == kept
    assert kept == set(trace.snapshot.kept_samples())
    assert f"trained on: {len(kept)} of" in shown(world, f"models:/{MODEL}/1")
    assert "rows from mine (CC0-1.0)" in shown(world, f"models:/{MODEL}/1")


def test_a_student_id_is_its_version(world: World) -> None:
    student = world.versions[0].tags["student_id"]
    assert world.tracer().trace(student).subject == f"models:/{MODEL}/1"


def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(world: World) -> None:
    sample = draws(world)[0].sample_id
    assert world.tracer().trace(sample[:20]).subject == sample
    with pytest.raises(UserError, match="ids begin so, such as"):
        world.tracer().trace("sample_")


def test_an_unknown_id_is_one_line(world: World) -> None:
    with pytest.raises(UserError, match="text_0000: in no data of the working folder"):
        world.tracer().trace("text_0000")
    with pytest.raises(UserError, match="no such model version"):
        world.tracer().trace(f"models:/{MODEL}/99")


def test_json_holds_the_records_in_full(world: World) -> None:
    sample = draws(world)[0].sample_id
    value = json.loads(json.dumps(world.tracer().trace(sample).to_json()))
    assert value["nodes"][sample]["record"]["id"] == sample
    assert value["nodes"][sample]["artefact"] == "data/triplets.parquet"
    assert set(value["ancestors"]) | set(value["descendants"]) | {sample} == value["nodes"].keys()


def test_prov_names_derivation_generation_and_teacher(world: World) -> None:
    from prov.model import ProvDerivation, ProvDocument

    sample = next(draw.sample_id for draw in draws(world) if draw.kept)
    trace = world.tracer().trace(sample)
    document = ProvDocument.deserialize(content=prov_document(trace).serialize(format="json"), format="json")
    derived = {(str(r.args[0]), str(r.args[1])) for r in document.get_records(ProvDerivation)}
    assert (f"ced:{sample}", f"ced:{next(iter(trace.ancestors))}") in derived
    assert (f"ced:{MODEL}.1", f"ced:{sample}") in derived
    text = document.get_provn()
    assert "collect_responses@" in text and "prov:SoftwareAgent" in text


def test_a_hostile_text_cannot_write_to_the_terminal(world: World) -> None:
    from compeffdist.lineage.facts import quoted

    assert "\x1b" not in quoted("a \x1b[2J clear \r\n screen")


def test_looking_does_not_make_a_registry(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from compeffdist.lineage.repository import Repository
    from compeffdist.lineage.versions import read_versions

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert read_versions(Repository(), "any") == []
    assert not list(tmp_path.iterdir())
