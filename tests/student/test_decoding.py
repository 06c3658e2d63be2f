"""Greedy decoding of a batch that rows leave as their answers end, held against the library's own, row by row."""

import json
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from xgrammar import GrammarMatcher
from xgrammar.contrib.hf import LogitsProcessor

from compeffdist.formatting import encode_prompt, end_token_id
from compeffdist.student.decoding import greedy_tokens
from compeffdist.student.loading import load_student
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
    answers = greedy_tokens(model, encoded(tokenizer), most, end, lambda: GrammarMatcher(grammar))
    assert answers == library(model, tokenizer, end, most, grammar)
    whole = [tokenizer.decode(row) for row in answers if len(row) < most]
    assert whole
    for answer in whole:
        assert all(set(item) == {"aspect", "sentiment"} for item in json.loads(answer, strict=False))
