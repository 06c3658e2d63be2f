"""A training that was killed goes on from its last checkpoint, to the bytes of one that was not.

A checkpoint is transformers' own: weights as safetensors; optimiser, schedule and random state as `torch.save` writes
them (a zip with a pickle), which transformers reads with `weights_only=True`, so that nothing in it but tensors and
plain values is ever made; and `trainer_state.json`, written last. Its pickle of the trainer's settings, which nothing
reads, is not written (`ResponseTrainer`).

A checkpoint takes 12 bytes a trained parameter. It lies outside DVC's outs, which are deleted before a stage runs, in a
folder named by what the training is: the student's provenance (base, rows, settings, seed), the device and the
precision of its products. The order of the rows hangs on seed and epoch alone, so that it is the same after a resume.

Checkpoints of a stage, those of other settings as well, are removed when its student is written.

The number of processes is no part of it: each holds the whole of weights and optimiser, and the first writes them. Only
the random state is each process's own; one that finds none goes on from its seed, which matters to dropout alone.
"""

import re
import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from compeffdist.errors import UserError
from compeffdist.files import read_json

STATE, OPTIMIZER, AVERAGE = "trainer_state.json", "optimizer.pt", "average.safetensors"


def latest_checkpoint(folder: Path, *, averaged: bool, stage: str, says: bool = True) -> Path | None:
    """The last whole checkpoint in a training's folder; None if there is none. Broken ones are passed over; which one
    it is, and which is broken, is told if it `says` so. If `averaged`, it must hold the average of weights so far."""
    found = {int(name[1]): path for path in folder.glob("*") if (name := re.fullmatch(r"checkpoint-(\d+)", path.name))}
    for step in sorted(found, reverse=True):
        whole = _is_whole(found[step], step, averaged)
        if says and whole:
            print(f"{stage}: goes on from step {step}, kept in {folder}", file=sys.stderr)
        elif says:
            print(f"{stage}: {found[step]} is no whole checkpoint and is passed over", file=sys.stderr)
        if whole:
            return found[step]
    return None


def _is_whole(checkpoint: Path, step: int, averaged: bool) -> bool:
    try:
        if read_json(checkpoint / STATE)["global_step"] != step:
            return False
        for weights in [*checkpoint.glob("*model*.safetensors"), *([checkpoint / AVERAGE] if averaged else [])]:
            with safe_open(weights, "pt"):
                pass
        torch.load(checkpoint / OPTIMIZER, weights_only=True, mmap=True, map_location="cpu")
    except (OSError, UserError, SafetensorError, RuntimeError, KeyError, TypeError, EOFError, UnpicklingError):
        return False
    return True


class CheckpointCallback(TrainerCallback):
    """No checkpoint at the end, where transformers writes one more: the student itself is written next."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_save = False


class WeightAverage(TrainerCallback):
    """The mean of the trained weights over the last `share` of the steps, at least one: float32, on the CPU, 4 bytes a
    trained parameter, in the first process alone. `checkpoint` is what the training goes on from, if it does."""

    def __init__(self, share: float, checkpoint: Path | None) -> None:
        self.share, self.checkpoint = share, checkpoint
        self.means: dict[str, torch.Tensor] = {}
        self.steps = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.checkpoint is not None:
            self.means = load_file(self.checkpoint / AVERAGE)
            self.steps = max(0, state.global_step - self._before(state.max_steps))

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step <= self._before(state.max_steps) or not state.is_world_process_zero:
            return
        self.steps += 1
        for name, weight in _trained(given["model"]):
            now = weight.detach().to("cpu", torch.float32, copy=True)
            if self.steps == 1:
                self.means[name] = now
            else:
                self.means[name] += (now - self.means[name]) / self.steps

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            save_file(self.means, Path(args.output_dir) / f"checkpoint-{state.global_step}" / AVERAGE)

    def apply(self, model: torch.nn.Module) -> None:
        """Put the means in the place of the weights."""
        with torch.no_grad():
            for name, weight in _trained(model):
                weight.copy_(self.means[name])

    def _before(self, steps: int) -> int:
        """Steps before the first that counts."""
        return steps - max(1, round(self.share * steps))


def _trained(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
