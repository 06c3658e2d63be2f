"""trl's trainer over the passes of a `layout`, with the LM head at response positions only.

A batch of rows is one or more passes through the model; each is forward and backward by itself, so that memory holds
one of them, and gradients add up to those of the batch. trl 1.16 scores only labelled positions on Triton devices and
every position elsewhere. Here the model is asked for the logits of the positions whose next token carries loss
(`logits_to_keep`), which every causal model of transformers understands, soft-capped and scaled heads included; trl's
own way is left to rows that are read whole on one GPU.

Several processes that train together all see each batch of rows, and each makes passes of its own share of it
(`layout`). So a step has the rows that it has in one process, the order of rows and what a checkpoint skips hang on no
number of processes, and the sum of gradients is the same but for the order in which it is added up.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from trl.trainer.sft_trainer import SFTTrainer

from compeffdist.errors import UserError
from compeffdist.student.checkpoints import WeightAverage
from compeffdist.student.curve import Curve, CurvePoint
from compeffdist.student.layout import EpochOrder, Layout
from compeffdist.student.packing import IGNORED


class ResponseTrainer(SFTTrainer):
    """SFTTrainer whose loss is a sum over response tokens, whatever passes of `layout` they are in. `finish` puts
    `average` in the place of the last weights. Other settings as for SFTTrainer; the rows of `train_dataset` know their
    `place` in the layout."""

    def __init__(
        self, layout: Layout, order: EpochOrder, average: WeightAverage | None = None, **settings: Any
    ) -> None:
        self.layout, self.row_order, self.average = layout, order, average
        super().__init__(data_collator=self._collated, **settings)
        # the labelled tokens of a step are counted for `compute_loss` below, whatever the model's own loss takes
        self.model_accepts_loss_kwargs = True
        if average is not None:
            self.add_callback(average)

    def _collated(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """A batch of rows as the passes of this process, and their labels for the count of labelled tokens."""
        batch = [example["place"] for example in examples]
        passes = self.layout.passes(batch, self.args.world_size, self.args.process_index)
        return {"labels": torch.cat([one["labels"].flatten() for one in passes]), "passes": passes}

    def finish(self) -> None:
        """After training: the weights are those to be kept."""
        if self.average is not None:
            self.average.apply(self.accelerator.unwrap_model(self.model))

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Of a checkpoint, the weights alone: transformers would add tokenizer and a pickle of its settings, and peft
        ask the hub for the base model's."""
        model: Any = self.accelerator.unwrap_model(self.model)
        adapter = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        model.save_pretrained(output_dir, state_dict=state_dict, **adapter)

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder:
        return self.row_order

    def get_train_dataloader(self) -> Any:
        """Of several processes, each reads every batch: accelerate would deal out whole batches, and make a step of as
        many as there are processes."""
        if self.args.world_size == 1:
            return super().get_train_dataloader()
        loader = DataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_size=self.args.per_device_train_batch_size,
            sampler=self.row_order,
            collate_fn=self._collated,
            pin_memory=self.args.dataloader_pin_memory,
        )
        device = self.accelerator.device
        return prepare_data_loader(loader, device, num_processes=1, process_index=0, put_on_device=True)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Forward and backward of every pass of a batch; the sum of their losses."""
        total = torch.zeros((), device=self.args.device)
        passes = inputs["passes"]
        # one autocast around all passes: each weight is rounded once a batch in place of once a pass
        with self.accelerator.autocast():
            for number, one in enumerate(passes, 1):
                # processes exchange gradients once a batch, so that they need not have as many passes
                with nullcontext() if number == len(passes) else self.accelerator.no_sync(model):
                    total = total + super().training_step(model, one, num_items_in_batch)
        return total

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Negative log-likelihood of the response tokens of one pass of the layout, in nats, over `num_items_in_batch`,
        the number of labelled tokens of the whole optimiser step."""
        # trl's figures beside the loss are gathered from all processes, and do not know of passes without rows
        alone = self.accelerator.num_processes == 1
        plain = alone and "sequences" not in inputs and not len(inputs["soft_weights"])
        if return_outputs or (plain and inputs["input_ids"].device.type == "cuda"):
            own = {name: inputs[name] for name in ("input_ids", "attention_mask", "labels")}
            return super().compute_loss(model, own, return_outputs, num_items_in_batch)
        total = response_loss(model, self.layout, inputs)
        count = (inputs["labels"] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        # Gradients are averaged over processes, while num_items_in_batch counts the tokens of all of them.
        scale = self.accelerator.num_processes if num_items_in_batch is not None else 1
        return total * scale / count


def response_loss(model: torch.nn.Module, layout: Layout, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Negative log-likelihood of the response tokens of one pass of `layout`, in nats, summed; with soft targets, the
    cross-entropy against them."""
    targets = inputs["labels"][:, 1:]  # [rows, length - 1]: position i predicts token i + 1
    kept = (targets != IGNORED).any(dim=0).nonzero().flatten()  # [positions]
    given = layout.model_inputs(inputs, next(model.parameters()).dtype)
    logits = model(**given, use_cache=False, logits_to_keep=kept).logits  # [rows, positions, vocabulary]
    kept_targets = targets[:, kept]
    scored = kept_targets != IGNORED
    total = torch.nn.functional.cross_entropy(logits[scored].float(), kept_targets[scored], reduction="sum")
    return total + _corrections(logits, kept, inputs) if len(inputs["soft_weights"]) else total


def _corrections(logits: torch.Tensor, kept: torch.Tensor, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """What soft targets add to the loss (see `soft_labels`): weighted logits where response tokens are predicted.
    `logits` are [rows, positions, vocabulary], at the positions `kept`."""
    length = inputs["labels"].shape[1]
    column = torch.zeros(length, dtype=torch.long, device=logits.device)
    column[kept] = torch.arange(len(kept), device=logits.device)
    rows, tokens = inputs["soft_places"] // length, inputs["soft_places"] % length
    chosen = logits[rows, column[tokens - 1], inputs["soft_tokens"]].float()
    return (chosen * inputs["soft_weights"]).sum()


class Recorder(TrainerCallback):
    """Tells `curve` what the first process of a training over `tokens` does; the others only look at the loss."""

    def __init__(self, curve: Curve, tokens: int) -> None:
        self.curve, self.tokens = curve, tokens

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.curve.begin(state.max_steps, self.tokens)
            for logs in state.log_history:  # of a training that goes on from a checkpoint
                if "loss" in logs:
                    self.curve.add(_point(logs["step"], logs), earlier=True)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            step, loss = state.global_step, float(logs["loss"])
            if not math.isfinite(loss):
                raise UserError(f"{self.curve.stage}: the loss is {loss} at step {step}; lower the learning_rate")
            if state.is_world_process_zero:
                self.curve.add(_point(step, logs))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.curve.end()


def _point(step: int, logs: dict[str, float]) -> CurvePoint:
    return CurvePoint(step, float(logs["loss"]), logs["learning_rate"], float(logs.get("grad_norm", 0.0)))
