"""Asking the student: whole-label likelihoods against a row-by-row reckoning, and greedy answers."""

import math
from io import StringIO
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.errors import UserError
from compeffdist.formatting import encode_prompt, encode_response, end_token_id
from compeffdist.progress import Progress
from compeffdist.student.batching import batches
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import generate, label_logprobs, label_trie
from tests.fakes import SYSTEM

LABELS = ("positive", "neutral", "negative", "neg")
PROMPTS = ["the film was great", "dreadful", "x" * 60, "the film"]


def reckoned(model: torch.nn.Module, tokenizer: object, prompt: str) -> dict[str, float]:
    """Constrained decoding walked label by label and token by token: one row at a time, no batch, no trie."""
    end = end_token_id(tokenizer)  # type: ignore[arg-type]
    head = encode_prompt(tokenizer, SYSTEM, prompt)  # type: ignore[arg-type]
    paths = {label: [*encode_response(tokenizer, label, end=False), end] for label in LABELS}  # type: ignore[arg-type]
    scores = {}
    for label, path in paths.items():
        total = 0.0
        for depth, token in enumerate(path):
            allowed = sorted({p[depth] for p in paths.values() if p[:depth] == path[:depth] and len(p) > depth})
            with torch.no_grad():
                logits = model(torch.tensor([head + path[:depth]])).logits[0, -1]
            total += float(logits[allowed].log_softmax(0)[allowed.index(token)])
        scores[label] = total
    return scores


def test_label_logprobs_equal_a_row_by_row_reckoning_whatever_the_batch(tiny_folder: Path) -> None:
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    expected = [reckoned(model, tokenizer, prompt) for prompt in PROMPTS]
    for budget in (1, 200, 10_000):
        rows = label_logprobs(model, tokenizer, PROMPTS, LABELS, token_budget=budget, system=SYSTEM)
        for row, want in zip(rows, expected, strict=True):
            assert row == pytest.approx(want, abs=1e-4)
            assert sum(map(math.exp, row.values())) == pytest.approx(1.0)


@pytest.mark.parametrize("budget", [1, 300, 10_000])
def test_what_prompts_share_is_read_once_and_changes_no_likelihood(
    tiny_folder: Path, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    prompts = [f"Say what the text feels, in one word, please.\n\nInput: film {n * 'x'}" for n in range(9)]
    read: list[int] = []
    forward = torch.nn.Embedding.forward
    monkeypatch.setattr(torch.nn.Embedding, "forward", lambda self, ids: read.append(ids.numel()) or forward(self, ids))
    apart = label_logprobs(model, tokenizer, prompts, LABELS, token_budget=budget, share=False, system=SYSTEM)
    alone = sum(read)
    read.clear()
    together = label_logprobs(model, tokenizer, prompts, LABELS, token_budget=budget, system=SYSTEM)
    assert sum(read) < alone / 2
    for row, other in zip(together, apart, strict=True):
        assert row == pytest.approx(other, abs=1e-5)


def test_answers_are_greedy_and_in_order_whatever_the_batch(tiny_folder: Path) -> None:
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    expected = []
    for prompt in PROMPTS:
        ids = encode_prompt(tokenizer, SYSTEM, prompt)
        start = len(ids)
        while len(ids) < start + 5 and (len(ids) == start or ids[-1] != end_token_id(tokenizer)):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        expected.append(tokenizer.decode(ids[start:], skip_special_tokens=True).strip())
    assert any(expected)
    for budget in (1, 10_000):
        assert generate(model, tokenizer, PROMPTS, 5, token_budget=budget, system=SYSTEM) == expected


def test_a_prompt_beyond_the_context_is_refused(tiny_folder: Path) -> None:
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    model.config.max_position_embeddings = 64
    with pytest.raises(UserError, match="context holds 64"):
        label_logprobs(model, tokenizer, ["x" * 100], LABELS, system=SYSTEM)
    with pytest.raises(UserError, match="context holds 64"):
        generate(model, tokenizer, ["x"], 60, system=SYSTEM)


def test_equal_labels_are_refused(tiny_folder: Path) -> None:
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    with pytest.raises(UserError, match="labels"):
        label_logprobs(model, tokenizer, ["x"], ["", "good"], system=SYSTEM)


def test_no_prompts_give_no_answers(tiny_folder: Path) -> None:
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    assert label_logprobs(model, tokenizer, [], LABELS, system=SYSTEM) == []
    assert generate(model, tokenizer, [], 5, system=SYSTEM) == []


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(1, 500))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    made = list(batches(lengths, budget))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget


def test_progress_counts_prompts_not_the_branches_of_their_labels(tiny_folder: Path) -> None:
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    assert len(label_trie(tokenizer, LABELS).branches) > 1
    progress = Progress("asked", len(PROMPTS), StringIO())
    label_logprobs(model, tokenizer, PROMPTS, LABELS, token_budget=16, progress=progress, system=SYSTEM)
    assert progress.done == len(PROMPTS)
