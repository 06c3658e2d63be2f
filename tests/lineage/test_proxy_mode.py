"""In mode proxy a pair is predicted, drawn and only then answered: what was kept is traced, audited and forgotten
as what was scored is."""

import json
import shutil
from pathlib import Path

import pytest

from compeffdist.artefacts import PAIRS, PREDICTED, PROXY, RECORDS, SAMPLED, TEXTS, TRAINING, TRIPLETS
from compeffdist.lineage.model_checks import answer_links
from compeffdist.lineage.tree import render
from compeffdist.record_files import write_records
from compeffdist.records import Draw, Triplet
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.store import ResponseStore
from tests.lineage.conftest import MODEL, World


def bought(world: World) -> list[Triplet]:
    """Triplets that were answered because the sampler kept them."""
    before = {row.id for row in world.records(TRIPLETS)}
    return [row for row in world.records(TRAINING) if row.id not in before]


def shown(world: World, reference: str) -> str:
    tracer = world.tracer()
    return "\n".join(render(tracer.trace(reference), tracer))


def draw_of(world: World, pair_id: str) -> Draw:
    return next(draw for draw in world.records(SAMPLED) if draw.pair_id == pair_id)


def test_the_world_has_both_parts(proxy_world: World) -> None:
    assert {pair.part for pair in proxy_world.records(PAIRS)} == {"scored", "predicted"}
    assert bought(proxy_world) and len(bought(proxy_world)) < len(proxy_world.records(TRAINING))


def test_an_audit_of_data_and_version_finds_nothing(proxy_world: World) -> None:
    auditor = proxy_world.auditor()
    assert [str(link) for link in auditor.audit().failures] == []
    assert [str(link) for link in auditor.version_audit(proxy_world.versions[0]).failures] == []


def test_an_audit_misses_a_kept_pair_without_an_answer(proxy_world: World) -> None:
    path, rows = proxy_world.folder / TRAINING, proxy_world.records(TRAINING)
    whole, lost = path.read_bytes(), bought(proxy_world)[0]
    try:
        write_records(path, Triplet, [row for row in rows if row.id != lost.id])
        proxy_world.dvc_commit("collect_sampled")
        found = [str(link) for link in proxy_world.auditor().audit().failures]
    finally:
        path.write_bytes(whole)
        proxy_world.dvc_commit("collect_sampled")
    assert any(f"{SAMPLED} to {TRAINING}" in line and f"{lost.pair_id} was lost" in line for line in found)


def test_a_bought_triplet_leads_to_its_text_and_to_the_version(proxy_world: World) -> None:
    row = bought(proxy_world)[0]
    trace = proxy_world.tracer().trace(row.id)
    assert row.text_id in trace.ancestors and row.pair_id in trace.ancestors
    assert [version.reference for version in trace.versions] == [f"models:/{MODEL}/1"]
    assert trace.snapshot.path_of(row.id) == TRAINING
    assert "raw answer" in shown(proxy_world, row.id)


def test_a_predicted_pair_says_what_was_predicted_drawn_and_learnt(proxy_world: World) -> None:
    row = bought(proxy_world)[0]
    text = shown(proxy_world, row.pair_id)
    assert "difficulty: predicted" in text and "predicted difficulty: 0." in text
    assert "kept: draw" in text and row.id in text and f"models:/{MODEL}/1" in text
    kept = draw_of(proxy_world, row.pair_id)
    predicted = next(one for one in proxy_world.records(PREDICTED) if one.pair_id == row.pair_id)
    for key in (kept.id, predicted.id):
        (held,) = proxy_world.tracer().trace(key).training_sets
        assert held.rows == 1


def test_a_pair_that_was_not_kept_was_never_asked(proxy_world: World) -> None:
    dropped = next(draw for draw in proxy_world.records(SAMPLED) if not draw.kept and not draw.triplet_id)
    trace = proxy_world.tracer().trace(dropped.pair_id)
    assert {key.split("_")[0] for key in trace.descendants} == {"predicted", "draw"}
    assert trace.training_sets == () and "not kept: draw" in shown(proxy_world, dropped.id)


def test_every_record_leads_back_to_texts_or_evaluation_rows(proxy_world: World) -> None:
    snapshot = proxy_world.snapshot
    for path in RECORDS:
        for record in proxy_world.records(path):
            nodes = snapshot.nodes({record.id: path, **snapshot.ancestors([record.id], path)})
            roots = {key for key, node in nodes.items() if not node.parents}
            assert roots and all(root.startswith(("text_", "row_")) for root in roots), path


def test_a_version_leads_back_to_all_rows_of_its_training_set(proxy_world: World) -> None:
    trace = proxy_world.tracer().trace(f"models:/{MODEL}@candidate")
    rows = {row.id for row in proxy_world.records(TRAINING)}
    assert {key for key in trace.ancestors if key.startswith("triplet_")} == rows
    json.dumps(trace.to_json())


def test_forgetting_a_text_names_the_training_set_and_the_answers_bought(proxy_world: World) -> None:
    row = bought(proxy_world)[0]
    plan = proxy_world.forgetting().plan(row.text_id)
    assert {"predict_difficulty", "sample_triplets", "collect_sampled"} <= set(plan.stages)
    assert row.answer_id in plan.answers
    held = {holding.what.split(" of ")[0] for holding in plan.holdings if holding.kind == "cache object"}
    assert {TEXTS, PAIRS, PREDICTED, SAMPLED, TRAINING} <= held
    assert {PROXY, f"{PROXY}/proxy.safetensors"} <= held and f"{PROXY}/proxy.json" not in held


def test_an_audit_misses_the_raw_answer_of_a_bought_triplet(
    proxy_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = bought(proxy_world)[0].answer_id
    shutil.copy(proxy_world.store, tmp_path / "answers.sqlite")
    with ResponseStore(tmp_path / "answers.sqlite") as store:
        store.delete([lost])
    known = KnownAnswers(tmp_path / "answers.sqlite", [])
    found = [link for link in answer_links(proxy_world.snapshot, known) if link.status == "FAIL"]
    assert [link.subject for link in found] == ["raw answers"] and lost in found[0].detail
