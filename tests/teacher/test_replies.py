"""Every engine keeps what ended in order, without thoughts, and nothing else: also those that hold the weights."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.replies import CutInThoughts, kept_text, reply_text, token_counts
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.server_errors import error_in
from compeffdist.teacher.vllm_engine import VllmEngine
from compeffdist.teacher.vllm_supervisor import Attachment
from tests.teacher.server import Body, Reply, serving

TEXT = Request("s", "the film", 9, 0.0, 1.0, 0)
LABELS = Request.likelihood("s", "the film", ("negative", "positive"))


def ask_vllm(folder: Path, reply: Body, requests: list[Request]) -> dict[int, Answer | str]:
    """The vLLM engine against a server that completes everything with `reply`."""
    engine = VllmEngine(
        SimpleNamespace(dtype="float32"), TeacherParams(max_model_len=200), RuntimeParams(retries=0), folder
    )
    got: dict[int, Answer | str] = {}

    def respond(body: Body, n: int) -> Reply:
        tokens = {f"token_id:{token}": -1.0 for token in range(400)}
        return Reply({"choices": [{"logprobs": {"top_logprobs": [tokens]}, **reply}]})

    with serving(respond) as server:
        attached = cast("Attachment", SimpleNamespace(base_url=server.url, api_key="k", touch=lambda: None))
        asyncio.run(engine._answer(attached, requests, got.__setitem__, got.__setitem__))
    return got


@pytest.mark.parametrize("finish", ["abort", "error", "content_filter", None])
def test_vllm_answers_that_did_not_end_in_order_are_refused(tiny_folder: Path, finish: str | None) -> None:
    got = ask_vllm(tiny_folder, {"text": "half an ans", "finish_reason": finish}, [TEXT, LABELS])
    for reason in got.values():
        assert isinstance(reason, str)
        assert (repr(finish) if finish else "does not say how it ended") in reason


def test_vllm_answers_are_kept_without_thoughts(tiny_folder: Path) -> None:
    got = ask_vllm(tiny_folder, {"text": "<think>no</think>\nyes", "finish_reason": "stop"}, [TEXT, LABELS])
    assert got[0] == Answer("yes", None, 0, 0, 0, "stop")
    assert isinstance(got[1], Answer)
    assert got[1].kind == "labels"


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize("text", ["yes", " yes\n", "", "\n"])
def test_what_is_no_thought_is_kept_as_it_is(text: str, finish: str) -> None:
    assert kept_text(text, finish) == text


@pytest.mark.parametrize(
    ("text", "finish", "error", "reason"),
    [
        ("<think>so", "length", CutInThoughts, "max_tokens went into thoughts"),
        ("<think>so</think>", "stop", RequestFailed, "thoughts only"),
        ("<think>so</think>  ", "stop", RequestFailed, "thoughts only"),
        ("half \ud83d", "stop", RequestFailed, "half a character"),
        (None, "stop", RequestFailed, "no text"),
    ],
)
def test_what_cannot_be_kept_has_a_reason(text: Any, finish: str, error: type[RequestFailed], reason: str) -> None:
    with pytest.raises(error, match=reason):
        kept_text(text, finish)


def said(content: Any, **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "no text"),
        ([{"type": "text", "text": {"value": "yes"}}], "no text"),
        ([{"type": "image_url"}], "no text"),
        ([{"type": "refusal", "refusal": "I cannot"}], "refuses to answer: I cannot"),
    ],
)
def test_content_parts_without_text_are_no_empty_answer(content: Any, reason: str) -> None:
    with pytest.raises(RequestFailed, match=reason):
        reply_text(said(content))
    assert reply_text(said([{"type": "text", "text": ""}])) == ("", "stop")


@pytest.mark.parametrize("count", [-1, 10**30, True, 1.5, "3", None])
def test_what_is_no_count_of_tokens_is_none(count: Any) -> None:
    prompt, cached, completion = token_counts({"usage": {"prompt_tokens": count, "completion_tokens": 2}})
    assert (int(prompt) in (0, 1), cached, completion) == (True, 0, 2)


@pytest.mark.parametrize(
    ("indices", "place"),
    [
        ([0], 0),
        ([1, 0], 1),
        ([2, 1], 1),
        ([None, 0], 0),
        ([None, None], 0),
        (["1", "0"], 0),
        ([True, 0], 0),
        ([0, 0], 0),
    ],
)
def test_of_several_choices_that_of_the_lowest_index_is_the_answer(indices: list[Any], place: int) -> None:
    choices = [
        {"index": index, "message": {"content": f"choice {n}"}, "finish_reason": "stop", "error": {"message": f"e{n}"}}
        for n, index in enumerate(indices)
    ]
    assert reply_text({"choices": choices}) == (f"choice {place}", "stop")
    assert error_in({"choices": choices}) == {"error": {"message": f"e{place}"}}


@pytest.mark.parametrize("choices", [None, [], {}, "x", [None], ["x"], [None, {"index": 0}]])
def test_a_reply_without_choices_is_told(choices: Any) -> None:
    with pytest.raises(RequestFailed, match="holds no choices"):
        reply_text({"choices": choices})
