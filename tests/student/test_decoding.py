"""Greedy decoding of a batch that rows leave as their answers end, held against the library's own, row by row."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GenerationConfig, Lfm2Config, Lfm2ForCausalLM, MambaConfig, MambaForCausalLM
from xgrammar.contrib.hf import LogitsProcessor

from compeffdist.formatting import encode_prompt, end_token_id
from compeffdist.student.decoding import HELD, answer_batches, greedy_tokens
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import generate
from compeffdist.teacher.chat import compiled_schema
from tests.fakes import SYSTEM
from tests.student.tiny import tiny_model_folder

PROMPTS = ["good", "a film of the year", "bad", "what a long and dull evening that was", "x y", "fine, all in all"]
MOST = 12
SCHEMA = {
    "type": "array",
    "maxItems": 3,
    "items": {
        "type": "object",
        "properties": {"aspect": {"type": "string", "maxLength": 4}, "sentiment": {"enum": ["good", "bad"]}},
        "required": ["aspect", "sentiment"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A tiny model and its tokenizer."""
    return load_student(tiny_model_folder(tmp_path_factory.mktemp("tiny") / "model"), "cpu", "float32")


def encoded(tokenizer: Any) -> list[list[int]]:
    return [encode_prompt(tokenizer, SYSTEM, prompt) for prompt in PROMPTS]


def library(model: Any, tokenizer: Any, end: int, most: int, grammar: Any = None) -> list[list[int]]:
    """Each row alone."""
    found = []
    settings = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=end, pad_token_id=0)
    for row in encoded(tokenizer):
        ids = torch.tensor([row])
        held = [LogitsProcessor(grammar)] if grammar else []
        out = model.generate(ids, generation_config=settings, logits_processor=held)[0, ids.shape[1] :].tolist()
        found.append(out[: out.index(end)] if end in out else out)
    return found


def test_every_answer_is_that_of_its_row_alone_whenever_the_others_end(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    prompts, never = encoded(tokenizer), model.config.vocab_size - 1  # the last token, which no answer has
    endless = greedy_tokens(model, prompts, MOST, never)
    assert {len(row) for row in endless} == {MOST}
    assert endless == library(model, tokenizer, never, MOST)
    ends = {token for row in endless for token in row}
    assert len({row.index(end) if end in row else MOST for end in ends for row in endless}) > MOST / 2
    for end in ends:
        expected = [row[: row.index(end)] if end in row else row for row in endless]
        assert greedy_tokens(model, prompts, MOST, end) == expected


def test_rows_that_have_ended_are_read_no_more(loaded: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = loaded
    prompts, never = encoded(tokenizer), model.config.vocab_size - 1  # the last token, which no answer has
    endless = greedy_tokens(model, prompts, MOST, never)
    end = endless[0][0]
    going_on = sum(end not in row[:1] for row in endless)
    assert 0 < going_on <= 0.75 * len(PROMPTS)
    read: list[int] = []
    whole = model.forward

    def counting(*args: Any, **named: Any) -> Any:
        read.append(len(named["input_ids"]))
        return whole(*args, **named)

    monkeypatch.setattr(model, "forward", counting)
    greedy_tokens(model, prompts, MOST, end)
    assert read[0] == len(PROMPTS)
    assert max(read[1:]) == going_on


def test_answers_held_to_a_schema_are_those_of_the_library(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    end = end_token_id(tokenizer)
    grammar = compiled_schema(tokenizer, model.config.vocab_size, end, SCHEMA)
    most = 160
    answers = greedy_tokens(model, encoded(tokenizer), most, end, grammar)
    assert answers == library(model, tokenizer, end, most, grammar)
    whole = [tokenizer.decode(row) for row in answers if len(row) < most]
    assert whole
    for answer in whole:
        assert all(set(item) == {"aspect", "sentiment"} for item in json.loads(answer, strict=False))


@pytest.mark.parametrize("kind", ["mamba", "lfm2"])
def test_a_model_that_keeps_more_than_keys_and_values_answers_as_if_it_read_all_anew(
    loaded: tuple[Any, Any], kind: str
) -> None:
    _, tokenizer = loaded
    torch.manual_seed(0)
    if kind == "mamba":
        config = MambaConfig(vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, state_size=8)
        model: Any = MambaForCausalLM(config).eval()
    else:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        layers = {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}
        model = Lfm2ForCausalLM(Lfm2Config(vocab_size=len(tokenizer), **sizes, **layers)).eval()
    answers = generate(model, tokenizer, PROMPTS, 5, system=SYSTEM)
    end = end_token_id(tokenizer)
    for prompt, row in zip(PROMPTS, encoded(tokenizer), strict=True):
        ids = list(row)
        while len(ids) < len(row) + 5:
            with torch.no_grad():
                token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if token == end:
                break
            ids.append(token)
        expected = tokenizer.decode(ids[len(row) :], skip_special_tokens=True).strip()
        assert answers[PROMPTS.index(prompt)] == expected


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(1, 100), st.integers(1, 500))
def test_batches_read_within_the_budget_and_hold_a_bound_of_it(lengths: list[int], most: int, budget: int) -> None:
    made = list(answer_batches(lengths, most, budget))
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert len(batch) == 1 or len(batch) * (longest + most) <= HELD * budget
