"""How an answer ended, as servers call it, and what is kept of one that did not end in order."""

import pytest

from tests.teacher.openai_asking import LABELS, ask, fast_and_bare, question, top_tokens
from tests.teacher.server import Body, Reply, chat_reply, serving

__all__ = ["fast_and_bare"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        *((good, "stop") for good in ("stop", "STOP", "eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE")),
        *((cut, "length") for cut in ("length", "max_tokens", "MAX_TOKENS", "model_length")),
    ],
)
def test_an_answer_that_ended_in_order_is_kept_whatever_the_server_calls_it(said: str, kept: str) -> None:
    with serving(lambda body, n: Reply(chat_reply("fine", finish_reason=said))) as server:
        answers, failures = ask(server.url, [question("x")])
    assert failures == {}
    assert (answers[0].text, answers[0].finish_reason) == ("fine", kept)


BAD_ENDS = ["content_filter", "abort", "error", "tool_calls", "function_call", "insufficient_system_resource", "xyz"]


@pytest.mark.parametrize("finish", BAD_ENDS)
def test_an_answer_that_ended_otherwise_has_its_end_as_the_reason(finish: str) -> None:
    with serving(lambda body, n: Reply(chat_reply('{"answer": "neutral"}', finish_reason=finish))) as server:
        answers, failures = ask(server.url, [question("x"), question("y", schema='{"type":"object"}'), LABELS])
    assert answers == {}
    assert set(failures.values()) == {f"server's answer is not whole: it ended by {finish!r}"}


@pytest.mark.parametrize("finish", [None, ""])
def test_an_answer_that_does_not_say_how_it_ended_is_not_taken_for_whole(finish: str | None) -> None:
    with serving(lambda body, n: Reply(chat_reply("fine", finish_reason=finish))) as server:
        answers, failures = ask(server.url, [question("x")])
    assert answers == {}
    assert "does not say how it ended" in failures[0]


def test_log_probabilities_of_a_filtered_answer_weigh_nothing() -> None:
    def respond(body: Body, n: int) -> Reply:
        reply = top_tokens({"negative": 0.5, "neutral": 0.1, "positive": 0.4})
        reply.value["choices"][0]["finish_reason"] = "content_filter"
        return reply

    with serving(respond) as server:
        answers, failures = ask(server.url, [LABELS])
    assert answers == {}
    assert "content_filter" in failures[0]


def test_what_the_server_says_of_a_fault_is_told() -> None:
    fault = {"finish_reason": "error", "error": {"code": 502, "message": "provider\nis down"}}
    refusal = chat_reply(None) | {"choices": [{"message": {"content": None, "refusal": "I cannot."}}]}

    def respond(body: Body, n: int) -> Reply:
        return Reply(refusal if body["messages"][-1]["content"] == "x" else chat_reply("half an ans", **fault))

    with serving(respond) as server:
        _, failures = ask(server.url, [question("x"), question("y")])
    assert failures[0] == "the teacher refuses to answer: I cannot."
    assert failures[1] == "server's answer is not whole: it ended by 'error': provider is down"
