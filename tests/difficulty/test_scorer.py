"""The batched scorer agrees with the slow oracle, whatever the architecture, padding, chunking and ties."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    OPTConfig,
    PhiConfig,
    Qwen2Config,
)

from compeffdist.difficulty import scorer
from compeffdist.difficulty.scorer import nucleus_sizes, score_rows, token_figures
from compeffdist.difficulty.shards import RowFigures
from compeffdist.errors import UserError
from compeffdist.student.batching import PASS_TOKENS, TokenRow, plan_batches, shared_prefixes
from compeffdist.student.head import SplitModel, split_model

from .oracle import oracle_row, oracle_token
from .same_logits import assert_logits_are_those_of_rows_alone, assert_scores_are_the_oracles, scored_with_logits

VOCABULARY = 311
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.5,  # wide enough for some tokens to be hits, some misses, some outside the nucleus
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "qwen2, tied": Qwen2Config(**SIZES, tie_word_embeddings=True),
    "gpt2, learned positions": GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.5
    ),
    "opt, positions from the mask": OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, word_embed_proj_dim=32, init_std=0.5,
    ),
    "phi, bias in the head": PhiConfig(**(SIZES | {"num_key_value_heads": 4})),
    "gemma2, soft cap": Gemma2Config(**SIZES, head_dim=8, final_logit_softcapping=2.0, sliding_window=8),
    "cohere, logits multiplied": CohereConfig(**SIZES, logit_scale=0.25),
    "granite, logits divided": GraniteConfig(**SIZES, logits_scaling=3.0),
}  # fmt: skip


def make_model(config: Any, dtype: torch.dtype = torch.float64) -> Any:
    torch.manual_seed(7)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(dtype).eval()


@pytest.fixture(scope="module")
def llama() -> Any:
    return make_model(CONFIGS["llama"])


def make_rows(count: int = 14, seed: int = 0) -> list[TokenRow]:
    generator = np.random.default_rng(seed)

    def ids(low: int, high: int) -> list[int]:
        return [int(token) for token in generator.integers(3, VOCABULARY, generator.integers(low, high))]

    return [TokenRow(id=f"row{i:03d}", prompt_ids=ids(1, 40), response_ids=ids(1, 20)) for i in range(count)]


def with_hits(model: Any, rows: list[TokenRow]) -> list[TokenRow]:
    """The rows with the first half of each response replaced by the model's own greedy choices."""
    greedy = []
    for row in rows:
        ids, half = list(row.prompt_ids), len(row.response_ids) // 2
        for _ in range(half):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        response = [*ids[len(row.prompt_ids) :], *row.response_ids[half:]]
        greedy.append(TokenRow(row.id, row.prompt_ids, response))
    return greedy


def score(model: Any, rows: list[TokenRow], **changes: Any) -> tuple[list[RowFigures], list[tuple[str, str]]]:
    arguments: dict[str, Any] = {"top_p": 0.95, "max_length": 120, "token_budget": 150}
    return score_rows(model, rows, **(arguments | changes))


def assert_agree(actual: list[RowFigures], expected: list[RowFigures], within: float = 1e-6) -> None:
    assert [row.id for row in actual] == [row.id for row in expected]
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.ranks.tolist() == theirs.ranks.tolist(), ours.id
        assert ours.scores == pytest.approx(theirs.scores, abs=within, rel=within), ours.id
        # norms are computed in fp32 whatever the precision of the model
        assert ours.losses == pytest.approx(theirs.losses, abs=10 * within, rel=10 * within), ours.id


@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_the_oracle_on_every_architecture(name: str) -> None:
    model = make_model(CONFIGS[name])
    rows = with_hits(model, make_rows())
    scores, rejects = score(model, rows)
    assert rejects == []
    assert_agree(scores, [oracle_row(model, row, 0.95) for row in rows])
    assert 0.0 < np.mean([(row.ranks > 0).mean() for row in scores]) < 1.0


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_the_oracle_in_fp32(name: str, share: bool) -> None:
    model = make_model(CONFIGS[name], torch.float32)
    rows = with_hits(model, [*alike(2, 5, 40, seed=1), *make_rows(8, seed=1)])
    few = 7 * scorer.BYTES_PER_LOGIT * VOCABULARY  # seven positions at a time
    settings = {"top_p": 0.95, "max_length": 120, "token_budget": 300, "workspace_bytes": few}
    scores, seen = scored_with_logits(model, rows, share_prefixes=share, **settings)
    assert_scores_are_the_oracles(rows, scores, seen, 0.95)
    assert_logits_are_those_of_rows_alone(model, rows, seen, 0.95, epsilon=1e-5)


