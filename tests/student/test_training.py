"""Fine-tuning: loss on the response only, nothing cut, every row accounted for, the same bytes again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from compeffdist import precision
from compeffdist.errors import UserError
from compeffdist.files import hash_file, read_json
from compeffdist.formatting import load_tokenizer
from compeffdist.params import FineTuningParams
from compeffdist.student.curve import CurvePoint
from compeffdist.student.loading import load_student
from compeffdist.student.packing import IGNORED
from compeffdist.student.training import (
    TrainingResult,
    TrainingRow,
    draw_ids,
    encode_rows,
    fine_tune,
)
from tests.fakes import SYSTEM

ROWS = [
    TrainingRow(
        f"sample_{i:02d}",
        f"the film was {'great' if i % 2 else 'dreadful'} {'x' * i}",
        "positive" if i % 2 else "negative",
    )
    for i in range(10)
]
FAST = FineTuningParams(method="full", learning_rate=5e-3, epochs=2.0, batch_size=4)
LEARNING = {
    "full": FAST.model_copy(update={"epochs": 6.0}),
    # an adapter cannot move the tied embeddings, where a random tiny model has most to learn
    "lora": FAST.model_copy(update={"method": "lora", "epochs": 6.0, "learning_rate": 5e-2, "lora_alpha": 64}),
}


def train(
    folder: Path, output: Path, settings: FineTuningParams = FAST, rows: list[TrainingRow] = ROWS
) -> TrainingResult:
    return fine_tune(
        folder,
        rows,
        settings,
        base_id="model_base",
        seed=7,
        output=output,
        stage="train_student",
        device="cpu",
        system=SYSTEM,
    )


def weights(folder: Path) -> str:
    return hash_file(next(folder.glob("*.safetensors")))


def test_labels_stand_on_the_response_and_its_end_only(tiny_folder: Path) -> None:
    tokenizer = load_tokenizer(tiny_folder)
    encoded, rejected = encode_rows(tokenizer, SYSTEM, ROWS, 2048, "stage")
    assert [row.id for row in encoded] == [row.id for row in ROWS] and not rejected
    for row, source in zip(encoded, ROWS, strict=True):
        labelled = [label for label in row.labels if label != IGNORED]
        assert tokenizer.decode(labelled) == source.response + "<|im_end|>"
        assert row.input_ids[-len(labelled) :] == labelled
        assert row.length == len(row.input_ids) == len(row.labels)


def test_rows_that_cannot_be_trained_on_are_rejected_with_a_reason_and_never_cut(tiny_folder: Path) -> None:
    rows = [
        *ROWS,
        TrainingRow("sample_long", "word " * 500, "positive"),
        TrainingRow("sample_empty", "text", "  "),
    ]
    encoded, rejected = encode_rows(load_tokenizer(tiny_folder), SYSTEM, rows, 150, "stage")
    assert {reject.record_id: reject.reason for reject in rejected} == {
        "sample_empty": "empty_response",
        "sample_long": "too_long",
    }
    assert len(encoded) + len(rejected) == len(rows)


def test_two_rows_with_one_id_are_refused(tiny_folder: Path) -> None:
    with pytest.raises(UserError, match="share the id sample_00"):
        encode_rows(load_tokenizer(tiny_folder), SYSTEM, [ROWS[0], ROWS[0]], 2048, "stage")


@pytest.mark.parametrize("half_precision", [False, True])
def test_the_loss_reported_is_the_mean_over_response_tokens(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_precision: bool
) -> None:
    """An independent reckoning: one row at a time, all logits, the model before its first update."""
    monkeypatch.setattr(precision, "cpu_multiplies", lambda dtype: half_precision)
    settings = FAST.model_copy(update={"batch_size": len(ROWS), "epochs": 1.0})
    within = 2e-2 if half_precision else 1e-4
    result = train(tiny_folder, tmp_path / "out", settings)
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    total, count = 0.0, 0
    for row in encode_rows(tokenizer, SYSTEM, ROWS, 2048, "stage")[0]:
        with torch.no_grad():
            logits = model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        for position, label in enumerate(row.labels):
            if label != IGNORED:
                total, count = total - float(logits[position - 1, label]), count + 1
    assert result.curve[0].loss == pytest.approx(total / count, rel=within)
    assert result.response_tokens == count


def test_gradient_accumulation_gives_the_steps_of_one_large_batch(tiny_folder: Path, tmp_path: Path) -> None:
    rows = [replace(row, prompt="the same prompt", response="positive") for row in ROWS[:8]]
    exact = FAST.model_copy(update={"compute_dtype": "float32", "learning_rate": 1e-3})
    large = exact.model_copy(update={"batch_size": 8})
    small = exact.model_copy(update={"batch_size": 2, "gradient_accumulation": 4})
    one = train(tiny_folder, tmp_path / "large", large, rows)
    many = train(tiny_folder, tmp_path / "small", small, rows)
    assert [p.loss for p in many.curve] == pytest.approx([p.loss for p in one.curve], rel=1e-4)
    assert [p.gradient_norm for p in many.curve] == pytest.approx([p.gradient_norm for p in one.curve], rel=1e-3)


def test_shared_beginnings_change_no_step(tiny_folder: Path, tmp_path: Path) -> None:
    """All rows in one step, so that the order of the rows is no matter."""
    settings = FAST.model_copy(update={"batch_size": len(ROWS), "compute_dtype": "float32", "learning_rate": 1e-3})
    shared = train(tiny_folder, tmp_path / "shared", settings)
    for update in ({"group_rows": 1}, {"pass_tokens": 200}, {"gradient_checkpointing": True}):
        other = train(tiny_folder, tmp_path / "other", settings.model_copy(update=update))
        assert [p.loss for p in other.curve] == pytest.approx([p.loss for p in shared.curve], rel=1e-4)
        norms = [p.gradient_norm for p in shared.curve]
        assert [p.gradient_norm for p in other.curve] == pytest.approx(norms, rel=1e-3)


def test_a_model_that_cannot_share_is_trained_on_whole_rows_and_says_so(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("compeffdist.student.branching.EXACT", -1.0)
    train(tiny_folder, tmp_path / "out")
    said = [line for line in capsys.readouterr().err.splitlines() if "whole" in line]
    assert said == ["train_student: LlamaForCausalLM cannot read shared beginnings once; every row is read whole"]


@pytest.mark.parametrize("multiplies", [True, False])
def test_products_are_rounded_only_where_the_machine_multiplies_16_bits_and_weights_never(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, multiplies: bool
) -> None:
    monkeypatch.setattr(precision, "cpu_multiplies", lambda dtype: multiplies)
    exact = train(tiny_folder, tmp_path / "exact", FAST.model_copy(update={"compute_dtype": "float32"}))
    given = train(tiny_folder, tmp_path / "given", FAST)
    assert (weights(tmp_path / "exact") != weights(tmp_path / "given")) == multiplies
    assert given.curve[0].loss == pytest.approx(exact.curve[0].loss, rel=2e-2)
    many = train(tiny_folder, tmp_path / "many", FAST.model_copy(update={"pass_tokens": 1}))
    assert [p.loss for p in many.curve] == pytest.approx([p.loss for p in given.curve], rel=2e-2)
    assert [p.gradient_norm for p in many.curve] == pytest.approx([p.gradient_norm for p in given.curve], rel=5e-2)
    model, _ = load_student(tmp_path / "given", "cpu")
    assert any(bool((p != p.bfloat16().float()).any()) for p in model.parameters())


@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_lowers_the_loss_and_repeats_byte_for_byte(tiny_folder: Path, tmp_path: Path, method: str) -> None:
    settings = LEARNING[method]
    first, second = (train(tiny_folder, tmp_path / name, settings) for name in ("first", "second"))
    assert first.metrics()["last_tenth_loss"] < 0.7 * first.curve[0].loss
    assert weights(tmp_path / "first") == weights(tmp_path / "second")
    assert first.curve == second.curve


def test_the_order_of_the_rows_given_does_not_matter(tiny_folder: Path, tmp_path: Path) -> None:
    train(tiny_folder, tmp_path / "forward")
    train(tiny_folder, tmp_path / "backward", rows=ROWS[::-1])
    assert weights(tmp_path / "forward") == weights(tmp_path / "backward")
    assert read_json(tmp_path / "forward/student.json") == read_json(tmp_path / "backward/student.json")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_folder_holds_no_pickle_no_checkpoint_and_no_path(tiny_folder: Path, tmp_path: Path, method: str) -> None:
    output = tmp_path / "out"
    train(tiny_folder, output, FAST.model_copy(update={"method": method}))
    names = {path.name for path in output.rglob("*")}
    assert not any(name.endswith((".bin", ".pt", ".pkl")) or name.startswith("checkpoint") for name in names)
    assert {"student.json", "tokenizer.json", "chat_template.jinja"} <= names
    for path in output.glob("*.json"):
        assert str(tiny_folder.parent) not in path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_trained_student_loads_and_differs_from_its_base(tiny_folder: Path, tmp_path: Path, method: str) -> None:
    settings = LEARNING[method]
    train(tiny_folder, tmp_path / "out", settings)
    base, tokenizer = load_student(tiny_folder, "cpu", "float32")
    student, _ = load_student(tmp_path / "out", "cpu", "float32", base=tiny_folder)
    row = encode_rows(tokenizer, SYSTEM, ROWS[:1], 2048, "stage")[0][0]
    with torch.no_grad():
        losses = [
            float(m(torch.tensor([row.input_ids]), labels=torch.tensor([row.labels])).loss) for m in (base, student)
        ]
    assert losses[1] < 0.8 * losses[0]


@pytest.mark.parametrize(("saved_dtype", "expected"), [("float32", torch.float32), ("base", torch.bfloat16)])
def test_full_weights_are_saved_in_the_precision_asked_for_and_loaded_in_it(
    tiny_folder: Path, tmp_path: Path, saved_dtype: str, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import safe_open

    monkeypatch.setattr(precision, "cpu_multiplies", lambda dtype: True)
    train(tiny_folder, tmp_path / "out", FAST.model_copy(update={"saved_dtype": saved_dtype}))
    with safe_open(tmp_path / "out/model.safetensors", "pt") as stream:
        assert {stream.get_tensor(key).dtype for key in stream.keys()} == {expected}  # noqa: SIM118
    assert load_student(tmp_path / "out", "cpu")[0].dtype == expected


@pytest.mark.parametrize("method", ["full", "lora"])
def test_what_few_small_steps_taught_is_there_when_the_student_is_loaded(
    tiny_folder: Path, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where bfloat16 is fast: its last bit is larger than what a short training moves."""
    monkeypatch.setattr(precision, "cpu_multiplies", lambda dtype: True)
    small = FAST.model_copy(update={"method": method, "learning_rate": 1e-6, "epochs": 1.0})
    train(tiny_folder, tmp_path / "out", small)
    base, tokenizer = load_student(tiny_folder, "cpu", "float32")
    trained, _ = load_student(tmp_path / "out", "cpu", base=tiny_folder)
    ids = torch.tensor([tokenizer("the film was great")["input_ids"]])
    with torch.inference_mode():
        moved = (trained(ids).logits - base(ids).logits).abs().max()
    assert 0.0 < float(moved) < 1e-2


