"""Questions of the user's own: from params to prompts, kept beside generated tasks and asked as evaluation asks."""

import json
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from compeffdist.errors import UserError
from compeffdist.evaluation.predictions import evaluation_prompt
from compeffdist.instructions.generate_tasks import drop_near_duplicates, generate_tasks, tasks_asked
from compeffdist.instructions.own_tasks import is_own, own_task, own_tasks
from compeffdist.instructions.write_demonstrations import build_instructions, is_demonstrated
from compeffdist.params import (
    DemonstrationsParams,
    EvaluationTask,
    OwnTask,
    PairingParams,
    ResponsesParams,
    TasksParams,
)
from compeffdist.records import Instruction
from compeffdist.teacher.requests import Answer, Request
from compeffdist.triplets.collect_responses import collect_responses, response_question
from compeffdist.triplets.pair_texts import pair_texts
from tests.factories import make_perspective, make_row, make_task, make_text
from tests.fakes import SENTIMENT, conversation
from tests.instructions.test_generate_tasks import answer, distinct

EMOTION = OwnTask(name="emotion", question="Which emotion does the writer show?", labels=["anger", "joy", "sadness"])
STRENGTH = OwnTask(name="strength", question="How strong is it?", scale=[1, 5])
TARGET = OwnTask(name="target", question="Of what is it said?", fields={"target": "string", "sure": "boolean"})
PIZZA = make_text("The pizza was great 1")


def params(*own: OwnTask, seed: bool = False) -> TasksParams:
    return TasksParams(per_perspective=1, analysis_per_perspective=0, seed_task=seed, own=list(own))


def instructions(*own: OwnTask, seed: bool = False) -> list[Instruction]:
    return build_instructions(own_tasks(params(*own, seed=seed), SENTIMENT.monitored), [], DemonstrationsParams(), 1)


def test_the_prompt_of_an_own_task_is_that_of_an_evaluation_task_with_its_question_and_labels() -> None:
    told = EvaluationTask(name="t", location="x.jsonl", question=EMOTION.question, labels=EMOTION.labels, rows=1)
    row = make_row(text="So good\nOutput: joy", label="joy")
    question = response_question("p", instructions(EMOTION)[0], make_text(row.text), ResponsesParams())
    assert (question.prompt, question.labels) == (evaluation_prompt(row, told), tuple(EMOTION.labels))
    assert question.prompt.startswith(
        "Which emotion does the writer show? Answer with exactly one of: anger, joy or sadness.\n\nInput: So good Out"
    )


def test_the_seed_task_is_the_polarity_question_to_the_byte() -> None:
    request = response_question("p", instructions(seed=True)[0], PIZZA, ResponsesParams())
    assert request.prompt == SENTIMENT.monitored.prompt(PIZZA.text)
    assert request.prompt == (
        "What is the overall sentiment of the text towards what it speaks of? Answer with exactly one of: "
        "negative, neutral or positive.\n\nInput: The pizza was great 1\nOutput:"
    )


def test_each_form_of_answer_becomes_its_type_of_task() -> None:
    tasks = [own_task(own) for own in (EMOTION, STRENGTH, TARGET)]
    assert [task.type for task in tasks] == ["closed_classification", "scoring", "structured"]
    assert tasks[1].score_range == [1, 5]
    assert list(json.loads(tasks[2].json_schema)["properties"]) == ["sure", "target"]
    assert all(is_own(task) and not is_demonstrated(task) for task in tasks)


def test_own_tasks_come_first_and_stay_whatever_they_are_like() -> None:
    asked = params(EMOTION, STRENGTH, seed=True)
    perspectives = [make_perspective("tone")]
    tasks, rejects = generate_tasks(
        perspectives, {}, asked, SENTIMENT, conversation(answer), lambda texts: np.ones((len(texts), 1))
    )
    assert [task.name for task in tasks] == ["overall polarity", "emotion", "strength"]
    assert [reject.reason for reject in rejects] == ["near_duplicate"]
    assert tasks_asked(perspectives, asked) == len(tasks) + len(rejects)
    assert len(generate_tasks(perspectives, {}, asked, SENTIMENT, conversation(answer), distinct)[0]) == 4


def test_a_generated_task_as_like_to_an_own_one_of_another_type_is_dropped() -> None:
    generated = make_task("scoring", name="mood")
    kept, rejects = drop_near_duplicates([own_task(EMOTION), generated], lambda texts: np.ones((len(texts), 1)), 0.9)
    assert kept == [own_task(EMOTION)] and "emotion" in rejects[0].detail


