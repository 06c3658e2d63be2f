"""What a request would take: counted before any of it is answered; beyond its bounds refused, or sent in parts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from compeffdist.errors import UserError
from compeffdist.formatting import encode_prompt
from compeffdist.params import RegistryParams, ServingParams
from compeffdist.registry import model as served
from compeffdist.registry.artifacts import SERVING
from compeffdist.registry.asking import LoadedVersion, load_version
from compeffdist.registry.bounds import TOO_LARGE, TooLarge, read_bounds, to_file
from compeffdist.registry.effort import AGAIN, Cost, Effort, Speed, Speedometer, measure_speed
from compeffdist.registry.model import MAX_NEW_TOKENS, NEUTRAL
from compeffdist.registry.questions import Carried, ask_closed
from compeffdist.registry.register import register_student
from compeffdist.student.loading import load_student
from tests.fakes import SYSTEM

LABELS = ("good", "bad")


@pytest.fixture
def tokenizer(base_folder: Path) -> Any:
    return load_student(base_folder, "cpu")[1]


def tokens(tokenizer: Any, prompt: str) -> int:
    return len(encode_prompt(tokenizer, SYSTEM, prompt))


def test_tokens_are_counted_as_they_are_read_and_written(tokenizer: Any) -> None:
    effort = Effort(tokenizer, SYSTEM, ServingParams())
    effort.weigh(["a", "the film was great"], ["yes", "no"])
    plain = tokens(tokenizer, "a") + tokens(tokenizer, "the film was great")
    branches = effort.tokens / plain
    assert branches >= 1.0
    before = effort.tokens
    effort.answer(["a"], longest=50)
    assert effort.tokens == before + tokens(tokenizer, "a") + 50


def test_seconds_grow_by_passes_steps_and_tokens(tokenizer: Any) -> None:
    speed = Speed(reading=Cost(fixed=1.0, each=0.01), writing=Cost(fixed=0.1, each=0.02))
    effort = Effort(tokenizer, SYSTEM, ServingParams())
    effort.answer(["a", "b", "c"], longest=10)
    read = sum(tokens(tokenizer, prompt) for prompt in "abc")
    together = 1.0 + 0.01 * read + 10 * (0.1 + 3 * 0.02)
    assert effort.seconds(speed, 4096) == pytest.approx(together)
    apart = -(-read // 1) * 1.0 + 0.01 * read + 3 * 10 * (0.1 + 0.02)
    assert effort.seconds(speed, 1) == pytest.approx(apart)
    bounded = Effort(tokenizer, SYSTEM, ServingParams(seconds=0.5))
    bounded.weigh(["a"], LABELS)
    with pytest.raises(TooLarge, match=r"about 1 s on this machine, at most 0\.5 \(serving\.seconds\)"):
        bounded.expect_time(Speed(Cost(0.6, 0.01), Cost(0.0, 0.0)), 4096)


def test_counting_ends_where_the_bound_is_passed(tokenizer: Any) -> None:
    named = []

    def prompts() -> Iterator[str]:
        for number in range(1000):
            named.append(number)
            yield "the film was great"

    effort = Effort(tokenizer, SYSTEM, ServingParams(tokens=200))
    with pytest.raises(TooLarge, match=r"more than 200 tokens read and written \(serving\.tokens\)"):
        effort.weigh(prompts(), LABELS)
    assert len(named) < 20


def test_a_line_goes_through_both_measurements_and_never_below_nothing() -> None:
    assert Cost.through((10, 1.0), (110, 2.0)) == Cost(pytest.approx(0.9), pytest.approx(0.01))  # type: ignore[arg-type]
    assert Cost.through((10, 1.0), (110, 0.5)) == Cost(1.0, 0.0)
    assert Cost.through((10, 0.1), (110, 2.0)).fixed == 0.0


def test_speed_is_measured(base_folder: Path) -> None:
    model, tokenizer = load_student(base_folder, "cpu")
    speed = measure_speed(model, tokenizer, SYSTEM)
    assert speed.reading.fixed + speed.reading.each > 0 < speed.writing.fixed + speed.writing.each


def test_a_machine_that_was_busy_once_is_not_slow_for_good(tokenizer: Any) -> None:
    measured = [Speed(Cost(0.0, seconds), Cost(0.0, 0.0)) for seconds in (9.0, 9.0, 1e-6)]
    now = [100.0]
    speedometer = Speedometer(lambda: measured.pop(0), lambda: now[0])
    effort = Effort(tokenizer, SYSTEM, ServingParams(seconds=1.0))
    effort.weigh(["the film was great"], LABELS)

    def refused() -> bool:
        try:
            speedometer.expect_time(effort, 8192)
        except TooLarge:
            return True
        return False

    assert refused() and len(measured) == 2
    now[0] += AGAIN - 1
    assert refused() and len(measured) == 2  # not for each request that is refused
    now[0] += 1
    assert refused() and len(measured) == 1
    now[0] += AGAIN
    assert not refused() and not measured


def test_bounds_are_kept_with_a_version_and_the_environment_goes_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    path = tmp_path / "serving.json"
    path.write_text(json.dumps(to_file(ServingParams(rows=7, seconds=2.5))[SERVING]))
    assert read_bounds({SERVING: path}) == ServingParams(rows=7, seconds=2.5) and read_bounds({}) == ServingParams()
    monkeypatch.setenv("COMPEFFDIST_SERVING_ROWS", "9")
    assert read_bounds({SERVING: str(path)}) == ServingParams(rows=9, seconds=2.5)
    for name, value, told in (
        ("ROWS", "many", "COMPEFFDIST_SERVING_ROWS: expected a number, got 'many'"),
        ("ROWS", "0", "rows: Input should be greater than 0"),
        ("ROWS", "2.5", "rows: Input should be a valid integer"),
        ("ROWZ", "1", "COMPEFFDIST_SERVING_ROWZ: there is no such bound; there are COMPEFFDIST_SERVING_ROWS, "),
    ):
        with monkeypatch.context() as changed, pytest.raises(UserError, match=told):
            changed.setenv(f"COMPEFFDIST_SERVING_{name}", value)
            read_bounds({})


def registered(student_folder: Path, base_folder: Path, **bounds: Any) -> LoadedVersion:
    name = f"bounded-{student_folder.parent.name}"
    tasks = {**Carried().tasks, "mood": ask_closed("How is it?", "good,bad")}
    carried = Carried(tasks=tasks, priors={"mood": {"good": 0.9, "bad": 0.1}}, strength=1.0)
    settings = RegistryParams(model_name=name, experiment="tests")
    files = carried.to_files(1) | to_file(ServingParams(**bounds))
    register_student(student_folder, base_folder, settings, {}, carried=files)
    return load_version(f"models:/{name}@candidate")


@pytest.fixture
def version(student_folder: Path, base_folder: Path) -> LoadedVersion:
    return registered(student_folder, base_folder, tokens=400, characters=2000)


def test_a_request_beyond_its_bounds_is_refused_before_any_work_and_sent_in_parts_by_predict(
    version: LoadedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowException

    rows = [{"text": f"the film was great {number}", "task": "mood"} for number in range(40)]
    answers = list(version.ask(rows))
    assert [answer["prior"] for answer in answers] == ["version"] * 40
    one_by_one = [next(iter(version.ask([row]))) for row in rows[:3]]
    for found, alone in zip(answers, one_by_one, strict=False):
        assert found["probabilities"] == pytest.approx(alone["probabilities"], rel=0.05)

    def no_work(*_: Any, **__: Any) -> Any:
        raise AssertionError("work was begun")

    for name in ("label_logprobs", "generate"):
        monkeypatch.setattr(served, name, no_work)
    inside = version.model.unwrap_python_model()
    with pytest.raises(MlflowException, match="more than 400 tokens") as refused:
        version.model.predict(pd.DataFrame(rows))
    assert refused.value.json_kwargs == {"reason": TOO_LARGE} and refused.value.get_http_status_code() == 400
    with pytest.raises(UserError, match=r"row 12: a request of more than 400 tokens .*: send fewer"):
        list(version.ask([{"text": "great " * 330, "task": "mood"}], numbers=[12]))
    # an unknown question is asked of texts without content as well, and each of many questions has its own
    inside.bounds = ServingParams(seconds=1e-9)
    with pytest.raises(UserError, match=r"row 1: .* on this machine, at most 1e-09 \(serving\.seconds\)"):
        list(version.ask([{"text": "fine"}]))
    assert MAX_NEW_TOKENS < 400 and len(NEUTRAL) == 3
    inside.bounds = ServingParams(tokens=MAX_NEW_TOKENS)
    with pytest.raises(UserError, match="row 1: a request of more than 256 tokens"):
        list(version.ask([{"prompt": "say"}]))


def test_a_version_is_tried_when_it_is_registered_whatever_it_is_bounded_by(
    student_folder: Path, base_folder: Path
) -> None:
    tight = registered(student_folder, base_folder, rows=1, tokens=1, characters=10, seconds=1e-9)
    [row] = served.input_example().to_dict("records")
    with pytest.raises(UserError, match="row 1: 60 characters, at most 10"):
        list(tight.ask([row]))
    with pytest.raises(UserError, match="more than 1 tokens"):
        list(tight.ask([{"text": "great"}]))


def test_what_is_answered_in_this_process_does_not_hang_on_how_fast_the_machine_is(
    student_folder: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that was sent in parts for its seconds would have its priors from other texts on a busy machine."""

    def slow(*_: Any) -> Speed:
        return Speed(Cost(99.0, 99.0), Cost(99.0, 99.0))

    monkeypatch.setattr(served, "measure_speed", slow)
    version = registered(student_folder, base_folder, seconds=0.5)
    rows = [{"text": f"great {number}", "question": "Is it day?", "labels": "day,night"} for number in range(30)]
    sizes = []
    predict = version.model.predict
    monkeypatch.setattr(version.model, "predict", lambda data, **more: sizes.append(len(data)) or predict(data, **more))
    assert {answer["prior"] for answer in version.ask(rows)} == {"request"} and sizes == [30]


