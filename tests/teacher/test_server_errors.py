"""What servers say of an error, in the shapes that they have for it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.teacher.server_errors import hidden_status, read_body, reason

SAID = "seed is not supported"
EXTRA = "Extra inputs are not permitted"

SHAPES: dict[str, tuple[Any, str]] = {
    "OpenAI": ({"error": {"message": SAID, "type": "invalid_request_error", "param": "seed", "code": None}}, SAID),
    "OpenAI, field beside": ({"error": {"message": "not taken", "param": "seed"}}, "seed: not taken"),
    "Ollama, LM Studio": ({"error": SAID}, SAID),
    "FastAPI": (
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": EXTRA, "input": 4}]},
        f"seed: {EXTRA}",
    ),
    "FastAPI, several": (
        {"detail": [{"loc": ["body", "seed"], "msg": EXTRA}, {"loc": ["body", "messages", 0], "msg": "too many"}]},
        f"seed: {EXTRA}; messages.0: too many",
    ),
    "FastAPI, text": ({"detail": SAID}, SAID),
    "Mistral": (
        {"object": "error", "message": {"detail": [{"loc": ["body", "seed"], "msg": EXTRA}]}, "code": None},
        f"seed: {EXTRA}",
    ),
    "Mistral, text": ({"object": "error", "message": SAID, "type": "invalid_request", "code": 3051}, SAID),
    "vLLM": ({"object": "error", "message": SAID, "type": "BadRequestError", "param": None, "code": 400}, SAID),
    "Google": ([{"error": {"code": 400, "message": SAID, "status": "INVALID_ARGUMENT"}}], SAID),
    "OpenRouter": (
        {"error": {"message": "Provider error", "code": 400, "metadata": {"raw": json.dumps({"error": SAID})}}},
        f"Provider error; {SAID}",
    ),
    "MiniMax": ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "rate limit"),
    "several": ({"errors": [{"message": SAID}, {"message": "and more"}]}, f"{SAID}; and more"),
    "Problem Details": ({"type": "about:blank", "title": "Bad Request", "detail": SAID}, f"{SAID}; Bad Request"),
    "text": (SAID, SAID),
    "a gateway's page": (
        "<html>\n<head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
        "a web page: 502 Bad Gateway",
    ),
    "a code alone": ({"error": {"code": "model_not_found"}}, "model_not_found"),
    "nothing": ({}, ""),
    "an answer": ({"choices": [{"message": {"content": "error"}}]}, ""),
}


@pytest.mark.parametrize(("body", "said"), SHAPES.values(), ids=SHAPES)
def test_the_reason_is_found_in_every_shape(body: Any, said: str) -> None:
    assert reason(body if isinstance(body, str) else read_body(json.dumps(body))) == said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "message", "detail", "loc", "code", "choices", "param", "metadata", "raw", "base_resp", "msg"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_a_server_says_is_one_line_and_some_status(body: Any) -> None:
    said = reason(body)
    assert said.isprintable()
    assert hidden_status(body) == 0 or 400 <= hidden_status(body) < 600


def test_an_error_without_end_is_no_crash() -> None:
    deep = "[" * 100_000
    assert reason(read_body(deep)).startswith("[")
    assert reason({"error": json.loads("[" * 500 + "]" * 500)}) == ""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"message": "Overloaded", "type": "overloaded_error"}}, 503),
        ({"error": {"message": "slow down", "code": 429}}, 429),
        ({"error": {"message": "slow down", "code": "429"}}, 429),
        ({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}, 402),
        ({"error": "model is loading"}, 503),
        ({"error": "something went wrong"}, 503),
        ({"object": "error", "message": "bad", "code": 400}, 400),
        ({"error": {"message": "seed is not supported", "type": "invalid_request_error"}}, 400),
        ({"error": {"message": "Incorrect API key provided"}}, 401),
        ({"error": "model 'x' not found"}, 404),
        ({"detail": "Service Unavailable"}, 503),
        ({"choices": [], "error": {"message": "timeout"}}, 503),
        ({"choices": [{"message": {"content": "half"}, "error": {"code": 502, "message": "gone"}}]}, 502),
        # no errors
        ({"choices": [{"message": {"content": "x"}}], "error": None}, 0),
        ({"choices": [{"message": {"content": "x"}}], "message": "fine"}, 0),
        ({"choices": [], "error": None}, 0),
        ({"object": "list", "data": []}, 0),
        ([1], 0),
        ("x", 0),
    ],
    ids=str,
)
def test_an_error_under_status_200_has_the_status_it_should_have_had(body: Any, status: int) -> None:
    assert hidden_status(body) == status
