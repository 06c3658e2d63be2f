"""Servers as they are: what each says, as documented (`shapes/`, one file a server), and what is made of it.

A file's `rules` are gone through in turn; the first that fits a request is how the server replies to it.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.teacher.openai_asking import LABELS, ask, fast_and_bare, question
from tests.teacher.server import Body, Reply, serving

__all__ = ["fast_and_bare"]
SHAPES = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.glob("shapes/*.json")
}
MOOD = '{"properties":{"mood":{"type":"string"}},"type":"object"}'


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compeffdist.teacher.pace.FIRST_WAIT", 0.02)


def fits(rule: dict[str, Any], body: Body, place: int) -> bool:
    """Whether a rule is about a request, the `place`-th that came."""
    field, least = rule.get("below", ("", 0))
    return (
        place <= rule.get("first", place)
        and rule.get("prompt", "") in body["messages"][-1]["content"]
        and all(name in body for name in rule.get("has", ()))
        and (not field or body[field] < least)
    )


@pytest.mark.parametrize("name", SHAPES)
def test_a_server_is_asked_as_it_takes_it_and_understood(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = SHAPES[name]
    expected = shape["expect"]
    monkeypatch.setenv("COMPEFFDIST_API_KEY_HERE", "key-of-here-1")

    def respond(body: Body, n: int) -> Reply:
        rule = next(rule for rule in shape["rules"] if fits(rule, body, len(server.bodies)))
        return Reply(rule["reply"], status=rule.get("status", 200), headers=rule.get("headers", {}))

    header = shape.get("key_header", "Authorization")
    with serving(respond) as server:
        url = server.url.replace("/v1", shape.get("path", "/v1"))
        asked = [question("one"), question("json", schema=MOOD), LABELS, question("long"), question("two")]
        answers, failures = ask(url, asked, concurrency=1, retries=0, busy_seconds=30.0, openai_key_header=header)
    assert [answers[n].text for n in (0, 1, 4)] == [expected["text"], expected["json"], expected["text"]]
    assert [answers[2].text, answers[2].kind] == expected["label"]
    if "long" in expected:
        assert re.search(expected["long"], failures[3])
    else:
        assert failures == {}
    told = capsys.readouterr().err.splitlines()
    for words in expected["told"]:
        assert sum(words in line for line in told) == 1, told
    assert len(told) == len(expected["told"])
    # found out once, and remembered
    for field, times in expected.get("requests", {}).items():
        assert sum(field in body for body in server.bodies) == times, field
    assert not set(expected["last_lacks"]) & set(server.bodies[-1])
    assert set(expected.get("last_has", ())) <= set(server.bodies[-1])
    path, _, query = shape.get("path", "/v1").partition("?")
    assert server.paths == {f"{path}/chat/completions{'?' + query if query else ''}"}
    if header == "Authorization":
        assert (server.keys, server.api_keys) == ({"Bearer key-of-here-1"}, {None})
    else:
        assert (server.keys, server.api_keys) == ({None}, {"key-of-here-1"})
    assert "key-of-here" not in "".join(told)