def test_in_bfloat16_too_the_same_logits_give_the_oracles_scores() -> None:
    model = make_model(CONFIGS["llama"], torch.bfloat16)
    rows = [*alike(2, 5, 40), *make_rows()]
    scores, seen = scored_with_logits(model, rows, top_p=0.95, max_length=120, token_budget=300)
    assert_scores_are_the_oracles(rows, scores, seen, 0.95)


@given(
    data=st.data(),
    vocabulary=st.integers(2, 400),
    top_p=st.floats(0.01, 0.999),
    spread=st.floats(0.0, 12.0),
    grid=st.sampled_from([0.0, 0.5, 2.0]),
)
@settings(max_examples=150)
def test_token_figures_agree_with_the_oracle_on_random_logits_and_ties(
    data: st.DataObject, vocabulary: int, top_p: float, spread: float, grid: float
) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, vocabulary, generator=generator) * spread
    if grid:
        logits = (logits / grid).round() * grid  # many equal logits
    targets = torch.randint(vocabulary, (6,), generator=generator)
    ranks, scores, losses = token_figures(logits, targets, top_p)
    for row in range(6):
        assert ranks[row].item() == sum((logits[row] > logits[row, targets[row]]).tolist())
        assert scores[row].item() == pytest.approx(oracle_token(logits[row], int(targets[row]), top_p), abs=1e-6)
        assert losses[row].item() == pytest.approx(
            -torch.log_softmax(logits[row].double(), 0)[targets[row]].item(), abs=1e-4
        )


def test_a_token_tied_for_first_is_no_miss() -> None:
    ranks, scores, _ = token_figures(torch.tensor([[2.0, 2.0, 1.0]]), torch.tensor([1]), 0.95)
    assert (ranks.tolist(), scores.tolist()) == ([0], [0.0])


def test_known_nucleus() -> None:
    # probabilities .5 .3 .15 .05; prefix sums .5 .8 .95 1: two are below .9, so the nucleus holds three
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(4, 1)
    assert nucleus_sizes(logits, 0.9, torch.float64).tolist() == [3] * 4
    ranks, scores, _ = token_figures(logits, torch.arange(4), 0.9)
    assert ranks.tolist() == [0, 1, 2, 3]
    assert scores.tolist() == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])


def test_nucleus_of_uniform_logits_needs_every_growth_of_k() -> None:
    sizes = nucleus_sizes(torch.zeros(2, 5000), 0.95, torch.float64)
    assert sizes.tolist() == [4750, 4750] or sizes.tolist() == [4751, 4751]  # the 4750th sum is .95, rounded


def test_nucleus_never_exceeds_the_vocabulary() -> None:
    assert nucleus_sizes(torch.zeros(1, 3), 1.0 - 1e-17, torch.float64).item() <= 3


def test_scores_do_not_depend_on_batching_chunking_or_row_order(llama: Any) -> None:
    rows = make_rows()
    alone, _ = score(llama, rows, token_budget=1)
    together, _ = score(llama, rows, token_budget=100_000)
    assert_agree(together, alone)  # a norm computed in fp32 makes the last bits depend on the batch
    few = 3 * 2 * scorer.BYTES_PER_LOGIT * VOCABULARY  # three positions in fp64
    assert_agree(score(llama, rows, workspace_bytes=few)[0], alone)
    backwards, _ = score(llama, rows[::-1])
    assert backwards[::-1] == score(llama, rows)[0]


def test_workspace_bound_holds_per_chunk(llama: Any, monkeypatch: Any) -> None:
    widths = []
    original = scorer.token_figures

    def spy(logits: torch.Tensor, targets: torch.Tensor, top_p: float) -> Any:
        widths.append(len(logits))
        return original(logits, targets, top_p)

    monkeypatch.setattr(scorer, "token_figures", spy)
    rows = make_rows()
    score(llama, rows, workspace_bytes=5 * 2 * scorer.BYTES_PER_LOGIT * VOCABULARY)
    assert max(widths) == 5
    assert sum(widths) == sum(len(row.response_ids) for row in rows)


def test_first_response_token_is_predicted_from_the_last_prompt_token(llama: Any) -> None:
    best = int(llama(input_ids=torch.tensor([[5, 9, 30]])).logits[0, -1].argmax())
    [hit], _ = score(llama, [TokenRow("hit", [5, 9, 30], [best])])
    assert (hit.ranks.tolist(), hit.scores.tolist()) == ([0], [0.0])


