"""A version asked about tasks and questions through MLflow: prompts, priors and whence they are, against plain sums."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from compeffdist.cli.main import main
from compeffdist.domain import load_domain
from compeffdist.errors import UserError
from compeffdist.label_priors import calibrate, prior_of, shrunk_prior
from compeffdist.params import FineTuningParams, LabelPriorsParams, RegistryParams, RuntimeParams, ServingParams
from compeffdist.registry.asking import ask_model, even_parts, tasks_of
from compeffdist.registry.carrying import carried_by
from compeffdist.registry.model import NEUTRAL, NEUTRAL_SHARE
from compeffdist.registry.prompted_rows import read_prompted_rows
from compeffdist.registry.questions import Carried, Question, ask_closed, read_request
from compeffdist.registry.register import register_student
from compeffdist.student.loading import load_student
from compeffdist.student.prediction import label_logprobs
from compeffdist.student.training import TrainingRow, fine_tune
from tests.fakes import SENTIMENT, SYSTEM
from tests.registry.test_questions import MOOD, instruction

POLARITY = Carried().tasks[SENTIMENT.monitored.name]

DOMAINS_FOLDER = Path(__file__).parents[2] / "domains"
OWN_TEXTS = [f"the film was great {n}" for n in range(12)]
INSTRUCTIONS = [instruction("mood", MOOD.instruction), instruction("scene", "Which scene?", "p")]


def carry(student: Path, base: Path, **changes: Any) -> Carried:
    params = LabelPriorsParams(**({"strength": 1.0, "texts": 12, "least": 4} | changes))
    taught = {INSTRUCTIONS[1].id}
    texts = OWN_TEXTS if params.strength else []
    return carried_by(
        student, base, INSTRUCTIONS, taught, texts, params, RuntimeParams(device="cpu"), SENTIMENT.monitored
    )


@pytest.fixture
def carried(student_folder: Path, base_folder: Path) -> Carried:
    return carry(student_folder, base_folder)


@pytest.fixture
def uri(student_folder: Path, base_folder: Path, carried: Carried) -> str:
    name = f"questions-{student_folder.parent.name}"
    settings = RegistryParams(model_name=name, experiment="tests")
    register_student(student_folder, base_folder, settings, {}, carried=carried.to_files(12))
    return f"models:/{name}@candidate"


@pytest.fixture
def likelihoods(student_folder: Path, base_folder: Path) -> Any:
    model, tokenizer = load_student(student_folder, "cpu", base=base_folder)

    def ask(question: Question, texts: list[str]) -> list[dict[str, float]]:
        # one at a time: what a row gets must not hang on the rows beside it
        prompts = [question.message(text) for text in texts]
        return [label_logprobs(model, tokenizer, [prompt], question.labels, system=SYSTEM)[0] for prompt in prompts]

    return ask


def close(found: dict[str, Any], expected: dict[str, float]) -> bool:
    return bool(found["probabilities"] == pytest.approx(expected, rel=0.05))


def test_answers_are_likelihoods_with_the_right_prior_taken_out(uri: str, likelihoods: Any, carried: Carried) -> None:
    assert set(carried.priors) == {"overall polarity", "mood"}
    never = ask_closed("Is it day?", "day,night")
    seen = [f"a film {n}" for n in range(5)]
    rows = [
        {"text": "dreadful"},
        {"text": "dreadful", "task": "mood"},
        {"text": "dreadful", "question": "How is it?", "labels": "good,bad"},
        {"text": "dreadful", "question": "Is it day?", "labels": "day,night"},
        *({"text": text, "task": "scene"} for text in seen),
        {"prompt": "say something"},
    ]
    results = list(ask_model(uri, rows))
    assert [r.get("prior") for r in results] == ["version"] * 3 + ["neutral"] + ["request"] * 5 + [None]
    assert results[0]["polarity"] == results[0]["label"] and "polarity" not in results[1]
    plain = likelihoods(POLARITY, ["dreadful"])
    assert close(results[0], calibrate(plain, carried.priors["overall polarity"])[0])
    assert close(results[1], calibrate(likelihoods(MOOD, ["dreadful"]), carried.priors["mood"])[0])
    assert results[2] == results[1]
    neutral = prior_of(likelihoods(never, list(NEUTRAL)))
    assert close(results[3], calibrate(likelihoods(never, ["dreadful"]), neutral, NEUTRAL_SHARE)[0])
    scene = likelihoods(Question("Which scene?", ("good", "bad")), seen)
    for found, expected in zip(results[4:9], calibrate(scene, shrunk_prior(scene)), strict=True):
        assert close(found, expected)
    assert all(
        result["label"] == max(result["probabilities"], key=result["probabilities"].get) for result in results[:9]
    )
    assert isinstance(results[9]["answer"], str)


def test_priors_carried_are_means_over_own_texts(likelihoods: Any, carried: Carried) -> None:
    for name, question in (("overall polarity", POLARITY), ("mood", MOOD)):
        assert carried.priors[name] == pytest.approx(shrunk_prior(likelihoods(question, OWN_TEXTS)), rel=0.05)


def test_one_text_over_and_over_is_no_estimate(uri: str) -> None:
    rows = [{"text": "dreadful", "task": "scene"}] * 6
    results = list(ask_model(uri, rows))
    assert {result["prior"] for result in results} == {"neutral"}
    assert close(results[0], next(iter(ask_model(uri, rows[:1])))["probabilities"])


def test_a_request_may_say_how_much_of_the_prior_is_taken_out(uri: str, likelihoods: Any, carried: Carried) -> None:
    rows = [{"text": "dreadful", "task": "mood"}]
    plain = likelihoods(MOOD, ["dreadful"])
    none, half = (next(iter(ask_model(uri, rows, strength))) for strength in (0.0, 0.5))
    assert none["prior"] == "none" and close(none, {key: math.exp(value) for key, value in plain[0].items()})
    assert half["prior"] == "version" and close(half, calibrate(plain, carried.priors["mood"], 0.5)[0])
    with pytest.raises(UserError, match="must be from 0 to 1, got 2"):
        list(ask_model(uri, rows, 2.0))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "a", "task": "nope"}, "no task 'nope'"),
        ({"text": "a", "question": "q", "labels": "yes"}, "2 to 32 labels"),
        ({"text": "x " * 4000, "task": "mood"}, "context holds"),
    ],
)
def test_what_cannot_be_asked_is_one_line(uri: str, row: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as error:
        list(ask_model(uri, [row]))
    assert "\n" not in str(error.value)


def test_another_prior_is_another_version_and_the_same_one_is_not(student_folder: Path, base_folder: Path) -> None:
    settings = RegistryParams(model_name=f"carried-{student_folder.parent.name}", experiment="tests")
    made = [
        register_student(
            student_folder, base_folder, settings, {}, carried=carry(student_folder, base_folder, **c).to_files(12)
        )
        for c in ({}, {}, {"strength": 0.0}, {})
    ]
    assert [one.version for one in made] == [1, 1, 2, 1]
    assert [one.reused for one in made] == [False, True, False, True]


def test_predict_asks_a_task_or_a_question_of_texts_and_rows(
    uri: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["predict", "--model", uri, "--list-tasks"])
    assert capsys.readouterr().out.splitlines() == [
        "overall polarity: negative, neutral or positive",
        "mood: good or bad",
        "scene: good or bad",
    ]
    assert [task["name"] for task in tasks_of(uri)] == ["overall polarity", "mood", "scene"]

    main(["predict", "--model", uri, "--text", "so fine", "--task", "mood"])
    printed = capsys.readouterr()
    assert printed.out.split()[0] in ("good", "bad") and printed.out.endswith("  so fine\n")
    assert "label priors" not in printed.err

    main(["predict", "--model", uri, "--text", "so fine", "--question", "Day?", "--labels", "day, night", "--json"])
    printed = capsys.readouterr()
    asked = json.loads(printed.out)
    assert asked["prior"] == "neutral" and set(asked["probabilities"]) == {"day", "night"}
    assert printed.err.splitlines()[-1].startswith("label priors: 1 rows by neutral")

    path = tmp_path / "rows.jsonl"
    rows = [{"text": "so fine"}, {"text": "so fine", "question": "Day?", "labels": ["day", "night"]}, {"prompt": "say"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    main(["predict", "--model", uri, "--file", str(path), "--task", "mood", "--no-priors", "--json"])
    first, second, third = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["task"], first["prior"], second["prior"], set(third)) == (
        "mood",
        "none",
        "none",
        {"prompt", "answer"},
    )
    assert set(second["probabilities"]) == {"day", "night"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--text", "a", "--question", "q"], "--question and --labels go together"),
        (["--text", "a", "--labels", "a,b"], "--question and --labels go together"),
        (["--prompt", "a", "--task", "mood"], "--task is asked of texts"),
    ],
)
def test_arguments_that_do_not_go_together_are_one_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["predict", *arguments])
    assert reason in capsys.readouterr().err.splitlines()[-1]


def test_a_version_of_before_names_no_tasks(student_folder: Path, base_folder: Path) -> None:
    name = f"old-{student_folder.parent.name}"
    register_student(student_folder, base_folder, RegistryParams(model_name=name, experiment="tests"), {})
    with pytest.raises(UserError, match="names no tasks"):
        tasks_of(f"models:/{name}@candidate")
    with pytest.raises(UserError, match="nobody"):
        tasks_of("models:/nobody@candidate")


def test_rows_are_sent_in_even_requests() -> None:
    for count in (1, 255, 256, 257, 600, 1000):
        parts = even_parts(count, 256)
        assert [place for part in parts for place in part] == list(range(count))
        assert len(parts) == math.ceil(count / 256) and max(map(len, parts)) - min(map(len, parts)) <= 1


def test_half_a_character_in_a_request_is_left_out(uri: str) -> None:
    halves = [{"text": "the film was gr\ud83deat", "question": "Wh\ude00ich?", "labels": "good\ud83d,bad"}]
    whole = [{"text": "the film was great", "question": "Which?", "labels": "good,bad"}]
    assert list(ask_model(uri, halves)) == list(ask_model(uri, whole))
    with pytest.raises(UserError, match="row 1: expected a non-empty text"):
        list(ask_model(uri, [{"text": "\ud83d"}]))
    frames = [pd.DataFrame(rows, dtype=object) for rows in (halves, whole)]
    asked = [read_request(frame, Carried(), ServingParams()) for frame in frames]
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"text": "a", "labels": ["a,b", "c"], "question": "q"}, "row 1: `labels` must be a string, or a list"),
        ({"text": "a", "task": 3}, "row 1: `task` must be a string"),
    ],
)
def test_a_file_row_of_another_type_is_named(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=reason):
        read_prompted_rows(path)


def test_a_version_of_another_domain_asks_its_question_under_its_system_prompt(
    base_folder: Path, tmp_path: Path
) -> None:
    domain = load_domain("support", DOMAINS_FOLDER)
    rows = [TrainingRow(f"sample_{n}", f"the printer is broken {n}", "soon") for n in range(3)]
    system, student = domain.system_prompts.student, tmp_path / "student"
    settings = FineTuningParams(epochs=1.0)
    fine_tune(base_folder, rows, settings, base_id="b", system=system, seed=1, output=student, stage="s", device="cpu")
    carried = carried_by(
        student, base_folder, [], set(), OWN_TEXTS, LabelPriorsParams(), RuntimeParams(device="cpu"), domain.monitored
    )
    named = RegistryParams(model_name="support", experiment="tests")
    register_student(student, base_folder, named, {}, carried=carried.to_files(12))
    asked = [
        {"text": "dreadful"},
        {"text": "dreadful", "question": "Is it day?", "labels": "day,night"},
        {"prompt": "say something"},
    ]
    plain, closed, free = ask_model("models:/support@candidate", asked, strength=0.0)
    assert plain["urgency"] == plain["label"] and set(closed["probabilities"]) == {"day", "night"} and "answer" in free
    model, tokenizer = load_student(student, "cpu")
    prompts = [domain.monitored.prompt("dreadful")]
    [expected] = label_logprobs(model, tokenizer, prompts, domain.monitored.labels, system=system)
    assert close(plain, {label: math.exp(value) for label, value in expected.items()})
    assert [task["name"] for task in tasks_of("models:/support@candidate")] == ["urgency"]
