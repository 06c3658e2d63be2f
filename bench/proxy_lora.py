"""The candidate of bench/proxy.py that trains: LoRA on the student's body, a linear head on its last state.

Squared error on what the instruction's level leaves of the score, in units of its deviation; AdamW, cosine. The state
of the training is kept every few steps, so that one that was ended goes on.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from compeffdist.domain import domain_here
from compeffdist.formatting import encode_prompt
from compeffdist.progress import Progress
from compeffdist.records import content_id
from compeffdist.student.loading import load_student, student_id

EPOCHS, BATCH, RATE, HEAD_RATE, RANK = 2, 16, 5e-4, 1.5e-3, 16
KEEP_EVERY = 10


def predict_with_lora(world: Any, scored: np.ndarray, rest: np.ndarray, student: Path, work: Path) -> np.ndarray:
    """Predictions of all rows, in units of their deviation, by a body trained on `rest` of the scored ones."""
    import torch

    target = torch.tensor(rest / rest[scored].std(), dtype=torch.float32)
    torch.manual_seed(0)
    model, tokenizer = load_student(student, "cpu")
    prompts = [encode_prompt(tokenizer, domain_here().system_prompts.student, row.prompt) for row in world.triplets]
    network = _Network(model)
    _train(network, prompts, target, np.flatnonzero(scored), work / f"{_run(world, scored, student)}.pt")
    return _apply(network, prompts)


def _run(world: Any, scored: np.ndarray, student: Path) -> str:
    """A name for the training of this student on these rows."""
    learnt = [row.id for row, seen in zip(world.triplets, scored, strict=True) if seen]
    return content_id("lora", {"student": student_id(student), "rows": learnt})


class _Network:
    """The body under LoRA, and a head that begins at zero."""

    def __init__(self, model: Any) -> None:
        import torch
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
        self.body = get_peft_model(model.get_decoder(), config)
        self.adapter = [parameter for parameter in self.body.parameters() if parameter.requires_grad]
        for parameter in self.adapter:
            parameter.data = parameter.data.float()
        self.norm = torch.nn.LayerNorm(model.config.hidden_size, elementwise_affine=False)
        self.head = torch.nn.Linear(model.config.hidden_size, 1)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def parameters(self) -> list[Any]:
        return [*self.adapter, *self.head.parameters()]

    def __call__(self, prompts: list[list[int]]) -> Any:
        import torch

        ids = torch.zeros((len(prompts), max(map(len, prompts))), dtype=torch.long)
        for place, prompt in enumerate(prompts):
            ids[place, : len(prompt)] = torch.tensor(prompt)
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.body(input_ids=ids, use_cache=False).last_hidden_state.float()
        last = hidden[torch.arange(len(prompts)), torch.tensor([len(prompt) - 1 for prompt in prompts])]
        return self.head(self.norm(last))[:, 0]


def _train(network: _Network, prompts: list[list[int]], target: Any, rows: np.ndarray, kept: Path) -> None:
    import torch

    optimiser = torch.optim.AdamW(
        [{"params": network.adapter, "lr": RATE}, {"params": network.head.parameters(), "lr": HEAD_RATE}],
        weight_decay=0.01,
    )
    plan, done = _plan(prompts, rows), 0
    if kept.exists():
        state = torch.load(kept, weights_only=True)
        done = state["done"]
        optimiser.load_state_dict(state["optimiser"])
        for parameter, value in zip(network.parameters(), state["parameters"], strict=True):
            parameter.data.copy_(value)
    network.body.train()
    with Progress("LoRA steps", len(plan) - done) as progress:
        for step in range(done, len(plan)):
            factor = min(1.0, (step + 1) / (0.1 * len(plan))) * 0.5 * (1 + math.cos(math.pi * step / len(plan)))
            for group, rate in zip(optimiser.param_groups, (RATE, HEAD_RATE), strict=True):
                group["lr"] = rate * factor
            batch = plan[step]
            ((network([prompts[i] for i in batch]) - target[batch]) ** 2).mean().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            progress.advance(1, sum(len(prompts[i]) for i in batch))
            if (step + 1) % KEEP_EVERY == 0 or step + 1 == len(plan):
                values = [parameter.data for parameter in network.parameters()]
                torch.save({"done": step + 1, "optimiser": optimiser.state_dict(), "parameters": values}, kept)


def _plan(prompts: list[list[int]], rows: np.ndarray) -> list[list[int]]:
    """Batches of prompts of like length, in an order of chance, for all epochs."""
    generator = np.random.default_rng(0)
    plan: list[list[int]] = []
    for _ in range(EPOCHS):
        order = generator.permutation(rows)
        chunks = [
            sorted(order[start : start + 8 * BATCH].tolist(), key=lambda i: len(prompts[i]))
            for start in range(0, len(order), 8 * BATCH)
        ]
        batches = [chunk[start : start + BATCH] for chunk in chunks for start in range(0, len(chunk), BATCH)]
        plan += [batches[place] for place in generator.permutation(len(batches))]
    return plan


def _apply(network: _Network, prompts: list[list[int]]) -> np.ndarray:
    import torch

    network.body.eval()
    found = np.empty(len(prompts))
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    with torch.inference_mode(), Progress("LoRA predictions", len(prompts)) as progress:
        for start in range(0, len(order), 2 * BATCH):
            batch = order[start : start + 2 * BATCH]
            found[batch] = network([prompts[i] for i in batch]).numpy()
            progress.advance(len(batch), sum(len(prompts[i]) for i in batch))
    return found
