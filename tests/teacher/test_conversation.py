"""Each question comes back as what was read of its answer or as a reject of the stage under its owner."""

import json

from hypothesis import given
from hypothesis import strategies as st

from compeffdist.params import TeacherParams
from compeffdist.records import Reject
from compeffdist.seeds import stage_seed
from compeffdist.teacher.conversation import Conversation, Question, json_question, label_question
from compeffdist.teacher.parsing import BadAnswer
from compeffdist.teacher.requests import Answer, Request
from tests.fakes import SENTIMENT, FakeTeacher, conversation

SCHEMA = {"type": "object"}
SAID = {"fine": '{"a": 1}', "rubbish": "no JSON", "lost": None, "filtered": Answer('{"a": 1}', None, 1, 0, 1, "abort")}


@given(st.lists(st.sampled_from([*SAID])))
def test_every_question_has_a_value_or_a_reject_with_its_owner_in_order(outcomes: list[str]) -> None:
    talk = conversation(lambda request: SAID[request.prompt], "stage")
    asked = [json_question(f"owner_{place}", outcome, SCHEMA, 9) for place, outcome in enumerate(outcomes)]
    reasons = {"rubbish": "unparsable", "lost": "no_answer", "filtered": "unparsable"}
    for place, (outcome, said) in enumerate(zip(outcomes, talk.ask(asked, "label"), strict=True)):
        if isinstance(said, Reject):
            assert (said.stage, said.record_id, said.reason) == ("stage", f"owner_{place}", reasons[outcome])
        else:
            assert (outcome, said.value) == ("fine", {"a": 1})
            assert said.answer_id == said.request.key(talk.teacher_id)


def test_a_parser_s_reason_is_the_reject_s() -> None:
    def refuse(answer: Answer) -> str:
        raise BadAnswer("dull", answer.text)

    [said] = conversation(lambda _: "yawn").ask([Question("o", "p", refuse, max_tokens=3)], "label")
    assert isinstance(said, Reject)
    assert (said.reason, said.detail) == ("dull", "yawn")


def test_system_prompt_decoding_and_seed_are_the_conversation_s() -> None:
    params = TeacherParams(system_prompt="Be brief.", temperature=0.7, top_p=0.9)
    teacher = FakeTeacher(lambda _: json.dumps({}))
    Conversation(teacher, SENTIMENT, params, 1, "s").ask(
        [json_question("o", "Why?", SCHEMA, 9), label_question("o", "Which?", ["a", "b"])], "label"
    )
    assert teacher.asked == [
        Request("Be brief.", "Why?", 9, 0.7, 0.9, stage_seed(1, "s"), schema='{"type":"object"}'),
        Request.likelihood("Be brief.", "Which?", ("a", "b")),
    ]


def test_kept_pairs_are_asked_as_the_others_were() -> None:
    seeds = {stage: conversation(lambda _: "", stage).seed for stage in ("collect_responses", "collect_sampled")}
    assert len(set(seeds.values())) == 1


def test_without_a_system_prompt_in_params_it_is_the_domain_s() -> None:
    assert conversation(lambda _: "").system == SENTIMENT.system_prompts.teacher
