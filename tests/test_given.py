"""A stage gets what dvc.yaml declares and nothing else, and has to make what it declares."""

from pathlib import Path

import pytest
import yaml

from compeffdist.artefact_kinds import Json
from compeffdist.artefacts import MENTIONS, REPORT, TEXTS, WARM_UP
from compeffdist.declaration import Stage, read_pipeline
from compeffdist.errors import UserError
from compeffdist.given import Given, Made, Undeclared, given_to
from compeffdist.params import validate_params
from compeffdist.profiles import compose
from compeffdist.record_files import read_records
from compeffdist.records import Reject
from compeffdist.seeds import stage_seed
from tests.factories import make_text
from tests.stages import ROOT

PARAMS = validate_params(compose("smoke", ROOT / "profiles"), "smoke")
TEXT = make_text("fine")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def given(*, deps: tuple[str, ...] = (), params: tuple[str, ...] = (), outs: tuple[str, ...] = ()) -> Given:
    return given_to(Stage("count_words", "", deps, params, outs), PARAMS)


def test_an_input_is_read_as_what_it_holds() -> None:
    TEXTS.write([TEXT])
    assert given(deps=(TEXTS,))[TEXTS] == [TEXT]
    assert given(deps=("models",)).path(WARM_UP) == Path("models/warmup")


def test_a_missing_input_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^data/texts\.parquet: no such file; run the stage that writes it"):
        given(deps=(TEXTS,))[TEXTS]


def test_what_is_not_declared_cannot_be_read_or_written() -> None:
    TEXTS.write([TEXT])
    with pytest.raises(Undeclared, match=r"stage count_words does not declare the dependency data/texts\.parquet"):
        given(deps=(MENTIONS,))[TEXTS]
    with pytest.raises(Undeclared, match="does not declare the out report/index"):
        Made({REPORT: "page"}).write(given())
    assert not Path(REPORT).exists()


def test_a_page_is_not_read_and_a_model_folder_not_written() -> None:
    with pytest.raises(TypeError, match=r"report/index\.html: a Page is not read"):
        given(deps=(REPORT,))[REPORT]
    with pytest.raises(TypeError, match="models/warmup: a Located is written by a library"):
        Made({WARM_UP: "weights"}).write(given(outs=(WARM_UP,)))


@pytest.mark.parametrize(("declared", "own", "seed"), [(True, 7, 7), (True, 0, 0), (True, None, 42), (False, 7, 42)])
def test_a_stage_that_declares_the_student_s_seed_draws_by_it(declared: bool, own: int | None, seed: int) -> None:
    params = PARAMS.model_copy(update={"student_seed": own})
    stage = Stage("count_words", "", (), ("seed", *["student_seed"] * declared), ())
    assert given_to(stage, params).seed == stage_seed(seed, "count_words")


def test_params_are_those_declared_and_where_and_how_fast() -> None:
    params = given(params=("seed", "difficulty.top_p", "sampling")).params
    assert (params.seed, params.sampling, params.difficulty.top_p) == (42, PARAMS.sampling, PARAMS.difficulty.top_p)
    assert (params.runtime, params.profile, params.models) == (PARAMS.runtime, "smoke", PARAMS.models)
    with pytest.raises(AttributeError, match="training"):
        _ = params.training
    with pytest.raises(AttributeError, match="exclude_zero"):
        _ = params.difficulty.exclude_zero
    assert params.difficulty.model_dump() == {"top_p": PARAMS.difficulty.top_p}


def test_a_declared_param_that_there_is_not_is_named() -> None:
    with pytest.raises(Undeclared, match="declares the param 'topp'"):
        given(params=("difficulty.topp",))
    with pytest.raises(Undeclared, match=r"declares a part of the param 'sources'"):
        given(params=("texts.sources.0",))


def test_outs_rejects_and_metrics_go_where_dvc_yaml_says() -> None:
    words = Json("data/words.json")
    outs = (words, "data/rejects/count_words.parquet", "metrics/count_words.json")
    reject = Reject(stage="count_words", record_id="text_1", reason="empty")
    Made({words: {"fine": 1}}, metrics={"words": 1}, rejects=[reject, reject]).write(given(outs=outs))
    assert words.read() == {"fine": 1}
    assert Json("metrics/count_words.json").read() == {"words": 1}
    assert [row.detail for row in read_records(Path(outs[1]), Reject)] == ["", "(no. 2)"]


def test_an_out_that_was_not_made_is_an_error() -> None:
    with pytest.raises(Undeclared, match=r"declares data/words\.json, which it did not write"):
        Made().write(given(outs=("data/words.json",)))


def test_dvc_yaml_is_read_as_dvc_reads_it() -> None:
    stage = {
        "cmd": "x",
        "deps": ["data/a.json"],
        "params": [{"code.yaml": ["one"]}, "seed"],
        "outs": ["data/b.json", {"metrics/one.json": {"cache": False}}],
        "plots": [{"metrics/one.csv": {"x": "step"}}],
    }
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": stage, "check_b": {"cmd": "x"}}}, sort_keys=False))
    one, check = read_pipeline().values()
    assert one.outs == ("data/b.json", "metrics/one.json", "metrics/one.csv")
    assert (one.deps, one.params, one.gate, check.gate) == (("data/a.json",), ("seed",), "", "b")


def test_params_by_the_name_of_their_file_and_paths_with_a_dot_are_read_too() -> None:
    stage = {"cmd": "x", "params": [{"params.yaml": ["seed"]}], "deps": ["./data/a.json"], "outs": ["./data/o.json"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": stage}}))
    one = read_pipeline()["one"]
    assert (one.params, one.deps, one.outs) == (("seed",), ("data/a.json",), ("data/o.json",))


@pytest.mark.parametrize(
    "content",
    [
        "vars: [o: data/o.json]\nstages: {a: {cmd: x}}",
        "stages: {a: {foreach: [1], do: {cmd: x}}}",
        "stages: {a: {cmd: x, outs: [{}]}}",
        "stages: {a: {cmd: x, outs: ['${o}']}}",
        "stages: {a: {cmd: x, deps: data/a.json}}",
        "stages: {a: {cmd: x, params: [{params.yaml: }]}}",
        "stages: {a: {cmd: x, params: [{other.yaml: [seed]}]}}",
    ],
)
def test_what_dvc_takes_and_a_stage_would_miss_is_refused(content: str) -> None:
    Path("dvc.yaml").write_text(content)
    with pytest.raises(UserError, match=r"^dvc\.yaml: "):
        read_pipeline()


@pytest.mark.parametrize("content", ["", "stages: 3", "stages: {a: 1}", "- a", "a: ["])
def test_a_dvc_yaml_without_stages_is_one_line(content: str) -> None:
    Path("dvc.yaml").write_text(content)
    with pytest.raises(UserError, match=r"^dvc\.yaml: "):
        read_pipeline()
