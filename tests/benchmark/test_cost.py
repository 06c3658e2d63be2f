"""What 1,000 answers cost: by the user's prices, by tokens or by the hour, and unknown where it is not known."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compeffdist.benchmark.asking import TeacherHere
from compeffdist.benchmark.cost import Usage, cost_lines, costs
from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.params import Prices, RuntimeParams, TeacherParams, read_prices
from compeffdist.teacher.asking import BuyingTeacher
from compeffdist.teacher.conversation import Conversation
from compeffdist.teacher.engine import OnAnswer, OnFailure
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import Meter, Spent
from tests.benchmark.folder import write_benchmark, write_tasks
from tests.fakes import SENTIMENT
from tests.models.making import make_identity

PRICES = """
currency: EUR
date: 2026-11-29
prices:
  teacher: {prompt_tokens: 2, answer_tokens: 10.0}
  transformers: {hour: 0.36}
"""
COUNTED = Usage("vllm", answers=10, seconds=20.0, counted=50, prompt_tokens=10_000, answer_tokens=500)
TIMED = Usage("transformers", answers=400, seconds=100.0)


def prices(text: str = PRICES) -> Prices:
    path = Path("prices.yaml")
    path.write_text(text)
    return read_prices(path)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_tokens_where_they_are_counted_else_seconds_by_the_hour() -> None:
    told = costs(prices(), {"teacher": COUNTED, "models/student": TIMED})
    assert (told["currency"], told["date"]) == ("EUR", "2026-11-29")
    teacher, student = told["models"]["teacher"], told["models"]["models/student"]
    # 200 prompt tokens and 10 answer tokens an answer; a quarter of a second at 0.36 an hour
    assert teacher["per_1000_answers"] == pytest.approx(1000 * (200 * 2 + 10 * 10) / 1e6)
    assert student["per_1000_answers"] == pytest.approx(1000 * 0.25 * 0.36 / 3600)
    assert (teacher["by"], teacher["price"], teacher["answers"]) == ("tokens", "teacher", 50)
    assert (student["by"], student["price"], student["answers"]) == ("seconds", "transformers", 400)
    lines = cost_lines({"cost": told})
    assert lines[0] == (
        "teacher: 0.5 EUR per 1,000 answers, by tokens "
        "(10,000 prompt and 500 answer tokens of 50 answers; price of teacher)"
    )
    assert lines[1].startswith("models/student: 0.025 EUR per 1,000 answers, by seconds (100 s of 400 answers;")
    assert lines[-1] == "prices of 2026-11-29, the user's own"


def test_a_model_s_own_price_goes_before_its_engine_s() -> None:
    both = PRICES + "  models/student: {hour: 3.6}\n"
    told = costs(prices(both), {"models/student": TIMED, "models/warmup": TIMED})["models"]
    assert told["models/student"]["per_1000_answers"] == pytest.approx(10 * told["models/warmup"]["per_1000_answers"])


@pytest.mark.parametrize(
    ("usage", "model", "why"),
    [
        (COUNTED, "other", "no price of other or of engine vllm"),
        (Usage("vllm", 10, 20.0), "teacher", "its tokens are not known, and there is no price by the hour"),
        (Usage("transformers", 0, 0.0), "other", "every answer was there already: none took time"),
    ],
)
def test_what_is_not_known_stays_unknown_and_says_why(usage: Usage, model: str, why: str) -> None:
    told = costs(prices(), {model: usage})
    assert told["models"][model]["per_1000_answers"] is None and told["models"][model]["by"] is None
    assert cost_lines({"cost": told})[0] == f"{model}: cost per 1,000 answers unknown: {why}"


def test_without_prices_there_is_no_cost() -> None:
    assert cost_lines({"tasks": {}}) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prices: [", "not valid YAML"),
        ("- 1", "expected a mapping with currency, date, prices"),
        (PRICES.replace("currency: EUR", "currancy: EUR"), "currancy: unknown key"),
        (PRICES.replace("2026-11-29", "yesterday"), "date: must be a date such as 2026-11-29"),
        (PRICES.replace("hour: 0.36", "hour: -1"), "prices.transformers.hour: "),
        (PRICES.replace("hour: 0.36", "hour: .inf"), "prices.transformers.hour: "),
        (PRICES.replace("hour: 0.36", "hour: cheap"), "prices.transformers.hour: "),
        (PRICES.replace("{hour: 0.36}", "{}"), "expected prompt_tokens and answer_tokens, or hour"),
        (PRICES.replace(", answer_tokens: 10.0", ""), "prompt_tokens and answer_tokens go together"),
        ("currency: EUR\ndate: 2026-11-29\nprices: {}\n", "prices: "),
    ],
)
def test_a_mistake_in_the_file_is_one_line_naming_it(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        prices(text)
    assert said in str(caught.value) and str(caught.value).startswith("prices.yaml: ")
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- what answers took


class Engine:
    """Answers every question about labels; the one on `silence` by a server that counts no tokens."""

    name, starts, meter = "fake", 1, Meter()

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        for index, request in enumerate(requests):
            logprobs = {label: -math.log(len(request.labels)) for label in request.labels}
            on_answer(index, Answer.of_labels(logprobs, 0 if "silence" in request.prompt else 30, 10, 2))

    def at_most(self, request: Request) -> Spent:
        return Spent()

    def close(self) -> None:
        pass


def asked(*prompts: str) -> Usage:
    """Of a teacher in the working folder, whose store outlives it."""
    identity: Any = SimpleNamespace(id=make_identity("teacher", role="teacher").id)
    runtime = RuntimeParams(store="answers.sqlite", recorded=[])
    with BuyingTeacher(identity, TeacherParams(), runtime, lambda: None, lambda *_: Engine()) as teacher:
        here = TeacherHere(Conversation(teacher, SENTIMENT, TeacherParams(), 1, "benchmark"), teacher)
        here.labels(list(prompts), ("glad", "sad"), "mood")
        return here.usage([])


def test_tokens_of_a_teacher_are_what_its_answers_cost_whenever_they_were_bought() -> None:
    first = asked("one", "two")
    assert (first.answers, first.counted, first.prompt_tokens, first.answer_tokens) == (2, 2, 60, 4)
    again = asked("one", "two", "three")
    assert (again.answers, again.counted, again.prompt_tokens) == (1, 3, 90)
    assert asked("one", "two").answers == 0


def test_answers_whose_tokens_nobody_counted_are_left_out_of_the_count() -> None:
    usage = asked("one", "silence")
    assert (usage.answers, usage.counted, usage.prompt_tokens) == (2, 1, 30)


# ---------------------------------------------------------------- the command


def test_the_command_says_what_a_model_in_this_process_costs(
    base_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tasks(tmp_path / "benchmarks/sentibench")
    write_benchmark(tmp_path / "data")
    prices()
    command = ["evaluate", "--model", f"path:{base_folder}", "--benchmark", "data", "--tasks", "mood,stance"]
    main([*command, "--prices", "prices.yaml", "--json"])
    told = json.loads(capsys.readouterr().out)
    cost = told["cost"]["models"][f"path:{base_folder}"]
    seconds = sum(task["answers"][f"path:{base_folder}"]["seconds"] for task in told["tasks"].values())
    assert cost["by"] == "seconds" and cost["answers"] == 12
    assert cost["per_1000_answers"] > 0.0 and cost["seconds"] == pytest.approx(seconds, abs=0.002)
    main([*command, "--prices", "prices.yaml"])
    assert "EUR per 1,000 answers, by seconds" in capsys.readouterr().out
    main(command)
    assert "EUR" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--benchmark", "data", "--prices", "none.yaml"], "none.yaml: cannot be read"),
        (["--tasks", "a.csv", "--prices", "prices.yaml"], "--prices: is of a benchmark, not of labelled files"),
    ],
)
def test_prices_are_looked_at_before_a_model_is(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--model", "path:nowhere", *arguments])
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
