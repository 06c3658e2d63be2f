"""trl's trainer with the LM head at response positions only, where trl's fused kernel does not do that
itself.

trl 1.16 scores only labelled positions on Triton devices and every position elsewhere. Here the model is
asked for the logits of the positions whose next token carries loss in some row of the batch
(`logits_to_keep`), which every causal model of transformers understands, soft-capped and scaled heads
included.
"""

from typing import Any

import torch
from transformers import TrainerCallback
from trl.trainer.sft_trainer import SFTTrainer

from compeffdist.student.curve import CurvePoint, Recorder

IGNORED = -100


class ResponseTrainer(SFTTrainer):
    """SFTTrainer whose loss costs the LM head at response positions, not at prompt and padding."""

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Mean negative log-likelihood of the response tokens, in nats.

        `inputs` holds input_ids, attention_mask and labels, each [rows, length], padded on the right.
        `num_items_in_batch` is the number of labelled tokens of the whole optimiser step.
        """
        if return_outputs or inputs["input_ids"].device.type == "cuda":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]  # [rows, length - 1]: position i predicts token i + 1
        kept = (labels != IGNORED).any(dim=0).nonzero().flatten()  # [positions]
        logits = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            use_cache=False,
            logits_to_keep=kept,
        ).logits  # [rows, positions, vocabulary]
        kept_labels = labels[:, kept]
        scored = kept_labels != IGNORED
        total = torch.nn.functional.cross_entropy(logits[scored].float(), kept_labels[scored], reduction="sum")
        count = scored.sum() if num_items_in_batch is None else num_items_in_batch
        # Gradients are averaged over processes, while num_items_in_batch counts the tokens of all of them.
        scale = self.accelerator.num_processes if num_items_in_batch is not None else 1
        return total * scale / count


def recorder_callback(recorder: Recorder) -> TrainerCallback:
    """Feed `recorder` from the trainer's log."""

    class Callback(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                recorder.begin(state.max_steps)

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                norm = float(logs.get("grad_norm", 0.0))
                recorder.record(CurvePoint(state.global_step, float(logs["loss"]), logs["learning_rate"], norm))

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            recorder.end()

    return Callback()