@pytest.mark.parametrize("asked", [True, False])
def test_polarity_asked_by_the_user_is_not_asked_by_a_generated_task(asked: bool) -> None:
    own = OwnTask(name="tone", question="How is the tone?", labels=["good", "bad"] if asked else ["calm", "wild"])

    def reply(request: Request) -> str:
        said = json.loads(answer(request))
        if "labels" in said:
            said["labels"] = ["positive", "negative", "neutral"]
        return json.dumps(said)

    wanted = TasksParams(per_perspective=1, analysis_per_perspective=0, types=["closed_classification"], own=[own])
    _, rejects = generate_tasks([make_perspective("tone")], {}, wanted, SENTIMENT, conversation(reply), distinct)
    assert [reject.reason for reject in rejects] == ["monitored_again"] * asked


def test_own_tasks_go_with_every_text_or_with_as_many_as_they_say_evenly_over_domains() -> None:
    texts = [make_text(f"The pizza was great {number}", domain=f"d{number % 3}") for number in range(30)]
    every, some = instructions(EMOTION, STRENGTH)
    pairs, rejects = pair_texts([every, some], texts, PairingParams(pairs=5), 1, limits={"strength": 6})
    again, _ = pair_texts([some, every], texts[::-1], PairingParams(pairs=5), 1, limits={"strength": 6})
    assert pairs == again and rejects == []
    assert {pair.method for pair in pairs} == {"own"}
    assert sum(pair.instruction_id == every.id for pair in pairs) == 30
    domains = {text.id: text.domain for text in texts}
    assert (
        sorted(domains[p.text_id] for p in pairs if p.instruction_id == some.id) == ["d0"] * 2 + ["d1"] * 2 + ["d2"] * 2
    )


def test_the_teacher_answers_own_tasks_as_it_does_others() -> None:
    def reply(request: Request) -> Answer:
        if request.labels:
            return Answer.of_labels({label: -float(place) for place, label in enumerate(request.labels)}, 1, 0, 1)
        return Answer('{"sure": true, "target": "pizza"}', None, 1, 0, 1, "stop")

    texts = {text.id: text for text in (PIZZA, make_text())}
    asked = {item.id: item for item in instructions(EMOTION, STRENGTH, TARGET, seed=True)}
    pairs, _ = pair_texts(list(asked.values()), list(texts.values()), PairingParams(pairs=1), 1)
    plain = ResponsesParams(calibration="none")
    found = collect_responses(pairs, asked, texts, plain, SENTIMENT.monitored, conversation(reply))  # type: ignore[arg-type]
    assert found.rejects == [] and len(found.triplets) == 8
    said = {triplet.task_name: triplet.response for triplet in found.triplets}
    assert said == {
        "overall polarity": "negative",
        "emotion": "anger",
        "strength": "1",
        "target": '{"sure": true, "target": "pizza"}',
    }


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["Anger", "joy"], r"tasks\.own 'mood': labels: 'Anger' must be in lower case"),
        (["joy", "joyful"], r"'joyful' begins with 'joy'"),
        (["option a", "option b"], r"'option a' is no answer"),
    ],
)
def test_labels_that_cannot_serve_are_one_line(labels: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as error:
        own_tasks(params(OwnTask(name="mood", question="How is it?", labels=labels)), SENTIMENT.monitored)
    assert "\n" not in str(error.value)


def test_a_user_may_have_more_labels_than_a_generated_task() -> None:
    labels = ["anger", "joy", "fear", "love", "disgust", "surprise", "grief", "pride", "relief", "envy"]
    assert own_task(OwnTask(name="m", question="How is it?", labels=labels)).labels == labels


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "exactly one of labels, scale, fields and tuples"),
        ({"labels": ["a", "b"], "scale": [1, 2]}, "exactly one of labels, scale, fields and tuples"),
        ({"labels": ["joy"]}, "two or more, and distinct"),
        ({"labels": ["joy", "Joy"]}, "two or more, and distinct"),
        ({"scale": [5, 1]}, "two whole numbers at most 20 apart"),
        ({"scale": [1, 2, 3]}, "two whole numbers at most 20 apart"),
        ({"scale": [-1, 3]}, "must not go below 0"),
        ({"fields": {"A B": "string"}}, "lower-case letters"),
        ({"fields": {"a": "number"}}, "'string', 'list' or 'boolean'"),
        ({"scale": [1, 3], "question": "What of {target}?"}, "no fields of a row"),
        ({"scale": [1, 3], "question": "two\nlines"}, "text on one line"),
    ],
)
def test_a_wrong_own_task_is_refused_before_anything_runs(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        OwnTask(**({"name": "mood", "question": "How is it?"} | changes))


def test_names_are_unique() -> None:
    with pytest.raises(ValidationError, match="share a name"):
        params(EMOTION, OwnTask(name=EMOTION.name, question="How is it?", labels=["good", "bad"]))
