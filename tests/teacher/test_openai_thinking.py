"""Teachers that think first: room for it, and nothing of it taken for the answer."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from compeffdist.teacher.requests import Request
from tests.teacher.openai_asking import LABELS, ask, fast_and_bare, question, top_tokens
from tests.teacher.server import Body, Reply, chat_reply, serving

__all__ = ["fast_and_bare"]


def thinker(form: str, thinking_tokens: int) -> Callable[[Body, int], Reply]:
    """A server whose model thinks for so many tokens before it answers, and how it writes that."""

    def respond(body: Body, n: int) -> Reply:
        wanted = '{"answer": "positive"}' if "enum" in json.dumps(body) else "fine"
        whole = body["max_tokens"] > thinking_tokens
        thoughts, said = "Is it [negative]? No.", wanted if whole else None
        message: dict[str, Any] = {"content": said}
        if form in ("reasoning_content", "reasoning"):
            message[form] = thoughts
        elif form == "parts":
            parts = [{"type": "thinking", "thinking": [{"type": "text", "text": thoughts}]}]
            message["content"] = [*parts, *([{"type": "text", "text": said}] if said else [])]
        elif form == "hidden":
            message["content"] = said or ""
        else:
            message["content"] = f"<think>{thoughts}" + (f"</think>\n\n{said}" if said else "")
        first = [{"token": "Is", "logprob": -0.1}, {"token": "negative", "logprob": -3.0}]
        weighed = {"logprobs": {"content": [{"token": "Is", "top_logprobs": first}]}} if "logprobs" in body else {}
        reply = chat_reply(None, finish_reason="stop" if whole else "length", **weighed)
        reply["choices"][0]["message"] = message
        return Reply(reply)

    return respond


FORMS = ["reasoning_content", "reasoning", "parts", "block", "hidden"]


@pytest.mark.parametrize("form", FORMS)
def test_a_teacher_that_thinks_first_is_given_room_and_its_answer_is_read(form: str) -> None:
    with serving(thinker(form, 500)) as server:
        answers, failures = ask(server.url, [question("x"), LABELS, question("y")], concurrency=1)
    assert failures == {}
    assert [(answers[n].text, answers[n].finish_reason, answers[n].decided) for n in range(3)] == [
        ("fine", "stop", ""),
        ("positive", "", "chosen"),
        ("fine", "stop", ""),
    ]
    # whatever was asked is paid for, and counted
    assert sum(answer.completion_tokens for answer in answers.values()) == 3 * len(server.bodies)
    # room is found once
    assert sum(body["max_tokens"] == 9 for body in server.bodies) == 1


@pytest.mark.parametrize("form", FORMS)
def test_thoughts_without_end_are_no_answer(form: str) -> None:
    with serving(thinker(form, 10**6)) as server:
        answers, failures = ask(server.url, [question("x"), LABELS], concurrency=1)
    assert answers == {}
    assert set(failures.values()) == {"server's answer was cut before it began: max_tokens went into thoughts"}


@pytest.mark.parametrize(
    ("context", "rooms"), [(2100, [0, 4096, 2048, 2048]), (600, [0, 4096, 2048, 1024, 512, 512]), (400, [])]
)
def test_thoughts_are_given_the_room_that_a_short_context_has(context: int, rooms: list[int]) -> None:
    think = thinker("reasoning_content", 500)

    def respond(body: Body, n: int) -> Reply:
        if body["max_tokens"] > context:
            said = f"This model's maximum context length is {context} tokens. However, you requested more."
            return Reply({"error": {"message": said, "code": 400}}, status=400)
        return think(body, n)

    with serving(respond) as server:
        answers, failures = ask(server.url, [question("x"), question("y")], concurrency=1)
    if rooms:
        assert [answers[n].text for n in range(2)] == ["fine", "fine"]
        assert [body["max_tokens"] - 9 for body in server.bodies] == rooms  # what fits is asked for from then on
    else:
        assert answers == {}
        assert "before it began" in failures[0]


def test_a_label_cut_behind_long_thoughts_is_not_taken_for_a_shorter_one() -> None:
    scale = Request.likelihood("s", "how much?", tuple(str(number) for number in range(1, 11)))

    def respond(path: str, body: dict[str, Any]) -> Reply:
        return Reply(chat_reply(f"<think>{'hm ' * 99}</think>1", finish_reason="length"))

    with serving(respond) as server:
        answers, failures = ask(server.url, [scale])
    assert answers == {}
    assert "was cut, and a longer label may be meant" in failures[0]


def test_thoughts_are_not_weighed_and_a_label_among_them_decides_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def respond(body: Body, n: int) -> Reply:
        if "logprobs" not in body:
            return Reply(chat_reply("<think>negative?</think>positive"))
        reply = top_tokens({"negative": 0.6, "neutral": 0.2, "positive": 0.1})
        reply.value["choices"][0]["message"] = {"content": None, "reasoning_content": "negative"}
        return reply

    with serving(respond) as server:
        answers, _ = ask(server.url, [LABELS, Request.likelihood("s", "and?", LABELS.labels)], concurrency=1)
    assert [(answers[n].text, answers[n].kind) for n in range(2)] == [("positive", "chosen")] * 2
    assert sum("logprobs" in body for body in server.bodies) == 1
    assert "labels are chosen, not weighed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": None, "reasoning_content": "So it is positive."}, "thoughts only"),
        ({"content": "", "reasoning": "positive"}, "thoughts only"),
        ({"content": "<think>positive</think>"}, "thoughts only"),
        ({"content": [{"type": "thinking", "thinking": "positive"}]}, "thoughts only"),
        ({"content": None}, "holds no text"),
        ({"content": {"text": "positive"}}, "holds no text"),
        ({"content": [{"type": "image_url", "image_url": {}}]}, "holds no text"),
    ],
    ids=str,
)
def test_thoughts_are_never_taken_for_the_answer(message: dict[str, Any], reason: str) -> None:
    def respond(body: Body, n: int) -> Reply:
        return Reply(chat_reply(None) | {"choices": [{"message": message, "finish_reason": "stop"}]})

    with serving(respond) as server:
        answers, failures = ask(server.url, [LABELS])
    assert answers == {}
    assert reason in failures[0]


def test_json_that_a_server_put_where_thoughts_go_is_the_answer_it_was_held_to() -> None:
    def respond(body: Body, n: int) -> Reply:
        message = {"content": None, "reasoning_content": '{"answer": "positive"}'}
        return Reply(chat_reply(None) | {"choices": [{"message": message, "finish_reason": "stop"}]})

    with serving(respond) as server:
        answers, failures = ask(server.url, [LABELS, question("free text")])
    assert answers[0].text == "positive"
    assert "thoughts only" in failures[1]


@pytest.mark.parametrize(
    "content",
    [
        ["fi", "ne"],
        [{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}],
        [{"type": "output_text", "text": "fine"}, {"type": "image"}],
        [{"type": "reasoning", "text": "hm"}, {"text": "fine"}],
    ],
)
def test_a_list_of_content_parts_is_their_text(content: list[Any]) -> None:
    with serving(lambda body, n: Reply(chat_reply(content))) as server:  # type: ignore[arg-type]
        answers, _ = ask(server.url, [question("x")])
    assert answers[0].text == "fine"
