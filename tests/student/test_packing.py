"""Shared beginnings read once: loss and gradients of rows alone, every row once, the same order from the same ids."""

import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Qwen2Config,
)

from compeffdist.student.branching import branch_attention, tensors_of, visible
from compeffdist.student.layout import EpochOrder, Packing, Padding
from compeffdist.student.packing import (
    IGNORED,
    Correction,
    EncodedRow,
    deal,
    families,
    grouped_order,
    length_order,
    pack,
    plan_passes,
)
from compeffdist.student.trainer import response_loss

VOCABULARY = 101
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
}
KINDS = ["full_attention", "sliding_attention", "sliding_attention"]
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "qwen2, windows": Qwen2Config(**SIZES, use_sliding_window=True, sliding_window=9, layer_types=KINDS),
    "gemma3": Gemma3TextConfig(**SIZES, head_dim=8, sliding_window=9, layer_types=KINDS),
    "gemma2, soft caps": Gemma2Config(**SIZES, head_dim=8, sliding_window=9, layer_types=KINDS),
    "mistral, windows everywhere": MistralConfig(**SIZES, head_dim=8, sliding_window=9),
}


def make_model(config: Any, attention: str = "sdpa") -> Any:
    torch.manual_seed(3)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()


def make_rows(seed: int = 0) -> list[EncodedRow]:
    """Two instructions of long beginnings with rows of many lengths, one of them all prompt, and rows alone."""
    chance = random.Random(seed)

    def ids(count: int) -> list[int]:
        return [chance.randrange(3, VOCABULARY) for _ in range(count)]

    rows = []
    for beginning in (ids(40), ids(45), []):
        for number in range(5):
            prompt = [*beginning, *ids(chance.randrange(1, 20))]
            rows.append(EncodedRow(f"row{len(rows):02d}", prompt, ids(chance.randrange(1, 6))))
            if beginning and number == 0:  # a row whose whole prompt is another's beginning
                rows.append(EncodedRow(f"row{len(rows):02d}", [*prompt, *ids(3)], ids(2)))
    return rows


def alone(model: Any, rows: list[EncodedRow]) -> tuple[float, list[torch.Tensor]]:
    """Summed loss and gradients, one row at a time, all logits."""
    model.zero_grad()
    total = 0.0
    for row in rows:
        logits = model(torch.tensor([row.input_ids]), use_cache=False).logits[0]
        for place, label in enumerate(row.labels):
            if label != IGNORED:
                loss = -logits[place - 1].log_softmax(-1)[label]
                loss.backward(retain_graph=True)
                total += float(loss.detach())
    return total, gradients(model)


def gradients(model: Any) -> list[torch.Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def together(model: Any, layout: Any, count: int) -> tuple[float, list[torch.Tensor]]:
    model.zero_grad()
    total = 0.0
    for one in layout.passes(range(count)):
        loss = response_loss(model, layout, one)
        loss.backward()
        total += float(loss.detach())
    return total, gradients(model)


def assert_equal(
    mine: tuple[float, list[torch.Tensor]], theirs: tuple[float, list[torch.Tensor]], within: float = 1e-5
) -> None:
    assert mine[0] == pytest.approx(theirs[0], rel=within)
    largest = max(float(gradient.abs().max()) for gradient in theirs[1])
    for one, other in zip(mine[1], theirs[1], strict=True):
        assert float((one - other).abs().max()) <= within * largest


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", CONFIGS)
def test_loss_and_gradients_are_those_of_rows_alone(name: str, attention: str) -> None:
    model, rows = make_model(CONFIGS[name], attention), make_rows()
    way = branch_attention(model)
    assert way is not None and model.training
    expected = alone(model, rows)
    for tokens in (10_000, 120, 1):
        layout = Packing(rows, way, 8, tokens)
        assert_equal(together(model, layout, len(rows)), expected)
    assert_equal(together(model, Padding(rows, 0, 8, 200), len(rows)), expected)


@pytest.mark.parametrize("name", CONFIGS)
def test_on_a_cpu_attention_is_computed_by_blocks(name: str) -> None:
    model, rows = make_model(CONFIGS[name]), make_rows()
    way = branch_attention(model)
    assert way is not None and way.blocks
    [one] = Packing(rows, way, 8, 10_000).passes(range(len(rows)))
    with AttentionCalls() as calls:
        response_loss(model, Packing(rows, way, 8, 10_000), one)
    assert len(calls.areas) == SIZES["num_hidden_layers"]
    assert max(calls.areas) < 0.7 * one["input_ids"].shape[1] ** 2


class AttentionCalls(TorchFunctionMode):
    """Of each call of sdpa, how many pairs of tokens it is about."""

    def __init__(self) -> None:
        super().__init__()
        self.areas: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.areas.append(len(args[0]) * args[0].shape[2] * args[1].shape[2])
        return func(*args, **(kwargs or {}))


def test_so_are_they_with_an_adapter_and_gradient_checkpointing() -> None:
    from peft import LoraConfig, get_peft_model

    rows = make_rows()
    plain = make_model(CONFIGS["gemma3"])
    way = branch_attention(plain)
    assert way is not None
    settings = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False)
    model: Any = get_peft_model(plain, settings)
    expected = alone(model, rows)
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_equal(together(model, Packing(rows, way, 8, 150), len(rows)), expected)


