"""Direct or proxy: the stages from pairing to training run in both modes, gates and all, with no hand between."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.artefacts import EVALUATION, INSTRUCTIONS, MENTIONS, TEXTS
from compeffdist.declaration import read_pipeline
from compeffdist.files import read_json, write_json
from compeffdist.models import cache_folder, resolve_model
from compeffdist.params import ModelParams
from compeffdist.profiles import compose
from compeffdist.record_files import read_records
from compeffdist.records import (
    Draw,
    Pair,
    PredictedDifficulty,
    Reject,
    ScoredTriplet,
    Triplet,
)
from compeffdist.triplets.parts import PREDICTED, SCORED
from tests.factories import make_instruction, make_row, make_task, make_text
from tests.fakes import put_domains
from tests.stages import ROOT, run_stage
from tests.student.tiny import tiny_model_folder

ALL, TASKS, PART = 30 * 3, 3, 60
ORDER = list(read_pipeline(ROOT))
BETWEEN = ORDER[ORDER.index("pair_texts") : ORDER.index("check_training_set") + 1]
STAGES = [stage for stage in BETWEEN if stage not in ("evaluate_teacher", "study_difficulty")]
"""From pairing to training, without those that only look."""
LENIENT = {
    "triplets": {"action": "stop"},
    "sample": {
        "class_growth": 1.0,
        "largest_class_share": 1.0,
        "entropy_loss": 9.0,
        "js_distance": 1.0,
        "proxy_chance": None,
    },
    "training_set": {"loss_ratio": None},
}


def run(*names: str) -> None:
    for name in names:
        run_stage(name)


def set_params(mode: str, rate: float = 0.5) -> None:
    """A tiny model is teacher and student; bounds on what its answers are like are wide."""
    raw: dict[str, Any] = compose("smoke", ROOT / "profiles")
    raw["teacher"] |= {"engine": "transformers", "max_model_len": 600}
    raw["runtime"] |= {"cache": str(Path("cache").absolute()), "device": "cpu", "store": "answers.sqlite"}
    raw["runtime"]["scores"] = "scores"
    raw["pairing"]["pairs"] = ALL
    raw["sampling"]["rate"] = rate
    raw["difficulty"] |= {"mode": mode, "proxy": {"rows": PART}}
    raw["warm_up"] = {"rows": 4, "training": {**raw["warm_up"]["training"], "batch_size": 4}}
    raw["gates"] = {gate: {**bounds, **LENIENT.get(gate, {})} for gate, bounds in raw["gates"].items()}
    Path("params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    put_domains()


def set_scene(tiny_folder: Path) -> None:
    """What the stages before pairing leave."""
    reference = ModelParams(reference=[f"path:{tiny_folder}"], licence="Apache-2.0")
    for role in ("teacher", "student"):
        write_json(Path(f"models/{role}.json"), resolve_model(role, reference, cache_folder("cache")).to_row())
    things, moods = ("film", "plot", "kettle", "radio", "blanket"), ("great", "dreadful", "dull", "cosy", "loud", "odd")
    labels = ["positive", "neutral", "negative"]
    tasks = [make_task(name=f"task {n}", description=f"Do number {n}.", labels=labels) for n in range(TASKS)]
    TEXTS.write([make_text(f"the {thing} was {mood}") for thing in things for mood in moods])
    INSTRUCTIONS.write([make_instruction(task, prompt=task.description) for task in tasks])
    MENTIONS.write([])
    EVALUATION.write([make_row()])
    write_json(Path("data/clusters.json"), {"perspectives": [], "diagnostics": {}})


def read(name: str, kind: Any) -> list[Any]:
    return read_records(Path(f"data/{name}.parquet"), kind)


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def scene(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.delenv("COMPEFFDIST_CACHE", raising=False)
    set_scene(tiny_folder)


def asked() -> dict[str, Any]:
    value: dict[str, Any] = read_json(Path("metrics/collect_sampled.json"))
    spent = value["teacher"]["this_run"]
    return {**value["asked"], "bought": spent["bought"], "engine_starts": spent["engine_starts"]}


def test_the_teacher_is_asked_for_the_scored_part_and_the_kept_pairs_alone(scene: None) -> None:
    set_params("proxy")
    run(*STAGES)
    pairs, draws = {pair.id: pair for pair in read("pairs", Pair)}, read("sampled", Draw)
    assert Counter(pair.part for pair in pairs.values()) == {SCORED: PART, PREDICTED: ALL - PART}
    assert {row.pair_id for row in read("scored", ScoredTriplet)} == {p.id for p in pairs.values() if p.part == SCORED}
    predicted = {row.pair_id for row in read("predicted", PredictedDifficulty)}
    assert predicted == {p.id for p in pairs.values() if p.part == PREDICTED}
    assert {draw.pair_id for draw in draws if not draw.triplet_id} == predicted
    assert {row.pair_id for row in read("training", Triplet)} == {draw.pair_id for draw in draws if draw.kept}
    bought = [draw.pair_id for draw in draws if draw.kept and not draw.triplet_id]
    assert 0 < len(bought) < len(predicted)
    assert asked()["after_sampling"] == len(bought)
    assert asked()["calls_saved"] == pytest.approx(1 - (PART + len(bought)) / (ALL))
    report = read_json(Path("metrics/predict_difficulty.json"))
    assert report["held_out"]["rows"] == PART and report["records"]["out"] == len(predicted)

    # another rate buys what is newly kept, and nothing twice
    set_params("proxy", rate=0.8)
    run("sample_triplets", "check_sample", "collect_sampled", "train_student", "check_training_set")
    now = {draw.pair_id for draw in read("sampled", Draw) if draw.kept and not draw.triplet_id}
    texts = {pairs[key].text_id for key in now}
    fresh = now - set(bought)
    assert set(bought) < now
    assert asked()["bought"] <= len(fresh) + len(texts)  # the domain's question is asked of a text with its first pair
    known = Counter(row.pair_id for row in read("training", Triplet))
    assert known.keys() == {draw.pair_id for draw in read("sampled", Draw) if draw.kept} and max(known.values()) == 1


def test_directly_every_pair_is_asked_once_and_the_same_pair_has_the_same_answer(scene: None) -> None:
    set_params("direct")
    run(*STAGES)
    draws = read("sampled", Draw)
    assert read("predicted", PredictedDifficulty) == [] and read_json(Path("models/proxy/proxy.json"))
    assert len(draws) == ALL and all(draw.triplet_id for draw in draws)
    kept = {draw.triplet_id for draw in draws if draw.kept}
    assert {row.id for row in read("training", Triplet)} == kept
    assert asked() == {
        "pairs": ALL,
        "before_sampling": ALL,
        "after_sampling": 0,
        "calls_saved": 0.0,
        "bought": 0,
        "engine_starts": 0,
    }
    with Path("metrics/training_curve.csv").open(encoding="utf-8") as stream:
        assert list(csv.DictReader(stream))
    answers = {row.pair_id: row.answer_id for row in read("triplets", Triplet)}

    # switched to proxy, what is asked is among what was asked, so nothing is bought at all
    set_params("proxy")
    run(*STAGES)
    assert asked()["bought"] == 0 and asked()["after_sampling"] > 0
    assert read_json(Path("metrics/collect_responses.json"))["teacher"]["this_run"]["bought"] == 0
    assert all(answers[row.pair_id] == row.answer_id for row in read("training", Triplet))
    assert read_records(Path("data/rejects/collect_sampled.parquet"), Reject) == []
