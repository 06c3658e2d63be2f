"""The batched scorer agrees with the slow oracle, whatever the architecture, padding, chunking and ties."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    OPTConfig,
    PhiConfig,
    Qwen2Config,
)

from compeffdist.difficulty import scorer
from compeffdist.difficulty.scorer import (
    RowScore,
    TokenRow,
    nucleus_sizes,
    plan_batches,
    score_rows,
    token_scores,
)
from compeffdist.errors import UserError

from .oracle import oracle_row, oracle_token

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


def score(model: Any, rows: list[TokenRow], **changes: Any) -> tuple[list[RowScore], list[tuple[str, str]]]:
    arguments: dict[str, Any] = {"top_p": 0.95, "max_length": 120, "token_budget": 150}
    return score_rows(model, rows, **(arguments | changes))


def assert_agree(actual: list[RowScore], expected: list[RowScore], within: float = 1e-6) -> None:
    assert [row.id for row in actual] == [row.id for row in expected]
    for ours, theirs in zip(actual, expected, strict=True):
        for field, value in dataclasses.asdict(theirs).items():
            if field != "id":
                assert getattr(ours, field) == pytest.approx(value, abs=within, rel=within), (ours.id, field)


@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_the_oracle_on_every_architecture(name: str) -> None:
    model = make_model(CONFIGS[name])
    rows = with_hits(model, make_rows())
    scores, rejects = score(model, rows)
    assert rejects == []
    assert_agree(scores, [oracle_row(model, row, 0.95) for row in rows])
    assert 0.0 < np.mean([row.miss_rate for row in scores]) < 1.0


def test_agrees_with_the_oracle_in_fp32() -> None:
    model = make_model(CONFIGS["llama"], torch.float32)
    rows = with_hits(model, make_rows(30, seed=1))
    assert_agree(score(model, rows)[0], [oracle_row(model, row, 0.95) for row in rows], within=1e-5)


@given(
    data=st.data(),
    vocabulary=st.integers(2, 400),
    top_p=st.floats(0.01, 0.999),
    spread=st.floats(0.0, 12.0),
    grid=st.sampled_from([0.0, 0.5, 2.0]),
)
@settings(max_examples=150)
def test_token_scores_agree_with_the_oracle_on_random_logits_and_ties(
    data: st.DataObject, vocabulary: int, top_p: float, spread: float, grid: float
) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, vocabulary, generator=generator) * spread
    if grid:
        logits = (logits / grid).round() * grid  # many equal logits
    targets = torch.randint(vocabulary, (6,), generator=generator)
    scores, losses = token_scores(logits, targets, top_p)
    for row in range(6):
        assert scores[row].item() == pytest.approx(oracle_token(logits[row], int(targets[row]), top_p), abs=1e-6)
        assert losses[row].item() == pytest.approx(
            -torch.log_softmax(logits[row].double(), 0)[targets[row]].item(), abs=1e-4
        )


def test_a_token_tied_for_first_is_no_miss() -> None:
    scores, _ = token_scores(torch.tensor([[2.0, 2.0, 1.0]]), torch.tensor([1]), 0.95)
    assert scores.tolist() == [0.0]


def test_known_nucleus() -> None:
    # probabilities .5 .3 .15 .05; prefix sums .5 .8 .95 1: two are below .9, so the nucleus holds three
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log().repeat(4, 1)
    assert nucleus_sizes(logits, 0.9, torch.float64).tolist() == [3] * 4
    scores, _ = token_scores(logits, torch.arange(4), 0.9)
    assert scores.tolist() == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])


def test_nucleus_of_uniform_logits_needs_every_growth_of_k() -> None:
    sizes = nucleus_sizes(torch.zeros(2, 5000), 0.95, torch.float64)
    assert sizes.tolist() == [4750, 4750] or sizes.tolist() == [4751, 4751]  # the 4750th sum is .95, rounded


def test_nucleus_never_exceeds_the_vocabulary() -> None:
    assert nucleus_sizes(torch.zeros(1, 3), 1.0 - 1e-17, torch.float64).item() <= 3


def test_scores_do_not_depend_on_batching_chunking_or_row_order(llama: Any, monkeypatch: Any) -> None:
    rows = make_rows()
    alone, _ = score(llama, rows, token_budget=1)
    together, _ = score(llama, rows, token_budget=100_000)
    assert_agree(together, alone, within=1e-9)
    monkeypatch.setattr(scorer, "WORKSPACE_BYTES", 3 * scorer.BYTES_PER_LOGIT * VOCABULARY)
    assert_agree(score(llama, rows)[0], alone, within=1e-9)
    backwards, _ = score(llama, rows[::-1])
    assert backwards[::-1] == score(llama, rows)[0]


def test_workspace_bound_holds_per_chunk(llama: Any, monkeypatch: Any) -> None:
    widths = []
    original = scorer.token_scores

    def spy(logits: torch.Tensor, targets: torch.Tensor, top_p: float) -> Any:
        widths.append(len(logits))
        return original(logits, targets, top_p)

    monkeypatch.setattr(scorer, "token_scores", spy)
    monkeypatch.setattr(scorer, "WORKSPACE_BYTES", 5 * scorer.BYTES_PER_LOGIT * VOCABULARY)
    rows = make_rows()
    score(llama, rows)
    assert max(widths) == 5
    assert sum(widths) == sum(len(row.response_ids) for row in rows)


def test_first_response_token_is_predicted_from_the_last_prompt_token(llama: Any) -> None:
    best = int(llama(input_ids=torch.tensor([[5, 9, 30]])).logits[0, -1].argmax())
    [hit], _ = score(llama, [TokenRow("hit", [5, 9, 30], [best])])
    assert (hit.ranking_all, hit.ranking_excluding_zero, hit.miss_rate, hit.tokens) == (0.0, 0.0, 0.0, 1)


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
    errors = [abs(ours.ranking_all - theirs.ranking_all) for ours, theirs in zip(scores, exact, strict=True)]
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
    batches = list(plan_batches([(row, i) for i, row in enumerate(rows)], budget))
    assert sorted(index for batch in batches for index in batch) == list(range(len(rows)))
    widths = [[len(rows[i].prompt_ids) + len(rows[i].response_ids) - 1 for i in batch] for batch in batches]
    assert all(len(batch) == 1 or max(batch) * len(batch) <= budget for batch in widths)
    flat = [width for batch in widths for width in batch]
    assert flat == sorted(flat, reverse=True)
