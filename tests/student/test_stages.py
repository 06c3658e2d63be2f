"""The three stages of the student, run one after the other on a tiny base model, as DVC runs them."""

import csv
import random
from pathlib import Path

import pytest
import yaml

from compeffdist.artefacts import (
    EVALUATED,
    EVALUATION,
    INSTRUCTIONS,
    STUDENT_PREDICTIONS,
    TEXTS,
    TRAINING,
    TRIPLETS,
    rejects_of,
)
from compeffdist.files import hash_file, read_json, write_json
from compeffdist.models import cache_folder, resolve_model
from compeffdist.params import ModelParams, validate_params
from compeffdist.profiles import compose
from compeffdist.record_files import write_records
from compeffdist.records import Triplet
from compeffdist.registry.tracking import open_tracking
from compeffdist.seeds import stage_seed
from compeffdist.student.runs import warm_up_rows
from compeffdist.student.training import draw_ids
from tests.factories import make_row, make_text, make_triplet
from tests.fakes import put_domains
from tests.report.making import make_run
from tests.stages import GATES, ROOT, run_stage


def write_inputs(tiny_folder: Path) -> None:
    training = {"epochs": 1.0, "batch_size": 4, "max_length": 600}
    raw = compose("smoke", ROOT / "profiles")
    raw["warm_up"] = {"rows": 6, "training": {**raw["warm_up"]["training"], **training}}
    raw["training"].update(training)
    raw["runtime"]["cache"] = str(Path("cache").absolute())
    Path("params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    put_domains()
    reference = ModelParams(reference=[f"path:{tiny_folder}"], licence="Apache-2.0")
    for role in ("teacher", "student"):
        identity = resolve_model(role, reference, cache_folder(raw["runtime"]["cache"]))
        write_json(Path(f"models/{role}.json"), identity.to_row())
    prompts = [*(f"the film was great {n}" for n in range(11)), "long " * 200]
    triplets = [make_triplet(prompt=prompt, response="positive", text_id=prompt) for prompt in prompts]
    TRIPLETS.write(triplets)
    TRAINING.write(random.Random(1).sample(triplets[1::2], 6))
    write_json(Path(EVALUATED), make_run("plain").evaluation)
    for gate in GATES:
        write_json(Path(f"metrics/gates/{gate}.json"), {"passed": gate != "sample", "action": "warn"})
    TEXTS.write([make_text(f"it was {word}") for word in ("fine", "dull", "loud", "cosy")])
    INSTRUCTIONS.write([])
    EVALUATION.write([make_row("tweets", "fine", "positive")])
    STUDENT_PREDICTIONS.write([])


def test_the_stages_run_in_turn_and_every_row_is_accounted_for(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.delenv("COMPEFFDIST_CACHE", raising=False)
    write_inputs(tiny_folder)

    run_stage("warm_up_student")
    records = read_json(Path("metrics/warm_up_student.json"))["records"]
    assert records["in"] == 6 == records["out"] + records["rejected"]
    assert Path("models/warmup/student.json").exists() and Path("metrics/warm_up_curve.csv").exists()

    run_stage("train_student")
    trained = read_json(Path("metrics/train_student.json"))
    assert (trained["records"]["in"], trained["records"]["out"]) == (6, 5)
    assert trained["records"]["reasons"] == {"too_long": 1}
    assert [r.reason for r in rejects_of("train_student").read()] == ["too_long"]
    with Path("metrics/training_curve.csv").open(encoding="utf-8") as stream:
        assert [row["step"] for row in csv.DictReader(stream)] == [str(n + 1) for n in range(trained["steps"])]
    run = open_tracking().get_run(read_json(Path("models/student_run.json"))["run_id"])
    assert run.info.status == "FINISHED" and run.data.params["training.epochs"] == "1.0"
    assert {i.dataset.name for i in run.inputs.dataset_inputs} == {"training.parquet"}

    run_stage("register_student")
    registration = read_json(Path("metrics/registration.json"))
    assert registration["run_id"] == run.info.run_id and registration["version"] == 1
    assert registration["tags"]["metric.gain_low"] == "0.4000"
    assert (registration["tags"]["gates"], registration["tags"]["gate.sample"]) == ("warned: sample", "warned")
    assert registration["tags"]["base_id"] == read_json(Path("models/student.json"))["id"]
    predictions = hash_file(Path("data/student_predictions.parquet"))
    assert registration["tags"]["student_predictions_sha256"] == predictions
    shown = open_tracking().get_run(run.info.run_id)
    assert {i.dataset.name for i in shown.inputs.dataset_inputs} == {
        *("training.parquet", "evaluation.jsonl", "texts.parquet"),
    }
    assert shown.data.metrics["tweets/gain_high"] == 0.6
    assert len(open_tracking().get_metric_history(run.info.run_id, "loss")) == trained["steps"]
    version = open_tracking().get_model_version(registration["model_name"], "1")
    assert "Trained on 5 rows of" in version.description and "all gates: warned: sample" in version.description


def test_a_warm_up_is_a_draw_of_the_triplets_in_an_order_of_its_own(tmp_path: Path) -> None:
    raw = compose("smoke", ROOT / "profiles")
    params = validate_params(raw | {"warm_up": raw["warm_up"] | {"rows": 5}}, "smoke")
    triplets = [make_triplet(prompt=f"text {n}", text_id=f"text_{n}") for n in range(20)]
    write_records(tmp_path / "triplets.parquet", Triplet, triplets)
    rows = warm_up_rows(tmp_path / "triplets.parquet", params)
    drawn = draw_ids([triplet.id for triplet in triplets], 5, stage_seed(params.seed, "warm_up_student"))
    assert [row.id for row in rows] == drawn
    prompts = {triplet.id: triplet.prompt for triplet in triplets}
    assert [row.prompt for row in rows] == [prompts[row_id] for row_id in drawn]
