"""What a teacher or its server says: a value that meets the schema, a reject with a reason, or a failed request."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
from hypothesis import strategies as st

from compeffdist.benchmark.tasks import BenchmarkTask
from compeffdist.benchmark.tuples import exact_counts, graph_counts, read_tuples
from compeffdist.instructions.answers import check_answer
from compeffdist.instructions.enumerate_attributes import enumerate_attributes
from compeffdist.instructions.generate_tasks import generate_tasks
from compeffdist.instructions.write_demonstrations import write_demonstrations
from compeffdist.params import AttributesParams, DemonstrationsParams, TasksParams, TuplePart
from compeffdist.teacher.engine import RequestFailed
from compeffdist.teacher.label_reading import chosen_label, first_token_candidates, first_token_likelihood
from compeffdist.teacher.parsing import BadAnswer, parse_json, without_thoughts
from compeffdist.teacher.replies import dig, reply_text, thinks, token_counts
from compeffdist.teacher.requests import Answer
from compeffdist.teacher.server_errors import hidden_status, read_body, reason
from tests.factories import make_attribute, make_perspective, make_task, make_text
from tests.fakes import SENTIMENT, conversation
from tests.fuzz.hostile import as_json, damaged, replaced, texts, values
from tests.fuzz.hunting import Target

SCHEMAS = (
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]},
    {"type": "array", "items": {"type": "string"}},
    {"type": ["string", "number", "boolean"]},
)
AROUND = ("", "```json\n", "```", "<think>", "</think>", "Sure! ", '{"answer": ', "}", "[", "]", "\n\n", "\\", '"')


@st.composite
def said(draw: st.DrawFn, value: st.SearchStrategy[Any] | None = None) -> str:
    """JSON with things around it, or broken, or no JSON."""
    inner = json.dumps(draw(values() if value is None else value), ensure_ascii=draw(st.booleans()))
    if draw(st.booleans()):
        broken = draw(damaged(inner.encode("utf-8", "surrogatepass"), 2))
        inner = broken.decode("utf-8", "replace")
    before, after = (draw(st.lists(st.one_of(st.sampled_from(AROUND), texts(1)), max_size=3)) for _ in range(2))
    return "".join((*before, inner, *after))


fitting = st.one_of(
    st.fixed_dictionaries({"a": texts(2), "b": st.integers()}), st.lists(texts(1), max_size=3), texts(2), values()
)


def structured(case: tuple[str, int], folder: Path) -> None:
    answer, which = case
    schema = dict(SCHEMAS[which])
    try:
        value = parse_json(answer, schema)
    except ValueError as error:
        assert str(error) and "\n" not in str(error)
        return
    jsonschema.validate(value, schema)
    json.dumps(value, ensure_ascii=False).encode()
    try:
        whole = json.loads(answer)
        jsonschema.validate(whole, schema)
    except (ValueError, RecursionError, jsonschema.ValidationError):
        return
    if not (isinstance(whole, dict) and whole.keys() == {"answer"}):
        assert json.dumps(value) == json.dumps(whole), (value, whole)


def label(case: tuple[str, list[str], bool], folder: Path) -> None:
    answer, labels, cut = case
    without_thoughts(answer)
    try:
        found = chosen_label(answer, labels, cut=cut)
    except RequestFailed as error:
        assert str(error)
        return
    assert found in labels
    if answer.strip() in labels:
        assert found == answer.strip()


def reply(case: Any, folder: Path) -> None:
    """The body of a server's reply."""
    for body in (case, read_body(as_json(case).decode())):
        reason(body), hidden_status(body)
        if isinstance(body, dict):
            assert all(isinstance(count, int) and count >= 0 for count in token_counts(body))
            for held in (False, True):
                try:
                    text, finish = reply_text(body, held)
                except RequestFailed:
                    continue
                text.encode()
                assert finish in ("stop", "length")
    choice = dig(case, "choices", 0)
    if isinstance(choice, dict):
        thinks(choice)
        top = first_token_candidates(choice)
        assert all(value <= 0.011 for value in top.values())
        likelihood = first_token_likelihood(("good", "bad"), top) if top else None
        assert likelihood is None or abs(sum(map(np.exp, likelihood.values())) - 1) < 1e-6


TOP = [{"token": "good", "logprob": -0.1}, {"token": " bad", "logprob": -3.0}]
REPLY = {
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "good", "reasoning_content": "hm"},
            "logprobs": {"content": [{"token": "good", "logprob": -0.1, "top_logprobs": TOP}]},
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}},
    "error": None,
}


# ---------------------------------------------------------------- stages that ask

SPEAKS = {
    "attributes": [{"attribute": "tone", "description": "how", "value": "warm"}] * 2,
    **{f"task_{n}": {"name": f"Side {n}", "purpose": "Do it."} for n in range(1, 4)},
    "prompts": ["Explain the tone of this text."],
    "description": "Say how warm it is.",
    "labels": ["warm", "cold", "cool"],
    "lowest": 1,
    "highest": 5,
    "verbatim": True,
    "fields": [{"field": "tone", "type": "string"}, {"field": "mixed", "type": "boolean"}],
    **{f"instance_{n}": {"input": f"It was warm {n}.", "output": "warm", "aim": "warm"} for n in range(1, 4)},
}