def test_every_row_is_scored_or_rejected_with_a_reason(llama: Any) -> None:
    good = TokenRow("good", [3, 4], [5])
    rows = [
        TokenRow("no prompt", [], [5]),
        good,
        TokenRow("no response", [3], []),
        TokenRow("long", [3] * 100, [4] * 21),
        TokenRow("just fits", [3] * 100, [4] * 20),
    ]
    scores, rejects = score(llama, rows)
    assert [row.id for row in scores] == ["good", "just fits"]
    assert rejects == [("no prompt", "empty_prompt"), ("no response", "empty_response"), ("long", "too_long")]


def test_rows_whose_logits_are_not_finite_are_rejected_and_harm_no_other(llama: Any) -> None:
    broken = make_model(CONFIGS["llama"])
    with torch.no_grad():
        broken.get_input_embeddings().weight[77] = float("nan")
    rows = [TokenRow("poisoned", [3, 77], [5, 6]), TokenRow("sound", [3, 78, 9], [5, 6])]
    scores, rejects = score(broken, rows)
    assert rejects == [("poisoned", "non_finite_logits")]
    assert_agree(scores, score(llama, rows[1:])[0], within=1e-9)


def test_nothing_to_score_needs_no_model() -> None:
    model: Any = None
    assert score(model, [TokenRow("empty", [], [])]) == ([], [("empty", "empty_prompt")])


def test_dropout_is_off_while_scoring() -> None:
    model = make_model(GPT2Config(**CONFIGS["gpt2, learned positions"].to_dict() | {"resid_pdrop": 0.5}))
    model.train()
    rows = make_rows(4)
    assert score(model, rows) == score(model, rows)


def test_half_precision_body_is_compared_in_fp32() -> None:
    model = make_model(CONFIGS["llama"], torch.bfloat16)
    rows = make_rows(40)
    exact = [oracle_row(make_model(CONFIGS["llama"], torch.float32), row, 0.95) for row in rows]
    scores, _ = score(model, rows)
    errors = [abs(ours.scores.mean() - theirs.scores.mean()) for ours, theirs in zip(scores, exact, strict=True)]
    assert float(np.mean(errors)) < 0.05


def test_token_outside_the_vocabulary_is_an_error_that_names_it(llama: Any) -> None:
    with pytest.raises(UserError, match=r"odd: token id 311 is outside the model's vocabulary of 311"):
        score(llama, [TokenRow("odd", [3], [VOCABULARY])])


def test_a_model_that_changes_its_logits_in_an_unknown_way_is_refused() -> None:
    model = make_model(CONFIGS["llama"])
    forward = model.forward

    def shifted(**arguments: Any) -> Any:
        output = forward(**arguments)
        output.logits = output.logits.roll(1, dims=-1)
        return output

    model.forward = shifted
    with pytest.raises(UserError, match="LlamaForCausalLM: its logits are not those of its output embedding"):
        score(model, make_rows(1))


def test_an_adapter_is_scored_with_its_weights_in_place() -> None:
    from peft import LoraConfig, get_peft_model

    base = make_model(CONFIGS["llama"])
    rows = make_rows(5)
    before = score(base, rows)[0]
    adapted = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    after = score(adapted, rows)[0]
    assert after != before
    assert_agree(after, [oracle_row(adapted, row, 0.95) for row in rows])


@given(
    lengths=st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30)), min_size=1, max_size=40),
    budget=st.integers(1, 300),
)
def test_batches_hold_every_row_once_within_the_budget(lengths: list[tuple[int, int]], budget: int) -> None:
    rows = [TokenRow(f"r{i:02d}", [1] * p, [2] * r) for i, (p, r) in enumerate(lengths)]
    for share in (False, True):
        batches = list(plan_batches(rows, budget, share=share))
        assert sorted(index for batch in batches for index in batch.rows) == list(range(len(rows)))
        widths = [[rows[index].width for index in batch.rows] for batch in batches]
        assert all(len(batch) == 1 or max(batch) * len(batch) <= budget for batch in widths)
        flat = [rows[index].width for batch in batches if not batch.prefix for index in batch.rows]
        assert flat == sorted(flat, reverse=True)
        for batch in batches:
            prefixes = {tuple(rows[index].prompt_ids[: batch.prefix]) for index in batch.rows}
            assert len(prefixes) == 1
            assert all(batch.prefix < len(rows[index].prompt_ids) for index in batch.rows)


