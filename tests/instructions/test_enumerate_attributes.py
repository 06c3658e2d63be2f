"""Attributes are asked of every text drawn; what each answer lists is a mention or a reject."""

import json
from typing import Any

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from compeffdist.accounting import account
from compeffdist.instructions.enumerate_attributes import STAGE, enumerate_attributes
from compeffdist.params import AttributesParams
from compeffdist.teacher.requests import Answer, Request
from tests.factories import make_text
from tests.fakes import SENTIMENT, FakeTeacher, conversation

TEXTS = [make_text(f"text {n}") for n in range(4)]
names = st.lists(st.sampled_from(["tone", "Use of irony/sarcasm", "...", "::"]), min_size=2, max_size=3)
answers = st.one_of(names, st.sampled_from([None, "no JSON", '{"attributes": []}']))


def said(listed: Any) -> str | None:
    if not isinstance(listed, list):
        return listed
    items = [{"attribute": name, "description": "what it is", "value": "this"} for name in listed]
    return json.dumps({"attributes": items})


@given(st.lists(answers, min_size=4, max_size=4))
@hypothesis_settings(max_examples=60, deadline=None)
def test_whatever_the_teacher_says_texts_and_attributes_are_accounted_for(replies: list[Any]) -> None:
    waiting = iter(replies)

    def reply(request: Request) -> str | None:
        return said(next(waiting))

    params = AttributesParams(texts=4, max_per_text=3)
    found = enumerate_attributes(TEXTS, params, SENTIMENT.attributes, conversation(reply))
    answered = len({mention.text_id for mention in found.mentions})
    assert account(STAGE, 4, answered, found.rejects)["out"] == answered
    assert account(STAGE, found.listed, len(found.mentions), found.nameless)
    assert found.listed == sum(len(listed) for listed in replies if isinstance(listed, list))
    assert [reject.reason for reject in found.nameless] == ["nameless"] * len(found.nameless)


def test_no_more_texts_are_asked_about_than_params_say() -> None:
    teacher = FakeTeacher(lambda _: said(["tone", "mood"]))
    found = enumerate_attributes(TEXTS, AttributesParams(texts=3, max_per_text=3), SENTIMENT.attributes, teacher.talk())
    assert len(teacher.asked) == len({mention.text_id for mention in found.mentions}) == 3


def test_what_is_said_of_an_attribute_is_one_line() -> None:
    """It stands in later questions, and is looked for there when its text is withdrawn."""
    items = [{"attribute": f"tone {n}", "description": "how it\nis  said", "value": "so\n\nso"} for n in range(2)]
    teacher = FakeTeacher(lambda _: json.dumps({"attributes": items}))
    found = enumerate_attributes(
        TEXTS[:1], AttributesParams(texts=1, max_per_text=3), SENTIMENT.attributes, teacher.talk()
    )
    assert {(mention.description, mention.value) for mention in found.mentions} == {("how it is said", "so so")}


def test_half_a_character_is_a_reject() -> None:
    """An escape without its other half, as a string that was cut between the two ends in."""
    replies = iter([said(["joy \ud83d", "mood"]), said(["tone", "mood"])])
    params = AttributesParams(texts=2, max_per_text=3)
    found = enumerate_attributes(TEXTS, params, SENTIMENT.attributes, conversation(lambda _: next(replies)))
    assert [(reject.reason, reject.detail) for reject in found.rejects] == [
        ("unparsable", r"half a character: '\ud83d'")
    ]
    assert len(found.mentions) == 2


def test_an_answer_that_a_filter_ended_is_a_reject_however_whole_it_looks() -> None:
    ends = iter(["content_filter", "stop"])

    def reply(_: Request) -> Answer:
        return Answer(said(["tone", "mood"]) or "", None, 1, 0, 1, next(ends))

    params = AttributesParams(texts=2, max_per_text=3)
    found = enumerate_attributes(TEXTS, params, SENTIMENT.attributes, conversation(reply))
    assert [(reject.reason, reject.detail) for reject in found.rejects] == [
        ("unparsable", "the answer ended early, by 'content_filter'")
    ]
    assert len(found.mentions) == 2
