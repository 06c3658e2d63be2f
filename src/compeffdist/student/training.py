"""Fine-tuning the student: trl's SFTTrainer, LoRA or full weights, loss on the response only.

Rows reach the trainer as ids and labels made by `formatting`, with trl's own preparation switched off: what is trained
is exactly what is scored and asked later. Rows over `max_length` are rejected with a reason, never cut.

What is fast about it: what rows of an instruction share is read once (`packing`; three quarters of a row's tokens are
chat frame and instruction), and where trl's fused loss would put every position through the LM head (any device without
Triton, so every CPU) the head sees response positions only. For a small student with a 49K vocabulary the head is a
quarter of a step's arithmetic, and most positions are prompt.

trl's own packing is not offered. Under sdpa, trl's packed rows are kept apart only through position ids, and only
while the KV cache is off (measured: logits equal to 2e-6, else 5 apart), and trl cuts what overflows a pack.

Precision: full fine-tuning keeps float32 weights, gradients and Adam moments (16 bytes a parameter), because AdamW's
updates are smaller than bfloat16 can add. Products are computed in bfloat16 (autocast) where the hardware multiplies
it (`training.compute_dtype`). The result is saved in float32 (`saved_dtype`): the laptop's warm-up of three steps
lowers the loss on other rows from 2.30 to 1.64, and to 2.13 once rounded to bfloat16. LoRA keeps the base in
`student_dtype` and the adapter in float32.

Same seed, same machine, same number of threads: same bytes. Another machine gives slightly different sums.
"""

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.canonical import canonical_json, hash_json, hash_text
from compeffdist.errors import UserError
from compeffdist.files import atomic_folder, write_json
from compeffdist.formatting import encode_prompt, encode_response, end_token_id, student_tokenizer
from compeffdist.params import FineTuningParams
from compeffdist.precision import resolve_device
from compeffdist.records import Reject
from compeffdist.student.curve import Curve, CurvePoint
from compeffdist.student.loading import PROVENANCE, stored_dtype, student_dtype
from compeffdist.student.packing import Correction, EncodedRow
from compeffdist.student.soft_labels import soft_corrections

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from compeffdist.student.layout import Layout