def alike(groups: int, size: int, prefix: int, seed: int = 0) -> list[TokenRow]:
    """Rows of `groups` instructions that begin alike for `prefix` tokens, of which all share the first five."""
    generator = np.random.default_rng(seed)

    def ids(count: int) -> list[int]:
        return [int(token) for token in generator.integers(3, VOCABULARY, count)]

    header, rows = ids(5), []
    for group in range(groups):
        start = header + ids(prefix - 5)
        for number in range(size):
            endings = ids(int(generator.integers(1, 12))), ids(int(generator.integers(1, 9)))
            rows.append(TokenRow(f"g{group}r{number}", start + endings[0], endings[1]))
    return rows


def test_rows_of_an_instruction_share_their_prefix_and_the_header_alone_is_not_worth_it() -> None:
    rows = alike(3, 4, 40)
    batches = list(plan_batches(rows, 10_000))
    assert sorted(batch.rows for batch in batches if batch.prefix) and all(batch.prefix >= 40 for batch in batches)
    assert sorted(sorted(rows[index].id for index in batch.rows) for batch in batches) == [
        [f"g{group}r{number}" for number in range(4)] for group in range(3)
    ]
    assert next(plan_batches(alike(1, 2, 20), 10_000)).prefix == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 70)), min_size=1, max_size=12))
@settings(max_examples=40)
def test_shared_prefixes_save_at_least_the_best_of_whole_nodes(
    shapes: list[tuple[int, int, int]],
) -> None:
    """Against a plain recursion: split at the first token where prompts part, or share what they have."""
    rows = [
        TokenRow(f"r{number:02d}", [first] * 50 + [second] * 50 + [7] * length, [1])
        for number, (first, second, length) in enumerate(shapes)
    ]

    def best(members: list[TokenRow]) -> int:
        if len(members) < 2:
            return 0
        limit = min(len(row.prompt_ids) for row in members) - 1
        depth = next((d for d in range(limit) if len({row.prompt_ids[d] for row in members}) > 1), limit)
        parts: dict[Any, list[TokenRow]] = {}
        for row in members:
            last = len(row.prompt_ids) - 1 <= depth
            parts.setdefault((row.id if last else "", row.prompt_ids[depth]), []).append(row)
        return max((len(members) - 1) * depth - PASS_TOKENS, sum(best(part) for part in parts.values()))

    saved = sum((len(members) - 1) * prefix - PASS_TOKENS for members, prefix in shared_prefixes(rows))
    assert saved >= max(0, best(rows))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_shared_prefix_changes_no_score(name: str) -> None:
    model = make_model(CONFIGS[name])
    rows = with_hits(model, alike(3, 5, 40))
    assert split_model(model).reuses_prefixes or name == "opt, positions from the mask"
    expected = [oracle_row(model, row, 0.95) for row in rows]
    for budget in (150, 100_000):
        assert_agree(score(model, rows, token_budget=budget)[0], expected)


def test_a_shared_prefix_is_read_once(llama: Any, monkeypatch: Any) -> None:
    read = []
    original = SplitModel.read_prefix
    monkeypatch.setattr(SplitModel, "read_prefix", lambda self, ids: read.append(ids.shape) or original(self, ids))
    score(llama, alike(2, 9, 40), token_budget=150)
    assert [shape for shape in read if shape[1] > 4] == [(1, 40), (1, 40)]


def test_a_body_without_a_cache_of_keys_and_values_is_scored_without_sharing() -> None:
    model = make_model(MambaConfig(vocab_size=VOCABULARY, hidden_size=32, state_size=4, num_hidden_layers=2))
    rows = alike(1, 4, 40)
    assert not split_model(model).reuses_prefixes
    assert_agree(score(model, rows)[0], [oracle_row(model, row, 0.95) for row in rows])


class _LiveBytes(TorchDispatchMode):
    """The most bytes that tensors made inside this context held at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.peak, self.seen = 0, 0, set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_flatten(result)[0]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.seen:
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        self.seen.add(storage.data_ptr())
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, storage.data_ptr(), storage.nbytes())

    def _free(self, pointer: int, size: int) -> None:
        self.seen.discard(pointer)
        self.live -= size


@pytest.mark.parametrize("flat", [True, False])
def test_memory_as_wide_as_the_vocabulary_stays_within_what_is_said_of_it(flat: bool) -> None:
    positions, vocabulary = 8, 128_000
    logits = torch.zeros(positions, vocabulary) if flat else torch.randn(positions, vocabulary) * 4
    logits[:, 0] += 0.01
    targets = torch.full((positions,), int(logits[0].argmin()))
    with _LiveBytes() as counted:
        token_figures(logits + 0.0, targets, 0.95)
    assert counted.peak <= positions * vocabulary * scorer.BYTES_PER_LOGIT
    assert counted.peak > 4 * positions * vocabulary
