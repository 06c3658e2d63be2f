"""Parity with the official script, against a literal slow rendering of what it does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from bench.official import (
    Difference,
    clean_instruction,
    compare,
    official_row,
    score_official,
    summarise,
)

from compeffdist.student.loading import load_student

PROMPT = "Say how it feels.\n\nInput: the film was great\nOutput: positive\n\nInput: {}\nOutput:"
TEXTS = [("a bore", "negative"), ("great", "the film was great"), ("dreadful " * 9, "dreadful"), ("fine", "")]


@pytest.fixture(scope="module")
def student(base_folder: Path) -> Any:
    return load_student(base_folder, "cpu", "float32")


def literal_score(model: Any, tokenizer: Any, prompt: str, response: str, max_length: int) -> float:
    """The script's steps in its order: join, tokenise, truncate, softmax, sort, look the token up."""
    prefix = prompt.replace("Input: ", "Input:").replace("Output: ", "Output:").strip()
    start = len(tokenizer(prefix)["input_ids"])
    ids = tokenizer(prefix + response, return_tensors="pt", truncation=True, max_length=max_length)["input_ids"]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0]
    scores = []
    for place in range(start, ids.shape[1]):
        probabilities, order = torch.softmax(logits[place - 1].double(), -1).sort(descending=True)
        size = min(int((probabilities.cumsum(0) < 0.95).sum()) + 1, len(order))
        rank = order.tolist().index(int(ids[0, place]))
        scores.append(rank / size if rank < size else 1.0)
    above_zero = [score for score in scores if score > 1e-6]
    return sum(above_zero) / len(above_zero) if above_zero else 0.0


@pytest.mark.parametrize("max_length", [2048, 60, 20])
def test_scores_are_those_of_the_script(student: Any, max_length: int) -> None:
    model, tokenizer = student
    rows = [
        official_row(tokenizer, str(number), PROMPT.format(text), response, max_length)
        for number, (text, response) in enumerate(TEXTS)
    ]
    scores = score_official(model, rows, top_p=0.95, token_budget=500, max_length=max_length)
    for number, (text, response) in enumerate(TEXTS):
        expected = literal_score(model, tokenizer, PROMPT.format(text), response, max_length)
        assert scores[str(number)] == pytest.approx(expected, abs=1e-5)
    assert scores["3"] == 0.0


def test_the_instruction_is_cleaned_as_published() -> None:
    assert clean_instruction(" Input: a\nOutput: b \n") == "Input:a\nOutput:b"


def test_a_merge_across_the_boundary_is_noticed(student: Any) -> None:
    _, tokenizer = student
    assert official_row(tokenizer, "a", "the fil", "m was great").boundary_shifted
    assert not official_row(tokenizer, "a", "the film", " was great").boundary_shifted


def test_each_row_has_the_reason_that_made_it_differ(student: Any) -> None:
    _, tokenizer = student
    rows = [
        official_row(tokenizer, "same", "the film", " was great"),
        official_row(tokenizer, "truncation", "the film", " was great", max_length=1),
        official_row(tokenizer, "boundary", "the fil", "m was great"),
        official_row(tokenizer, "template", "the film", " was great"),
    ]
    official = {"same": 0.5, "truncation": 0.0, "boundary": 0.3, "template": 0.4}
    ours = {"same": 0.5, "boundary": 0.6, "template": 0.9}
    plain = {**official, "boundary": 0.6}
    responses = {row.tokens.id: row.tokens.response_ids for row in rows}
    differences = compare(rows, official, ours, plain, responses)
    assert [difference.reason for difference in differences] == [row.tokens.id for row in rows]
    summary = summarise([*differences, Difference("more", 0.2, 0.1, "template")])
    assert summary["rejected_by_ours"] == 1
    assert summary["reasons"]["template"] == {"rows": 2, "mean_difference": pytest.approx(0.3)}