@dataclass(frozen=True)
class TrainingRow:
    """What the student is trained on: `id` is the triplet's (its sample id)."""

    id: str
    prompt: str
    response: str
    labels: tuple[str, ...] = ()
    """What could be answered, where the teacher weighed each label; else empty."""
    probabilities: tuple[float, ...] = ()
    """Of `labels`, by the teacher."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training run did. rows + len(rejected) = rows given."""

    rows: int
    rejected: list[Reject]
    curve: list[CurvePoint]
    tokens: int
    """Tokens trained over, all epochs, padding not counted."""
    response_tokens: int
    """Those of them that carry loss."""
    soft_rows: int
    """Rows whose target is soft (`training.soft_labels`)."""
    seconds: float
    steps_before: int
    """Steps of an earlier run that this one went on from; `seconds` are without them."""
    provenance: dict[str, Any] = field(repr=False)

    def metrics(self) -> dict[str, Any]:
        """The run in plain numbers, for the stage's metrics file."""
        tail = self.curve[-max(len(self.curve) // 10, 1) :]
        timed = self.tokens * (1 - self.steps_before / len(self.curve))
        return {
            "steps": len(self.curve),
            "first_loss": self.curve[0].loss,
            "last_tenth_loss": sum(point.loss for point in tail) / len(tail),
            "tokens": self.tokens,
            "response_tokens": self.response_tokens,
            "soft_rows": self.soft_rows,
            "seconds": round(self.seconds, 1),
            "tokens_per_second": round(timed / max(self.seconds, 1e-9), 1),
        }


def fine_tune(
    base: Path,
    rows: Sequence[TrainingRow],
    settings: FineTuningParams,
    *,
    base_id: str,
    system: str,
    seed: int,
    output: Path,
    stage: str,
    device: str = "auto",
    on_point: Callable[[CurvePoint], None] | None = None,
    checkpoints: Path | None = None,
    checkpoint_steps: int = 0,
    processes: int = 1,
    curve: Curve | None = None,
) -> TrainingResult:
    """Train the model in `base` on `rows` and write a student folder, atomically.

    The folder holds safetensors weights (or the adapter), tokenizer, chat template and the provenance
    `student.json`. It names no path of this machine and holds no pickle.

    Args:
        rows: in any order; they are trained in an order drawn from `seed` and their ids alone.
        base_id: identity of the base model, for the provenance.
        system: what stands before every prompt, now and whenever the student is asked.
        stage: name of the stage, for rejects and the progress line.
        device: as in `runtime.device`.
        on_point: called after each optimiser step; after a resume first for those that were done before.
        checkpoints: folder in which checkpoints lie, by stage and training (see `checkpoints`); removed for this
            stage when the student is written.
        checkpoint_steps: optimiser steps from one to the next; 0 keeps none.
        processes: that train together, of which this is one: `together` starts them and calls this in each. The first
            writes the student and the checkpoints; the result of the others is without a curve.
        curve: told of each step in place of `on_point` and the progress line.

    Raises:
        UserError: if no row is left to train on, two rows share an id, the loss stops being a number, or the process
            was started as one of several by somebody else.
    """
    _quiet()
    from compeffdist.student.trainer import Recorder

    device = resolve_device(device)
    _check_processes(device, processes)
    first = processes == 1 or os.environ["RANK"] == "0"
    tokenizer = student_tokenizer(base)
    encoded, rejected = encode_rows(tokenizer, system, rows, settings.max_length, stage, settings.soft_labels)
    if not encoded:
        raise UserError(f"{stage}: no row to train on ({len(rejected)} rejected); see training.max_length")
    started = time.monotonic()
    provenance = _provenance(base_id, system, rows, encoded, settings, seed)
    dtype = student_dtype(device, settings.compute_dtype)
    with ExitStack() as stack:
        kept = checkpoint_steps and checkpoints
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if kept:
            folder = kept / stage / hash_text(canonical_json([provenance, device, str(dtype)]))[:16]
        curve = curve or Curve(stage, on_point)
        recorder = Recorder(curve, round(sum(row.length for row in encoded) * settings.epochs))
        every = checkpoint_steps if kept else 0
        trainer, resumed = _trainer(
            base, tokenizer, encoded, settings, seed, device, dtype, recorder, folder, every, first
        )
        if not first:
            _draw_apart(seed)
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    # weights that are divided among processes are put together by all of them
    gathered = trainer.accelerator.get_state_dict(trainer.model) if trainer.is_fsdp_enabled else None
    if first:
        trainer.finish()
        saved = stored_dtype(base) if settings.method == "full" and settings.saved_dtype == "base" else None
        _save(trainer, tokenizer, saved, provenance, output, gathered)
        if checkpoints:
            shutil.rmtree(checkpoints / stage, ignore_errors=True)
    epochs = settings.epochs
    return TrainingResult(
        rows=len(encoded),
        rejected=rejected,
        curve=curve.points,
        tokens=round(epochs * sum(row.length for row in encoded)),
        response_tokens=round(epochs * sum(len(row.response_ids) for row in encoded)),
        soft_rows=sum(bool(row.corrections) for row in encoded),
        seconds=time.monotonic() - started,
        steps_before=curve.replayed,
        provenance=provenance,
    )


def encode_rows(
    tokenizer: "PreTrainedTokenizerBase",
    system: str,
    rows: Sequence[TrainingRow],
    max_length: int,
    stage: str,
    soft_labels: float = 0.0,
) -> tuple[list[EncodedRow], list[Reject]]:
    """Rows as token ids, sorted by id; those that cannot be trained on as rejects. Raises UserError if two rows share
    an id."""
    encoded: list[EncodedRow] = []
    rejected: list[Reject] = []
    ordered = sorted(rows, key=lambda row: row.id)
    for row, following in zip(ordered, [*ordered[1:], None], strict=True):
        if following and following.id == row.id:
            raise UserError(f"{stage}: two training rows share the id {row.id}")
        if not row.response.strip():
            rejected.append(Reject(stage=stage, record_id=row.id, reason="empty_response"))
            continue
        prompt = encode_prompt(tokenizer, system, row.prompt)
        corrections = _soft_target(tokenizer, row, soft_labels) if soft_labels else ()
        response = encode_response(tokenizer, row.response, end=True)
        made = EncodedRow(row.id, prompt, response, corrections=corrections)
        if made.length > max_length:
            detail = f"{made.length} tokens, at most {max_length}"
            rejected.append(Reject(stage=stage, record_id=row.id, reason="too_long", detail=detail))
            continue
        encoded.append(made)
    return encoded, rejected


def _soft_target(tokenizer: "PreTrainedTokenizerBase", row: TrainingRow, soft_labels: float) -> tuple[Correction, ...]:
    """The soft part of a row's target; nothing where the teacher did not weigh labels, or wrote another answer."""
    if row.response not in row.labels:
        return ()
    tokens = {label: encode_response(tokenizer, label, end=False) for label in row.labels}
    probabilities = dict(zip(row.labels, row.probabilities, strict=True))
    return soft_corrections(row.response, tokens, probabilities, end_token_id(tokenizer), soft_labels)


def draw_ids(ids: Iterable[str], count: int, seed: int) -> list[str]:
    """`count` ids (all, if there are fewer), uniformly without replacement, whatever their order is."""
    ordered = sorted(ids)
    return ordered if len(ordered) <= count else random.Random(seed).sample(ordered, count)


def _provenance(
    base_id: str,
    system: str,
    rows: Sequence[TrainingRow],
    encoded: Sequence[EncodedRow],
    settings: FineTuningParams,
    seed: int,
) -> dict[str, Any]:
    """What the student was made from. Equal provenances on one machine are equal students."""
    trained = {row.id for row in encoded}
    contents = [
        [row.id, row.prompt, row.response, *([row.labels, row.probabilities] if settings.soft_labels else [])]
        for row in sorted(rows, key=lambda row: row.id)
        if row.id in trained
    ]
    return {
        "base_id": base_id,
        "method": settings.method,
        "settings": settings.model_dump() | {"learning_rate": step_size(settings)},
        "seed": seed,
        "system_prompt": system,
        "rows": len(contents),
        "training_set_sha256": hash_json(contents),
        "triplet_ids_sha256": hash_json([content[0] for content in contents]),
    }


def step_size(settings: FineTuningParams) -> float:
    """The learning rate, or what the method takes where none is set: an adapter starts from nothing and wants about ten
    times as much as weights that only need a nudge."""
    return settings.learning_rate or {"full": 5e-5, "lora": 5e-4}[settings.method]


def _trainer(
    base: Path,
    tokenizer: "PreTrainedTokenizerBase",
    encoded: Sequence[EncodedRow],
    settings: FineTuningParams,
    seed: int,
    device: str,
    dtype: Any,
    recorder: Any,
    folder: Path,
    checkpoint_steps: int,
    first: bool,
) -> tuple[Any, Path | None]:
    """The trainer, and the checkpoint it has to go on from, if there is one in `folder`."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from transformers.trainer_callback import PrinterCallback

    from compeffdist.student.checkpoints import CheckpointCallback, WeightAverage, latest_checkpoint
    from compeffdist.student.layout import EpochOrder
    from compeffdist.student.trainer import ResponseTrainer

    full, averaged = settings.method == "full", settings.average_last > 0.0
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32 if full else dtype, local_files_only=True, use_safetensors=True
    )
    stage = recorder.curve.stage
    layout = _layout(model, encoded, settings, end_token_id(tokenizer), stage if first else "")
    resumed = latest_checkpoint(folder, averaged=averaged, stage=stage, says=first) if checkpoint_steps else None
    trainer = ResponseTrainer(
        layout,
        EpochOrder(len(encoded), layout.order, seed),
        WeightAverage(settings.average_last, resumed) if averaged else None,
        model=model,
        args=_config(settings, seed, device, dtype == torch.bfloat16, folder, checkpoint_steps),
        train_dataset=Dataset.from_list(
            [{"place": i, "input_ids": row.input_ids, "labels": row.labels} for i, row in enumerate(encoded)]
        ),
        processing_class=tokenizer,
        peft_config=None if full else _lora(settings),
        callbacks=[recorder, CheckpointCallback()],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, resumed


def _layout(
    model: "PreTrainedModel", encoded: Sequence[EncodedRow], settings: FineTuningParams, fill: int, stage: str
) -> "Layout":
    """Shared beginnings once where that is wanted and the model can; else every row whole, which `stage` says if it is
    named."""
    from compeffdist.student.branching import branch_attention
    from compeffdist.student.layout import Packing, Padding

    if settings.group_rows > 1:
        if (attention := branch_attention(model)) is not None:
            return Packing(encoded, attention, settings.group_rows, settings.pass_tokens)
        if stage:
            name = type(model).__name__
            print(f"{stage}: {name} cannot read shared beginnings once; every row is read whole", file=sys.stderr)
    return Padding(encoded, fill, settings.batch_size * settings.gradient_accumulation, settings.pass_tokens)


def _config(settings: FineTuningParams, seed: int, device: str, bf16: bool, folder: Path, checkpoint_steps: int) -> Any:
    """trl's settings; every default of trl that differs from the Trainer's is set here on purpose."""
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        output_dir=str(folder),
        seed=seed,
        data_seed=seed,
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=step_size(settings),
        lr_scheduler_type=settings.schedule,
        warmup_steps=min(settings.warmup_ratio, 0.9999),  # below 1 it is a share of all steps
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_gradient_norm,
        optim="adamw_torch_fused" if device != "mps" else "adamw_torch",
        gradient_checkpointing=settings.gradient_checkpointing,
        bf16=bf16,
        use_cpu=device == "cpu",
        ddp_find_unused_parameters=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,  # a row's place in the layout is no input of the model's
        max_length=None,  # checked by encode_rows, which rejects where trl would truncate
        packing=False,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is not a number must be seen, and stops the run
        save_strategy="steps" if checkpoint_steps else "no",
        save_steps=max(checkpoint_steps, 1),
        save_total_limit=1,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=device == "cuda",
    )


def _lora(settings: FineTuningParams) -> Any:
    """Adapters on every linear layer but the LM head (QLoRA, arXiv 2305.14314, section 4)."""
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear",
    )


def _check_processes(device: str, processes: int) -> None:
    """One process must not take several GPUs for its own, which trl refuses, nor be one of several unawares: it would
    wait for the others. Said before anything is loaded."""
    import torch

    started = os.environ.get("WORLD_SIZE", "1")
    if started != str(processes):
        raise UserError(f"WORLD_SIZE is {started!r}: unset it; runtime.processes says how many processes train")
    if processes == 1 and device == "cuda" and torch.cuda.device_count() > 1:
        raise UserError(
            "several GPUs are visible to one process: have as many processes train (runtime.processes), or set "
            "CUDA_VISIBLE_DEVICES to the one to train on"
        )


def _draw_apart(seed: int) -> None:
    """Have dropout of a process that is not the first drop other places than the first one's."""
    import torch

    torch.manual_seed(seed + int(os.environ["RANK"]))


def _save(
    trainer: Any,
    tokenizer: "PreTrainedTokenizerBase",
    dtype: Any,
    provenance: dict[str, Any],
    output: Path,
    gathered: dict[str, Any] | None,
) -> None:
    """Write the student; in `dtype` where one is given, else as it was trained. `gathered`: its weights, where no
    process has them all."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if dtype is not None and gathered is not None:
        gathered = {name: weight.to(dtype) for name, weight in gathered.items()}
    elif dtype is not None:
        model = model.to(dtype)
    adapter: dict[str, Any] = {}
    # peft and transformers would record the base folder's path on this machine
    if provenance["method"] == "lora":
        model.peft_config["default"].base_model_name_or_path = provenance["base_id"]
        adapter["save_embedding_layers"] = False  # else peft fetches the base model's config from the hub
    else:
        model.config._name_or_path = provenance["base_id"]
    # the Trainer aligns these with the tokenizer's eos, which need not be what ends a turn
    model.generation_config.eos_token_id = end_token_id(tokenizer)
    with atomic_folder(output) as folder:
        model.save_pretrained(folder, state_dict=gathered, **adapter)
        (folder / "README.md").unlink(missing_ok=True)  # peft's model card, of which nothing is filled in
        tokenizer.save_pretrained(folder)
        write_json(folder / PROVENANCE, provenance)


def _quiet() -> None:
    """No telemetry from trl; no progress bars and advice of the libraries' own between our progress lines."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import datasets
    from huggingface_hub import constants
    from transformers.utils import logging

    constants.HF_HUB_DISABLE_TELEMETRY = True  # the variable is read once, at import
    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