def stages(replies: list[str], folder: Path) -> None:
    """Whatever a teacher says to whichever question, it is used or rejected, and what is used can be written."""

    def answering() -> Any:
        turn = iter(range(10**6))

        def answer(request: Any) -> Any:
            said = replies[next(turn) % len(replies)]
            if request.labels:
                return Answer.of_choice(request.labels[0], 1, 0, 1)
            return _held(said, request.schema)

        return conversation(answer)

    found = enumerate_attributes(
        [make_text(f"text {n}") for n in range(2)],
        AttributesParams(texts=2, max_per_text=3),
        SENTIMENT.attributes,
        answering(),
    )
    tone = make_perspective("tone")
    tasks, rejects = generate_tasks(
        [tone],
        {"tone": make_attribute("tone")},
        TasksParams(per_perspective=2, analysis_per_perspective=1),
        SENTIMENT,
        answering(),
        lambda texts: np.eye(len(texts)),
    )
    shown, refused = write_demonstrations(
        [*tasks, make_task()],
        [make_text(f"text {n}") for n in range(3)],
        DemonstrationsParams(),
        SENTIMENT.demonstrations,
        answering(),
    )
    for record in (*found.mentions, *found.rejects, *found.nameless, *tasks, *rejects, *shown, *refused):
        json.dumps(record.to_row(), ensure_ascii=False).encode()


def _held(said: str, schema: str) -> str:
    """An answer by a schema whose texts are hostile, where what is said is a text marked so."""
    if not said.startswith("\x00"):
        return said
    return json.dumps(_of(json.loads(schema), said[1:]))


def _of(schema: Any, text: str) -> Any:
    if "enum" in schema or "const" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    match schema.get("type"):
        case "object":
            return {name: _of(inner, f"{text}{name}") for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [_of(schema.get("items", {}), f"{text}{n}") for n in range(max(schema.get("minItems", 1), 1))]
        case "integer" | "number":
            return 3
        case "boolean":
            return True
    return (text + "aaa")[: schema.get("maxLength", 99)]


def one_answer(case: tuple[str, str, str, list[str]], folder: Path) -> None:
    kind, text, answer, labels = case
    parts = {"type": "array", "items": {"type": "string"}}
    task = make_task(kind, labels=labels if kind == "closed_classification" else [])
    if kind == "extraction":
        task = make_task(kind, json_schema=json.dumps(parts), exact_spans=True, labels=[])
    try:
        found = check_answer(task, "Tone finder", "Find the tone.", text, answer)
    except BadAnswer as bad:
        assert bad.reason
        return
    found.encode("utf-8", "surrogatepass")
    assert kind != "closed_classification" or found in task.labels


GRAPH = BenchmarkTask(
    name="graph",
    family="f",
    question="Which opinions?",
    metric="sentiment_graph_f1",
    fields=[
        TuplePart(name="holder", from_text=True, may_be_absent=True),
        TuplePart(name="target", from_text=True, may_be_absent=True),
        TuplePart(name="expression", from_text=True),
        TuplePart(name="polarity", values=["positive", "negative"]),
    ],
)
ITEM = {"holder": "I", "target": "the film", "expression": "loved AND liked", "polarity": "positive"}


def tuples(case: tuple[str, list[list[str]]], folder: Path) -> None:
    answer, gold = case
    text = "I loved the film and liked the plot."
    found = read_tuples(answer, GRAPH, text)
    parts = [tuple(one) for one in gold]
    for counts in (exact_counts(found, parts), graph_counts(found, parts, text)):
        assert 0 <= counts[0] <= counts[1] + 1e-9 and 0 <= counts[2] <= counts[3] + 1e-9


gold_parts = st.sampled_from(["I", "the film", "loved", "NULL", "", " ", "positive", "absent"])
golds = st.lists(st.lists(gold_parts, min_size=4, max_size=4), max_size=3)
some_labels = st.one_of(texts(2, False), st.sampled_from(["good", "bad", "1", "10"]))
labels = st.lists(some_labels, min_size=2, max_size=4, unique=True)
TARGETS = (
    Target("answers.json", st.tuples(said(fitting), st.integers(0, 2)), structured),
    Target("answers.label", st.tuples(st.one_of(said(), texts(5)), labels, st.booleans()), label),
    Target("answers.reply", st.one_of(replaced(REPLY), values()), reply),
    Target(
        "answers.stages",
        st.lists(
            st.one_of(said(replaced(SPEAKS)), texts(4).map(lambda t: "\x00" + t), texts(2)), min_size=1, max_size=4
        ),
        stages,
        share=0.3,
    ),
    Target(
        "answers.task",
        st.tuples(
            st.sampled_from(["closed_classification", "extraction", "open_classification"]),
            texts(4, False),
            st.one_of(said(), texts(4)),
            labels,
        ),
        one_answer,
    ),
    Target("answers.tuples", st.tuples(said(st.lists(replaced(ITEM), max_size=3)), golds), tuples),
)
