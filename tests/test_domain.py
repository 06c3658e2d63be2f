"""A domain is data: both files hold, a fault is one line with file and key, nothing of one is in another's prompts."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from compeffdist.domain import DOMAINS, PARTS, RESERVED, domain_here, domain_names, domain_of, filled, load_domain
from compeffdist.environment import PRIVATE
from compeffdist.errors import UserError
from compeffdist.instructions.label_sets import repeats
from compeffdist.instructions.own_tasks import check_questions, own_tasks
from compeffdist.instructions.schemas import FIELD_KINDS
from compeffdist.instructions.task_questions import FORMS
from compeffdist.params import EvaluationParams, EvaluationTask, validate_params
from compeffdist.profiles import compose
from compeffdist.prompting import one_of
from compeffdist.records import GENERATED_TYPES, FieldType
from compeffdist.registry.questions import COLUMNS
from tests.asked import WORDS_OF_SENTIMENT, ask_every_stage
from tests.fakes import put_domains
from tests.stages import ROOT

FOLDER = ROOT / DOMAINS
TICKETS = [
    "The router drops every hour since the update; I restarted it twice. Our whole office is offline.",
    "My invoice names the wrong company. No hurry, next month is fine.",
    "Third ticket: the app closes when I open a <text> file, cache cleared, please call back today.",
]


def written(folder: Path, change: Any) -> Path:
    """A copy of the default domain, changed."""
    raw = yaml.safe_load((FOLDER / "sentiment.yaml").read_text())
    change(raw)
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return folder


@pytest.mark.parametrize("name", domain_names(FOLDER))
def test_a_domain_of_ours_does_not_repeat_its_own_examples_and_knows_its_question_again(name: str) -> None:
    domain = load_domain(name, FOLDER)
    assert repeats(domain.monitored.labels, domain.monitored.repeated_by)
    assert not repeats(
        domain.tasks.types["closed_classification"].definition.labels or [], domain.monitored.repeated_by
    )
    assert {word for word in domain.tasks.example_words if word in domain.tasks.example_attribute}


def test_no_prompt_of_support_tickets_speaks_of_sentiment() -> None:
    asked = ask_every_stage(load_domain("support", FOLDER), TICKETS)
    assert {stage: len(requests) > 0 for stage, requests in asked.items()} == dict.fromkeys(asked, True)
    for request in (request for requests in asked.values() for request in requests):
        said = f"{request.system}\n{request.prompt}\n{request.schema}\n{' '.join(request.labels)}"
        assert not WORDS_OF_SENTIMENT.search(said), said
        if request.labels and not {*request.labels} <= {*"01234"}:  # a scale has its ends in words
            assert one_of(request.labels) in request.prompt
        if request.labels and "How urgently does the ticket" in request.prompt:
            assert request.labels == ("can wait", "soon", "at once")
    assert asked["collect_responses"][0].labels == ("can wait", "soon", "at once")
    # from there on a task is shown as training shows it, whatever its domain
    for request in (request for stage in ("enumerate_attributes", "generate_tasks") for request in asked[stage]):
        assert not re.search(r"\b(a|the|this) text\b", request.prompt), request.prompt


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw.pop("monitored"), r"mine\.yaml: monitored: Field required"),
        (lambda raw: raw["monitored"].update(label=["a", "b"]), r"mine\.yaml: monitored\.label: unknown key"),
        (lambda raw: raw["monitored"].update(labels=["up"]), r"mine\.yaml: monitored\.labels: .*at least 2"),
        (lambda raw: raw["monitored"].update(labels=["Up", "up "]), r"mine\.yaml: monitored: .*two are the same"),
        (
            lambda raw: raw["monitored"].update(question="How {loud}?"),
            r"monitored\.question: unknown placeholder {loud}",
        ),
        (
            lambda raw: raw["attributes"].update(prompt="{count} {example_text} {example}"),
            r"prompt: .*{text} is missing",
        ),
        (
            lambda raw: raw["demonstrations"].update(prompt="{style}"),
            r"demonstrations\.prompt: unknown placeholder {style}",
        ),
        (lambda raw: raw["tasks"]["types"].pop("scoring"), r"mine\.yaml: tasks: types: 'scoring' is missing"),
        (lambda raw: raw["tasks"]["types"].update(quiz=raw["tasks"]["types"]["scoring"]), r"'quiz' is no type of task"),
        (lambda raw: raw["tasks"]["types"]["structured"].update(definition={"description": "x"}), r"fields is missing"),
        (lambda raw: raw.update(name="mine"), r"mine\.yaml: expected a mapping of sections .* without a name"),
        (lambda raw: raw["system_prompts"].update(student=7), r"system_prompts\.student: .*string"),
    ],
)
def test_a_fault_is_one_line_naming_file_and_key(tmp_path: Path, change: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as fault:
        load_domain("mine", written(tmp_path / "domains", change))
    assert "\n" not in str(fault.value)


def test_a_domain_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: no such file; the param `domain` names one of: mine"):
        load_domain("none", written(tmp_path / "domains", lambda raw: None))
    (tmp_path / "domains" / "torn.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"torn\.yaml: not valid YAML"):
        load_domain("torn", tmp_path / "domains")
    (tmp_path / "domains" / "odd.yaml").mkdir()
    with pytest.raises(UserError, match=r"odd\.yaml: cannot be read: Is a directory"):
        load_domain("odd", tmp_path / "domains")
    (tmp_path / "domains" / "lost.yaml").symlink_to("nowhere")
    with pytest.raises(UserError, match=r"lost\.yaml: no such file; .* one of: mine, torn$"):
        load_domain("lost", tmp_path / "domains")


@pytest.mark.parametrize("name", ["../sentiment", "a/b", "", "sentiment.yaml", "-x"])
def test_the_param_names_a_file_and_no_path(name: str) -> None:
    raw = compose("smoke", ROOT / "profiles") | {"domain": name}
    with pytest.raises(UserError, match=r"params\.yaml: domain: must be the name of a file in domains/"):
        validate_params(raw, "params.yaml")


def test_a_task_of_the_user_s_own_may_not_have_the_name_of_the_domain_s_question() -> None:
    raw = compose("smoke", ROOT / "profiles") | {"domain": "support"}
    raw["tasks"]["own"] = [{"name": "urgency", "question": "How soon?", "labels": ["soon", "later"]}]
    params = validate_params(raw, "params.yaml")
    with pytest.raises(UserError, match=r"tasks\.own: 'urgency' is the name of the domain's own question"):
        own_tasks(params.tasks, domain_of(params, FOLDER).monitored)


def test_outside_a_checkout_the_default_domain_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert domain_here().name == "sentiment"


def test_dvc_runs_a_stage_again_when_its_domain_changes_and_for_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put_domains()
    stage = {"cmd": "echo ran >> ran.txt", "deps": ["domains/${domain}.yaml"], "params": ["domain"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"ask": stage}}))
    Path("params.yaml").write_text("domain: sentiment\n")
    env = {**os.environ, **PRIVATE}

    def runs() -> int:
        command = [str(Path(sys.executable).parent / "dvc"), "repro", "-q"]
        subprocess.run(command, env=env, check=True)
        return len(Path("ran.txt").read_text().splitlines())

    subprocess.run([str(Path(sys.executable).parent / "dvc"), "init", "-q", "--no-scm"], env=env, check=True)
    assert [runs(), runs()] == [1, 1]
    Path("domains/support.yaml").write_text("other: prompts\n")
    assert runs() == 1
    with Path("domains/sentiment.yaml").open("a") as file:
        file.write("# edited\n")
    assert runs() == 2
    Path("params.yaml").write_text("domain: support\n")
    assert runs() == 3


@given(st.text(), st.text())
def test_what_is_put_into_a_template_is_not_looked_into(first: str, second: str) -> None:
    assert filled("{a}|{b}|{a}", a=first + "{b}", b=second) == f"{first}{{b}}|{second}|{first}{{b}}"


def fault(folder: Path, keys: list[str], value: Any) -> str:
    """What is said of the default domain with one value changed, or left out if it is None."""

    def change(raw: Any) -> None:
        for key in keys[:-1]:
            raw = raw[key]
        raw[keys[-1]] = value
        if value is None:
            del raw[keys[-1]]

    with pytest.raises(UserError) as caught:
        load_domain("mine", written(folder / "domains", change))
    assert "mine.yaml" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


def evaluated(**task: Any) -> EvaluationParams:
    return EvaluationParams.model_validate({"tasks": [{"name": "own", "location": "own.csv", **task}]})


@pytest.mark.parametrize(("subject", "said"), [({}, "ticket"), ({"subject": "mail"}, "mail")])
def test_an_evaluation_task_without_a_question_is_asked_the_domain_s(subject: dict[str, str], said: str) -> None:
    params = evaluated(labels=["soon", "can wait"], **subject)
    [task] = load_domain("support", FOLDER).monitored.asked_in(params).tasks
    assert task.question == f"How urgently does the {said} ask for help?"


def test_a_subject_has_no_place_of_a_row_s_field() -> None:
    with pytest.raises(ValidationError, match="must not have a brace"):
        evaluated(labels=["soon", "can wait"], subject="a {x}")


def test_labels_that_do_not_answer_the_domain_s_question_want_one_of_their_own() -> None:
    monitored = load_domain("support", FOLDER).monitored
    with pytest.raises(UserError, match=r"'own' has no question.*'negative'.*give the task a question"):
        monitored.asked_in(evaluated(labels=["soon", "negative"]))
    own = evaluated(labels=["soon", "negative"], question="Which?")
    assert monitored.asked_in(own) == own


@pytest.mark.parametrize(
    ("place", "written"), [("question", "How {Subject}?"), ("question", "How {}?"), ("question", "How {subject!r}? }")]
)
def test_a_brace_that_is_no_place_is_refused(tmp_path: Path, place: str, written: str) -> None:
    assert "a brace may only hold one of subject" in fault(tmp_path, ["monitored", place], written)


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["monitored", "field"], "probabilities", "stands in a registered model's rows already"),
        (["monitored", "subject"], "a {x}", "has a brace"),
        (["tasks", "types", "closed_classification", "definition", "labels"], ["a"], "at least 2 items"),
        (["tasks", "types", "extraction", "definition"], {"description": "x", "verbatim": None}, "verbatim is missing"),
        (
            ["tasks", "types", "structured", "definition", "fields"],
            [{"field": "a", "type": "list"}, {"field": "A", "type": "string"}],
            "fields: two are the same",
        ),
        (["tasks", "types", "scoring", "definition", "lowest"], None, "lowest"),
        (["tasks", "types", "open_classification", "definition", "labels"], ["a", "b"], "labels is not of open"),
        (["tasks", "types", "closed_classification", "definition", "labels"], ["a", "a"], "two are the same"),
        (["tasks", "types", "scoring", "definition", "highest"], -100, "is not below highest"),
    ],
)
def test_a_domain_that_cannot_work_is_refused_when_it_is_read(
    tmp_path: Path, keys: list[str], value: Any, said: str
) -> None:
    assert said in fault(tmp_path, keys, value)


@pytest.mark.parametrize("labels", [["low", "low urgency", "high"], ["Can Wait", "soon"], ["n/a", "fine"]])
def test_labels_that_a_closed_task_cannot_have_are_told_before_the_first_stage(
    tmp_path: Path, labels: list[str]
) -> None:
    params = validate_params(compose("smoke", ROOT / "profiles") | {"domain": "mine"}, "params.yaml")
    own = EvaluationTask(name="own", location="own.csv", labels=labels)
    written(tmp_path / "domains", lambda raw: raw["monitored"].update(labels=labels))
    with contextlib.chdir(tmp_path), pytest.raises(UserError, match=r"mine\.yaml: monitored\.labels: "):
        check_questions(params.model_copy(update={"evaluation": EvaluationParams(tasks=[own])}))


def test_types_of_tasks_and_of_fields_are_the_same_wherever_something_is_said_of_each() -> None:
    assert {kind: {*form.properties} for kind, form in FORMS.items()} == PARTS
    assert tuple(PARTS) == GENERATED_TYPES and tuple(FIELD_KINDS) == get_args(FieldType)


def test_what_stands_in_a_row_of_a_registered_model_is_reserved() -> None:
    assert {*COLUMNS} < RESERVED


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"domain": "nosuch"}, "no such file; the param `domain` names one of: sentiment, support"),
        (
            {"tasks": {"own": [{"name": "overall polarity", "question": "Which?", "labels": ["yes", "no"]}]}},
            "the domain's own",
        ),
        ({"domain": "support"}, "give the task a question of its own"),
    ],
)
def test_what_cannot_be_asked_is_told_before_the_first_stage(change: dict[str, Any], said: str) -> None:
    raw = compose("smoke", ROOT / "profiles")
    for key, value in change.items():
        raw[key] = raw[key] | value if isinstance(value, dict) else value
    with contextlib.chdir(ROOT), pytest.raises(UserError, match=re.escape(said)):
        check_questions(validate_params(raw, "params.yaml"))