@pytest.mark.parametrize(
    "config",
    [
        BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2),
        MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4),
    ],
    ids=["positions from the mask", "no attention"],
)
def test_a_model_that_cannot_is_found_out(config: Any) -> None:
    torch.manual_seed(3)
    assert branch_attention(AutoModelForCausalLM.from_config(config)) is None


def test_a_token_sees_the_beginning_and_its_own_branch_up_to_itself() -> None:
    rows = [
        EncodedRow("a", [5, 6, 7], [8]),
        EncodedRow("b", [5, 6, 9], [10, 11]),
    ]
    [[group]] = plan_passes(rows, [0, 1], lambda index: 0, 100)
    packed = pack(rows, [group])
    assert packed.input_ids == [5, 6, 7, 8, 9, 10, 11]
    assert packed.position_ids == [0, 1, 2, 3, 2, 3, 4]
    assert packed.labels == [IGNORED, IGNORED, IGNORED, 8, IGNORED, 10, 11]
    tensors = tensors_of(packed)
    marks = (tensors["position_ids"], tensors["sequences"], tensors["branches"])
    seen = visible(marks, marks)[0].int().tolist()
    assert seen == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 1, 1, 0],
        [1, 1, 0, 0, 1, 1, 1],
    ]


tokens = st.lists(st.integers(3, 5), min_size=1, max_size=5)
row_lists = st.lists(st.tuples(st.integers(0, 2), tokens, tokens), min_size=1, max_size=25).map(
    lambda found: [
        EncodedRow(f"row{place:03d}", [10 + family] * (40 * family) + prompt, response)
        for place, (family, prompt, response) in enumerate(found)
    ]
)


@given(rows=row_lists, bound=st.integers(1, 300), data=st.data())
@settings(max_examples=60)
def test_passes_hold_every_row_of_a_batch_once_and_keep_to_the_bound(
    rows: list[EncodedRow], bound: int, data: st.DataObject
) -> None:
    batch = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True, min_size=1))
    found = families(rows)
    assert sorted(index for members in found for index in members) == list(range(len(rows)))
    family_of = {index: number for number, members in enumerate(found) for index in members}
    passes = plan_passes(rows, batch, family_of.__getitem__, bound)
    assert sorted(index for groups in passes for group in groups for index in group.rows) == sorted(batch)
    for groups in passes:
        packed = pack(rows, groups)
        assert len(packed.input_ids) == sum(group.tokens for group in groups)
        assert len(packed.input_ids) <= bound or sum(len(group.rows) for group in groups) == 1
        labelled = [label for label in packed.labels if label != IGNORED]
        assert labelled == [t for group in groups for index in group.rows for t in rows[index].response_ids]
        for group in groups:
            assert all(group.prefix < len(rows[index].prompt_ids) for index in group.rows)


@given(rows=row_lists, bound=st.integers(1, 300), processes=st.integers(2, 5), data=st.data())
@settings(max_examples=60)
def test_processes_share_the_rows_of_a_batch_and_have_as_many_passes_each(
    rows: list[EncodedRow], bound: int, processes: int, data: st.DataObject
) -> None:
    rows = [replace(row, corrections=(Correction(0, 1, 0.5),)) for row in rows]
    batch = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True, min_size=1))
    wanted = sorted(t for index in batch for t in rows[index].response_ids)
    way: Any = None
    for layout in (Packing(rows, way, 8, bound), Padding(rows, 0, 8, bound)):
        made = [layout.passes(batch, processes, process) for process in range(processes)]
        assert len({len(passes) for passes in made}) == 1
        labels = [one["labels"][one["labels"] != IGNORED] for passes in made for one in passes]
        assert sorted(torch.cat(labels).tolist()) == wanted
        assert sum(len(one["soft_weights"]) for passes in made for one in passes) == len(batch)


@given(sizes=st.lists(st.integers(1, 50), min_size=1), processes=st.integers(1, 5))
def test_no_process_has_more_than_another_by_more_than_one_piece(sizes: list[int], processes: int) -> None:
    shares = deal(sizes, processes)
    assert sorted(index for share in shares for index in share) == list(range(len(sizes)))
    loads = [sum(sizes[index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= max(sizes)


@given(rows=row_lists, group_rows=st.integers(2, 9), seed=st.integers(0, 9))
@settings(max_examples=40)
def test_an_order_holds_every_row_once_in_groups_of_a_family(
    rows: list[EncodedRow], group_rows: int, seed: int
) -> None:
    found = families(rows)
    order = grouped_order(found, group_rows, random.Random(seed))
    assert sorted(order) == list(range(len(rows)))
    family_of = {index: number for number, members in enumerate(found) for index in members}
    runs = 1 + sum(family_of[a] != family_of[b] for a, b in pairwise(order))
    assert runs <= sum(-(-len(members) // group_rows) for members in found)
    lengths = [row.length for row in rows]
    assert sorted(length_order(lengths, 4, random.Random(seed))) == list(range(len(rows)))


def test_an_epoch_s_order_hangs_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = EpochOrder(20, lambda chance: chance.sample(range(20), 20), seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(*key)) for key in ((1, 0), (1, 1), (2, 0), (2, 1))}) == 4