def test_a_row_of_too_many_tokens_costs_the_others_of_its_file_nothing(version: LoadedVersion) -> None:
    rows = [{"text": text, "task": "mood"} for text in ("fine", "great " * 330, "dull")]
    first, long, last = version.ask(rows, rejecting=True)
    assert long == {"reject": "too_large"} and first["label"] and last["label"]
    with pytest.raises(UserError, match="row 2: a request of more than 400 tokens"):
        list(version.ask(rows))


def test_what_mlflow_loads_of_another_kind_is_asked_within_the_default_bounds(tmp_path: Path) -> None:
    import mlflow

    code = tmp_path / "of_another_kind.py"
    lines = ("class M:", "    def predict(self, data):", "        return [{'answer': text} for text in data['text']]")
    code.write_text("\n".join((*lines, "", "def _load_pyfunc(path):", "    return M()")))
    mlflow.pyfunc.save_model(
        tmp_path / "m", loader_module="of_another_kind", code_paths=[str(code)], pip_requirements=[]
    )
    other = load_version(str(tmp_path / "m"))
    assert other.bounds == ServingParams() and list(other.ask([{"text": "a"}])) == [{"answer": "a"}]


def test_neutral_texts_are_counted_where_they_will_be_asked(version: LoadedVersion) -> None:
    inside = version.model.unwrap_python_model()
    question = {"question": "Is it day?", "labels": "day,night"}
    needed = tokens(inside.tokenizer, ask_closed("Is it day?", "day,night").message("fine"))
    inside.bounds = ServingParams(tokens=2 * needed)
    with pytest.raises(UserError, match="tokens read and written"):
        list(version.ask([{"text": "fine", **question}]))
    assert next(iter(version.ask([{"text": "fine", **question}], strength=0.0)))["prior"] == "none"
