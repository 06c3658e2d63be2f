"""A plan says what memory and disk its stages need, by what that is told, and no figure where it is not known."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist import peaks
from compeffdist.cli.main import main
from compeffdist.costs.amounts import GIB, MIB, NOTHING, UNKNOWN, Amount, largest, told, total
from compeffdist.costs.disk import Filled, disk_of
from compeffdist.costs.expected import LastRun
from compeffdist.costs.memory import model_memory, server_memory, training_bytes
from compeffdist.costs.needs import Need, most, needs
from compeffdist.costs.plan import plan
from compeffdist.costs.shapes import Layers, Shape
from compeffdist.params import Params, load_params
from compeffdist.profiles import compose
from compeffdist.teacher.store import stored_keys
from tests.costs.test_plan import STORE, changed, forget, keys
from tests.exchange.world import Checkout
from tests.stages import ROOT

PARAMETERS = 134_515_008
SMOLLM = Shape(PARAMETERS, 2 * PARAMETERS, True, Layers(30, 576, 1536, 9, 192, 49152))


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch) -> Params:
    """On a CPU that multiplies bfloat16."""
    monkeypatch.setattr("compeffdist.precision.cpu_multiplies", lambda dtype: True)
    monkeypatch.setattr("compeffdist.precision.resolve_device", lambda device: "cpu")
    return Params.model_validate(compose("laptop", ROOT / "profiles"))


def disk(stage: str, params: Params, student: Shape | None = SMOLLM, made: int | None = None) -> Filled:
    shapes = {"teacher": SMOLLM, "student": student, "embedder": SMOLLM}
    return disk_of(stage, params, shapes, LastRun(), made=made, bought=NOTHING, fetches_teacher=False)


def needed(*stages: str) -> dict[str, Need]:
    status = {name: changed("x") for name in stages}
    params = load_params()
    return {need.stage: need for need in needs(plan(params, status), params, status)}


# ---------------------------------------------------------------- amounts


def test_a_sum_is_as_sure_as_its_least_sure_part() -> None:
    measured, estimated = Amount(1.0, "measured"), Amount(2.0, "estimated")
    assert measured + estimated == Amount(3.0, "estimated")
    assert total([measured, UNKNOWN, estimated]) == Amount(3.0, "unknown")
    assert largest([estimated, measured]) == Amount(2.0, "estimated")
    assert largest([estimated, UNKNOWN]) == Amount(2.0, "unknown")
    assert total([]) == largest([]) == NOTHING


def test_an_unknown_amount_has_no_figure() -> None:
    assert str(Amount(5 * GIB, "unknown")) == "unknown"
    assert str(Amount(5 * GIB, "estimated")) == "5.0 GiB estimated"
    assert [told(size) for size in (0, MIB * 1.26, MIB * 520, GIB * 12.34)] == [
        "0.0 MiB",
        "1.3 MiB",
        "520 MiB",
        "12.3 GiB",
    ]


def test_the_run_needs_what_its_stages_keep_and_the_one_at_work() -> None:
    found = [
        Need("one", Amount(5.0, "measured"), NOTHING, Filled(Amount(10.0, "measured"), Amount(100.0, "estimated"))),
        Need("two", Amount(7.0, "measured"), NOTHING, Filled(Amount(20.0, "measured"), NOTHING)),
        Need("three", Amount(6.0, "measured"), NOTHING, Filled(Amount(30.0, "measured"), Amount(1.0, "measured"))),
    ]
    assert most(found) == (Amount(7.0, "measured"), Amount(110.0, "estimated"))
    assert most(found[1:]) == (Amount(7.0, "measured"), Amount(51.0, "measured"))


# ---------------------------------------------------------------- memory


def test_a_training_holds_weights_gradients_moments_and_a_pass(laptop: Params) -> None:
    def size(tokens: int = 2048, **settings: Any) -> float:
        assert SMOLLM.layers is not None
        return training_bytes(SMOLLM, SMOLLM.layers, laptop.training.model_copy(update=settings), tokens, 150)

    weights = size(0)
    assert weights == PARAMETERS * 18 == size(0, compute_dtype="float32") + 2 * PARAMETERS
    assert size(average_last=0.5) == size() + 4 * PARAMETERS
    assert size(4096) - weights == pytest.approx(2 * (size() - weights))
    assert size(gradient_checkpointing=True) - weights < (size() - weights) / 2
    assert size(0, method="lora") < 3 * PARAMETERS


def test_trainings_were_about_as_large_as_is_told(laptop: Params) -> None:
    """Resident at the peak of whole runs on an AMD EPYC with bfloat16 instructions. Texts shorter than they may be make
    a training smaller than is told, many steps on passes of every length larger."""
    smoke = Params.model_validate(compose("smoke", ROOT / "profiles"))
    measured = [
        ("warm_up_student", laptop, 4777),
        ("train_student", laptop, 7685),
        ("warm_up_student", smoke, 3374),
        ("train_student", smoke, 3614),
        ("register_student", smoke, 1813),
    ]
    for stage, params, mib in measured:
        assert model_memory(stage, params, SMOLLM, None).bytes / MIB == pytest.approx(mib, rel=0.2), (stage, mib)


def test_each_of_several_processes_holds_a_copy(laptop: Params) -> None:
    def told(processes: int) -> float:
        runtime = laptop.runtime.model_copy(update={"processes": processes})
        return model_memory("train_student", laptop.model_copy(update={"runtime": runtime}), SMOLLM, None).bytes

    # weights, gradients, moments and their rounded products, and the gradients once more as they are exchanged
    assert told(3) - told(2) > PARAMETERS * (18 + 4)
    assert told(2) > told(1) + PARAMETERS * (18 + 4)


def test_what_is_not_known_of_a_model_is_not_guessed(laptop: Params) -> None:
    nameless = Shape(PARAMETERS, 2 * PARAMETERS, False, None)
    for stage in ("warm_up_student", "score_difficulty", "evaluate_student", "register_student"):
        assert model_memory(stage, laptop, SMOLLM, None).basis == "estimated"
        assert model_memory(stage, laptop, nameless, None) == UNKNOWN
        assert model_memory(stage, laptop, None, None) == UNKNOWN
    assert model_memory("pair_texts", laptop, SMOLLM, SMOLLM) == UNKNOWN
    assert model_memory("predict_difficulty", laptop, SMOLLM, SMOLLM) == UNKNOWN  # it loads nothing in mode direct
    assert server_memory(laptop, None) == UNKNOWN


def test_a_student_in_float32_takes_more_to_ask_than_one_in_bfloat16(laptop: Params) -> None:
    half = laptop.model_copy(update={"training": laptop.training.model_copy(update={"saved_dtype": "base"})})
    least = model_memory("register_student", half, SMOLLM, None).bytes
    assert model_memory("register_student", laptop, SMOLLM, None).bytes > least


def test_nothing_is_told_of_a_gpu(laptop: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.precision.resolve_device", lambda device: "cuda")
    assert model_memory("train_student", laptop, SMOLLM, None) == server_memory(laptop, SMOLLM) == UNKNOWN
    monkeypatch.undo()  # nor is one looked for here that the run is to have elsewhere
    named = laptop.model_copy(update={"runtime": laptop.runtime.model_copy(update={"device": "cuda"})})
    assert model_memory("train_student", named, SMOLLM, None) == UNKNOWN


def test_a_server_holds_weights_and_the_cache_it_is_given(laptop: Params) -> None:
    more = laptop.model_copy(update={"runtime": laptop.runtime.model_copy(update={"engine_memory_gib": 3.0})})
    assert server_memory(more, SMOLLM).bytes - server_memory(laptop, SMOLLM).bytes == GIB
    served = laptop.model_copy(update={"teacher": laptop.teacher.model_copy(update={"engine": "openai"})})
    assert server_memory(served, None) == NOTHING


# ---------------------------------------------------------------- disk


def test_a_student_is_written_twice_and_its_checkpoint_goes_again(laptop: Params) -> None:
    found = disk("train_student", laptop)  # 142 steps, a checkpoint after 100
    assert found.kept == Amount.estimated(2 * 4 * PARAMETERS)
    assert found.at_most.bytes == (12 + 4) * PARAMETERS
    assert disk("warm_up_student", laptop).at_most.bytes == 2 * 2 * PARAMETERS  # 32 steps, in bfloat16
    often = laptop.model_copy(update={"runtime": laptop.runtime.model_copy(update={"checkpoint_steps": 50})})
    assert disk("train_student", often).at_most.bytes == 2 * 12 * PARAMETERS
    never = laptop.model_copy(update={"runtime": laptop.runtime.model_copy(update={"checkpoint_steps": 0})})
    assert disk("train_student", never).at_most == disk("train_student", never).kept


def test_outs_of_other_stages_are_those_of_the_last_run_or_unknown(laptop: Params) -> None:
    assert disk("pair_texts", laptop).at_most == UNKNOWN
    assert disk("pair_texts", laptop, made=1000).at_most == Amount(2000.0, "measured")
    assert disk("train_student", laptop, student=None).at_most == UNKNOWN


def test_a_version_is_a_copy_of_the_student(laptop: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert disk("register_student", laptop, made=10).kept.bytes == 4 * PARAMETERS + 20
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert disk("register_student", laptop, made=10).at_most == Amount(20.0, "measured")


def test_a_model_that_is_not_here_is_fetched(laptop: Params) -> None:
    away = Shape(PARAMETERS, 2 * PARAMETERS, False, None)
    shapes = {"teacher": SMOLLM, "student": SMOLLM, "embedder": SMOLLM}

    def fetched(**shape: Shape | None) -> Amount:
        found = disk_of(
            "resolve_models", laptop, shapes | shape, LastRun(), made=0, bought=NOTHING, fetches_teacher=False
        )
        return found.at_most

    assert fetched() == Amount(0.0, "measured")
    assert fetched(embedder=away) == Amount.estimated(2 * PARAMETERS)
    assert fetched(student=away) == Amount(2 * PARAMETERS, "unknown")  # and the GGUF, of which the size is not known
    assert fetched(student=None) == UNKNOWN


# ---------------------------------------------------------------- of a plan


def test_what_a_stage_took_before_comes_first(ran: Checkout) -> None:
    assert needed("pair_texts")["pair_texts"].memory == UNKNOWN
    stage = next(one.stage for one in plan(load_params(), {"pair_texts": changed("x")}))
    peaks.note_peak(stage, load_params())
    again = needed("pair_texts")["pair_texts"]
    assert again.memory.basis == again.disk.at_most.basis == "measured"
    assert again.disk.kept.bytes == 2 * sum(peaks.size_of(Path(out)) for out in stage.outs) > 0


def test_a_lock_tells_the_size_of_outs_where_no_param_changed(ran: Checkout) -> None:
    outs = [{"path": "data/pairs.parquet", "md5": "ab", "size": 1000}, {"path": "metrics/pair_texts.json", "size": 24}]
    lock = {"stages": {"pair_texts": {"cmd": "", "outs": outs}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))

    def told(**changes: list[Any]) -> Amount:
        status = {"pair_texts": ["changed command"]} | changes
        return next(iter(needs(plan(load_params(), status), load_params(), status))).disk.at_most

    assert told() == Amount(2048.0, "measured")
    assert told(pair_texts=changed("pairing.pairs")) == UNKNOWN
    del outs[1]["size"]
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    assert told() == UNKNOWN


def test_the_teacher_counts_from_where_it_is_asked_to_where_the_student_is_loaded(
    ran: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compeffdist.costs.needs.server_memory", lambda *_: Amount.estimated(1e12))
    assert not {name for name, need in needed("evaluate_teacher").items() if need.memory.bytes >= 1e12}
    forget(stored_keys(STORE))
    found = needed("enumerate_attributes", "evaluate_teacher")
    held = {name for name, need in found.items() if need.memory.bytes >= 1e12}
    assert {"enumerate_attributes", "cluster_attributes", "collect_responses", "evaluate_teacher"} <= held
    assert found["enumerate_attributes"].memory.basis == "estimated"
    assert found["check_clusters"].memory.basis == "unknown"
    assert not {"resolve_models", "warm_up_student", "score_difficulty", "train_student"} & held
    assert not {name for name, need in found.items() if need.without_teacher.bytes >= 1e12}


def test_what_does_not_fit_is_told(
    ran: Checkout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compeffdist.costs.plan.stale", lambda: {"generate_tasks": changed("tasks.types")})
    monkeypatch.setattr("compeffdist.doctor.machine.free_memory", lambda: 10 * MIB)
    main(["plan"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("at the peak: memory"))
    assert line.endswith("; more than the 10 MiB that are free")


def test_what_a_run_takes_without_a_teacher_is_told_where_it_may_buy_nothing(
    ran: Checkout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compeffdist.costs.needs.server_memory", lambda *_: Amount.estimated(1e12))
    status = {"evaluate_teacher": changed("evaluation.tasks")}
    monkeypatch.setattr("compeffdist.costs.plan.stale", lambda: status)

    def peak() -> str:
        main(["plan"])
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("at the peak: memory"))

    status["enumerate_attributes"] = changed("attributes.texts")
    monkeypatch.setattr("compeffdist.costs.needs.model_memory", lambda *_: Amount.estimated(2 * GIB))
    del status["evaluate_teacher"]
    asked = set(keys("evaluate_teacher"))
    assert "2.0 GiB estimated if nothing has to be bought; " in peak()
    status["evaluate_teacher"] = changed("evaluation.tasks")
    forget(asked)
    assert "933.3 GiB" in peak() and "if nothing has to be bought" not in peak()


def test_answers_that_are_bought_make_the_store_grow(ran: Checkout) -> None:
    before = needed("evaluate_teacher")["evaluate_teacher"].disk.kept.bytes
    forget(stored_keys(STORE))
    assert needed("evaluate_teacher")["evaluate_teacher"].disk.kept.bytes > before


def test_the_command_tells_both_and_what_it_does_not_know(ran: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    status = {"pair_texts": changed("pairing.pairs")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("compeffdist.costs.plan.stale", lambda: status)
        main(["plan"])
        said = capsys.readouterr().out.splitlines()
        main(["plan", "--json"])
    asked = json.loads(capsys.readouterr().out)
    assert ["pair_texts", "unknown", "unknown"] in [line.split() for line in said]
    last = [line for line in said if line.startswith("at the peak: ")]
    assert len(last) == 2 and all(" (unknown of " in line and " free" in line for line in last)
    assert asked["stages"][0]["memory"] == {"bytes": 0, "basis": "unknown"}
    assert asked["all"]["disk"]["basis"] == asked["all"]["memory"]["basis"] == "unknown"