def test_a_failed_training_leaves_no_folder(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lower the learning_rate"):
        train(
            tiny_folder,
            tmp_path / "out",
            FAST.model_copy(update={"learning_rate": 1e30, "max_gradient_norm": 1e30}),
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("update", "rate"), [({}, 5e-5), ({"method": "lora"}, 5e-4), ({"learning_rate": 1e-3}, 1e-3)])
def test_a_method_has_a_learning_rate_of_its_own_and_the_card_names_it(
    tiny_folder: Path, tmp_path: Path, update: dict[str, Any], rate: float
) -> None:
    settings = FineTuningParams.model_validate({"epochs": 1.0, "batch_size": 10, "schedule": "constant"} | update)
    result = train(tiny_folder, tmp_path / "out", settings)
    assert result.curve[0].learning_rate == rate == result.provenance["settings"]["learning_rate"]


def test_an_adapter_whose_base_is_not_given_is_one_clear_line(tiny_folder: Path, tmp_path: Path) -> None:
    train(tiny_folder, tmp_path / "out", FAST.model_copy(update={"method": "lora"}))
    with pytest.raises(UserError, match="adapter of model_base"):
        load_student(tmp_path / "out", "cpu")


def test_a_draw_depends_on_ids_and_seed_alone() -> None:
    ids = [row.id for row in ROWS]
    drawn = draw_ids(ids, 4, 3)
    assert drawn == draw_ids(ids[::-1], 4, 3)
    assert len(set(drawn)) == 4
    assert draw_ids(ids, 4, 4) != drawn
    assert draw_ids(ids, 99, 3) == sorted(ids)


def test_every_step_is_reported_as_it_happens(tiny_folder: Path, tmp_path: Path) -> None:
    seen: list[CurvePoint] = []
    result = fine_tune(
        tiny_folder,
        ROWS,
        FAST,
        base_id="b",
        seed=1,
        output=tmp_path / "o",
        stage="s",
        device="cpu",
        on_point=seen.append,
        system=SYSTEM,
    )
    assert seen == result.curve and [point.step for point in seen] == list(range(1, 7))


class Killed(Exception):
    """As if the machine had gone."""


def interrupted(folder: Path, tmp_path: Path, settings: FineTuningParams, at: int, every: int) -> TrainingResult:
    """A training that dies at step `at`, with a checkpoint `every` so many steps, and is run again."""

    def run(on_point: Callable[[CurvePoint], None] | None) -> TrainingResult:
        return fine_tune(
            folder, ROWS, settings, base_id="model_base", seed=7, output=tmp_path / "resumed", stage="train_student",
            device="cpu", on_point=on_point, checkpoints=tmp_path / "checkpoints", checkpoint_steps=every, system=SYSTEM
        )  # fmt: skip

    def die(point: CurvePoint) -> None:
        if point.step == at:
            raise Killed

    with pytest.raises(Killed):
        run(die)
    seen: list[CurvePoint] = []
    result = run(seen.append)
    assert seen == result.curve
    return result


@pytest.mark.parametrize("at", [4, 6])
@pytest.mark.parametrize(
    "update",
    [
        {},
        {"group_rows": 1},
        {"method": "lora", "lora_dropout": 0.3, "gradient_accumulation": 2, "batch_size": 2},
        {"average_last": 0.8},
    ],
    ids=["shared", "whole", "lora", "averaged"],
)
def test_a_killed_training_goes_on_to_the_same_bytes(
    tiny_folder: Path, tmp_path: Path, update: dict[str, Any], at: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three steps an epoch: a checkpoint within the first, and one at its end."""
    settings = FAST.model_copy(update={"epochs": 3.0} | update)
    whole = train(tiny_folder, tmp_path / "whole", settings)
    capsys.readouterr()
    result = interrupted(tiny_folder, tmp_path, settings, at, at - 2 if at == 4 else 3)
    assert f"goes on from step {at - 2 if at == 4 else 3}" in capsys.readouterr().err
    assert result.curve == whole.curve
    assert (whole.steps_before, result.steps_before) == (0, at - 2 if at == 4 else 3)
    own = result.tokens * (1 - result.steps_before / len(result.curve))
    assert result.metrics()["tokens_per_second"] == pytest.approx(own / result.seconds, rel=0.01)
    assert weights(tmp_path / "resumed") == weights(tmp_path / "whole")
    assert not (tmp_path / "checkpoints" / "train_student").exists()


def test_other_settings_start_anew_and_a_broken_checkpoint_is_passed_over(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "checkpoints" / "train_student"
    other = FAST.model_copy(update={"learning_rate": 1e-3})
    settings = FAST.model_copy(update={"epochs": 3.0})
    for folder in ("a", "b"):
        with pytest.raises(Killed):
            raise_at(tiny_folder, tmp_path / folder, settings if folder == "a" else other, kept.parent)
    assert "goes on" not in capsys.readouterr().err and len(list(kept.iterdir())) == 2
    for checkpoint in kept.glob("*/checkpoint-*"):
        names = {path.name for path in checkpoint.iterdir()}
        assert "training_args.bin" not in names and "tokenizer.json" not in names
        (checkpoint / "optimizer.pt").write_bytes((checkpoint / "optimizer.pt").read_bytes()[:100])
    with pytest.raises(Killed):
        raise_at(tiny_folder, tmp_path / "a", settings, kept.parent)
    assert "is no whole checkpoint and is passed over" in capsys.readouterr().err


def raise_at(folder: Path, output: Path, settings: FineTuningParams, checkpoints: Path) -> None:
    def die(point: CurvePoint) -> None:
        if point.step == 4:
            raise Killed

    fine_tune(
        folder, ROWS, settings, base_id="b", seed=7, output=output, stage="train_student", device="cpu",
        on_point=die, checkpoints=checkpoints, checkpoint_steps=2, system=SYSTEM
    )  # fmt: skip


def test_the_weights_kept_are_the_mean_of_those_after_the_last_steps(tiny_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    settings = FAST.model_copy(update={"batch_size": len(ROWS), "schedule": "constant"})
    ends = []
    for steps in (2, 3, 4):
        train(tiny_folder, tmp_path / str(steps), settings.model_copy(update={"epochs": float(steps)}))
        ends.append(load_file(tmp_path / str(steps) / "model.safetensors"))
    train(tiny_folder, tmp_path / "mean", settings.model_copy(update={"epochs": 4.0, "average_last": 0.75}))
    for name, mean in load_file(tmp_path / "mean" / "model.safetensors").items():
        assert torch.allclose(mean, sum(end[name] for end in ends) / 3, atol=1e-6)
