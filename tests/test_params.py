"""Params: every profile validates; a wrong key, type or value is one line naming the key."""

import copy
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.errors import UserError
from compeffdist.params import load_params, validate_params
from compeffdist.profiles import PROFILES, compose, profile_names, write_profile
from compeffdist.seeds import stage_seed
from tests.stages import ROOT


@pytest.fixture(scope="module")
def laptop() -> dict[str, Any]:
    return compose("laptop", ROOT / PROFILES)


def changed(params: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    params = copy.deepcopy(params)
    *path, last = key.split(".")
    section = params
    for part in path:
        section = section.setdefault(part, {})
    section[last] = value
    return params


def test_all_profiles_validate() -> None:
    for name in profile_names(ROOT / PROFILES):
        assert validate_params(compose(name, ROOT / PROFILES), name).profile == name


def test_the_committed_params_are_the_laptop_profile(laptop: dict[str, Any]) -> None:
    assert yaml.safe_load((ROOT / "params.yaml").read_text()) == laptop


@pytest.mark.parametrize("name", profile_names(ROOT / PROFILES))
def test_a_profile_names_its_models_by_commit_or_hash(name: str) -> None:
    for model in compose(name, ROOT / PROFILES)["models"].values():
        for reference in model["reference"]:
            assert re.search(r"@[0-9a-f]{40}$|#sha256=[0-9a-f]{64}$", reference), reference


def test_the_paper_profile_names_the_papers_set_up() -> None:
    paper = validate_params(compose("paper", ROOT / PROFILES), "paper")
    assert (paper.attributes.texts, paper.attributes.more_than) == (20_000, 10)
    assert (paper.clusters.preference_percentile, paper.clusters.damping) == (0.5, 0.9)
    assert (paper.demonstrations.calls, paper.demonstrations.per_task) == (16, 32)
    assert (paper.pairing.pairs, paper.pairing.method, paper.warm_up.rows) == (100_000, "random", 5_000)
    assert (paper.difficulty.top_p, paper.sampling.rate, paper.sampling.peak) == (0.95, 0.5, 1.0)
    assert (paper.training.learning_rate, paper.training.epochs, paper.training.weight_decay) == (
        5e-5,
        4.0,
        0.1,
    )
    assert "UAE-Large-V1" in paper.models.embedder.reference[0]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sampling.rte", 0.5, r"p\.yaml: sampling\.rte: unknown key"),
        ("sampling.rate", 1.5, r"p\.yaml: sampling\.rate: .*less than or equal to 1.*got 1\.5"),
        ("sampling.rate", "half", r"p\.yaml: sampling\.rate: .*number.*got 'half'"),
        ("texts.count", 2.5, r"p\.yaml: texts\.count: .*integer.*got 2\.5"),
        ("texts.min_characters", 999_999, r"p\.yaml: texts: min_characters must be below max_characters"),
        ("attributes.texts", 10**6, r"p\.yaml: attributes\.texts .* exceeds texts\.count"),
        ("difficulty.top_p", 1.0, r"p\.yaml: difficulty\.top_p: .*less than 1"),
        ("teacher.engine", "gpt", r"p\.yaml: teacher\.engine: must be one of vllm, .*\(got 'gpt'\)"),
        ("teacher.engine", "openai", r"to weights does not go with .* 'openai': set that to vllm or "),
        ("models.teacher.reference", ["api:m@s"], r"api:… does not go with teacher\.engine 'vllm': set that to openai"),
        (
            "sampling.metric",
            "rank",
            r"sampling\.metric: must be one of ranking, random, .*, rank_surprisal_ratio",
        ),
        ("sampling.metric", "ifd", r"sampling\.metric 'ifd' needs difficulty\.ifd: true"),
        ("seed", None, r"p\.yaml: seed: .*integer"),
        ("nonsense", {}, r"p\.yaml: nonsense: unknown key"),
        ("training.learning_rate", math.inf, r"p\.yaml: training\.learning_rate: .*finite.*got inf"),
        ("sampling.rate", math.nan, r"p\.yaml: sampling\.rate: .*got nan"),
        ("registry.model_name", "", r"registry\.model_name: must be of letters"),
        ("registry.model_name", "a/b", r"registry\.model_name: must be of letters.*got 'a/b'"),
        ("registry.experiment", "a:b", r"registry\.experiment: must be of letters"),
        ("runtime.store", "a\0b", r"runtime\.store: must be text on one line.*got 'a\\x00b'"),
        ("runtime.cache", " ", r"runtime\.cache: must be text on one line"),
        ("runtime.openai_base_url", "localhost:8000", r"runtime\.openai_base_url: must be an address"),
        ("runtime.openai_base_url", "http://::1:8000/v1", r"stands in brackets: http://\[::1\]:8000"),
        ("runtime.openai_base_url", "http://h:99999/v1", r"runtime\.openai_base_url: must be an address"),
        ("runtime.openai_base_url", "http://u:12/pw@h/v1", r"write these as %2F.*\(got 'http://\*\*\*@h/v1'\)"),
        ("runtime.openai_base_url", "http://u:p w/p@h", r"must be an address.*\(got 'http://\*\*\*@h'\)"),
        ("runtime.openai_base_url", 7, r"p\.yaml: runtime\.openai_base_url: must be an address .*\(got 7\)"),
        ("runtime.openai_base_url", [], r"runtime\.openai_base_url: must be .* a list of such, not empty"),
        ("runtime.openai_base_url", ["http://a/v1", 7], r"runtime\.openai_base_url: must be .* a list of such"),
        (
            "runtime.openai_base_url",
            ["http://a/v1", "b:8000"],
            r"runtime\.openai_base_url: entry 2: must be an address",
        ),
        (
            "runtime.openai_base_url",
            ["http://me:word1@a/v1", "http://b", "http://A:80/v1/"],
            r"entry 3: is the server of entry 1 once more \(got \['http://\*\*\*@a/v1', 'http://b', 'http://A:80/v1/'\]\)",
        ),
        ("serving.rows", 0, r"serving\.rows: .*greater than 0.*got 0"),
        ("signing.required", True, r"signing\.required: true needs a signing\.public_key"),
        ("models.student.licence", "", r"models\.student\.licence: must be text on one line"),
    ],
)
def test_a_wrong_param_is_one_line_naming_the_key(laptop: dict[str, Any], key: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        validate_params(changed(laptop, key, value), "p.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"difficulty.proxy.rows": 1200}, r"difficulty\.proxy\.rows \(1200\) leaves none of pairing\.pairs \(1200\)"),
        ({"warm_up.rows": 601}, r"warm_up\.rows \(601\) exceeds difficulty\.proxy\.rows \(600\)"),
        ({"sampling.metric": "perplexity"}, r"sampling\.metric 'perplexity' cannot be predicted"),
    ],
    ids=str,
)
def test_what_the_proxy_cannot_do_is_said_before_anything_runs(
    laptop: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    direct = changed(laptop, "pairing.pairs", 1200)
    for key, value in ({"difficulty.proxy.rows": 600} | changes).items():
        direct = changed(direct, key, value)
    validate_params(direct, "p.yaml")  # of no account while the mode is direct
    with pytest.raises(UserError, match=message) as error:
        validate_params(changed(direct, "difficulty.mode", "proxy"), "p.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["good", "good"]}, r"evaluation\.tasks\.0\.labels: two labels are the same"),
        ({"labels": ["good", "Good "]}, r"evaluation\.tasks\.0\.labels: two labels are the same"),
        ({"labels": ["good", ""]}, r"evaluation\.tasks\.0\.labels\.1: must be text on one line"),
        ({"name": ""}, r"evaluation\.tasks\.0\.name: must be of letters"),
        ({"name": "a\nb"}, r"evaluation\.tasks\.0\.name: must be of letters"),
        ({"name": "movies"}, r"evaluation: tasks: two share a name"),
        ({"location": "a\tb.jsonl"}, r"evaluation\.tasks\.0\.location: must be text on one line"),
        ({"location": "my/own.jsonl"}, r"evaluation\.tasks 'tweets': my/own\.jsonl must lie in data/sources/"),
        ({"location": "mine.xlsx"}, r"must end in \.jsonl, \.ndjson, \.csv, \.tsv, \.parquet"),
        ({"location": "data/sources/mine"}, r"the name of a labelled file must end in"),
        ({"question": "two\nlines"}, r"evaluation\.tasks\.0\.question: must be text on one line"),
        ({"question": "Of {target?"}, r"question: a brace may only name a field of the row"),
        ({"question": "Of {}?"}, r"question: a brace may only name a field of the row"),
        ({"label_map": {"0": "good"}}, r"label_map: 'good' is not one of labels"),
        ({"rows": 0}, r"evaluation\.tasks\.0\.rows: "),
        ({"location": "data/sources/../x.jsonl"}, r"must lie in data/sources/, where DVC sees it change"),
        ({"location": "/abs/data/sources/x.jsonl"}, r"must lie in data/sources/"),
    ],
    ids=str,
)
def test_a_wrong_evaluation_task_is_one_line(laptop: dict[str, Any], change: dict[str, Any], message: str) -> None:
    tasks = copy.deepcopy(laptop["evaluation"]["tasks"])
    tasks[0] |= change
    with pytest.raises(UserError, match=message) as error:
        validate_params(changed(laptop, "evaluation.tasks", tasks), "p.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "csv", "location": "my/reviews.csv"},
            r"texts\.sources 'tweets': my/reviews\.csv must lie in data/sources/",
        ),
        ({"kind": "parquet", "location": "data/sources"}, r"must lie in data/sources/"),
        *(
            (
                {"kind": "huggingface", "location": f"{folder}@main:train"},
                r"texts\.sources 'tweets': .*must lie in data/sources/, .*name it data/sources/FOLDER:SPLIT",
            )
            for folder in ("/my/folder", "./folder", "../folder", "~/folder", "my/own/folder", "data/sources/../folder")
        ),
        ({"name": "products"}, r"texts: sources: two share a name"),
        ({"name": "a:b"}, r"texts\.sources\.0\.name: must be of letters"),
        ({"domain": ""}, r"texts\.sources\.0\.domain: must be text on one line"),
    ],
    ids=str,
)
def test_a_wrong_source_is_one_line(laptop: dict[str, Any], change: dict[str, Any], message: str) -> None:
    sources = copy.deepcopy(laptop["texts"]["sources"])
    sources[0] |= change
    with pytest.raises(UserError, match=message):
        validate_params(changed(laptop, "texts.sources", sources), "p.yaml")


def test_a_file_named_without_its_folder_lies_in_data_sources(laptop: dict[str, Any]) -> None:
    sources = copy.deepcopy(laptop["texts"]["sources"])
    sources[0] |= {"kind": "csv", "location": "mine.csv"}
    sources[1] |= {"kind": "huggingface", "location": "name@main:train.1"}
    tasks = copy.deepcopy(laptop["evaluation"]["tasks"])
    tasks[0] |= {"location": "labelled.tsv", "rows": None}
    raw = changed(changed(laptop, "texts.sources", sources), "evaluation.tasks", tasks)
    params = validate_params(raw, "p.yaml")
    assert [source.location for source in params.texts.sources[:2]] == ["data/sources/mine.csv", "name@main:train.1"]
    assert [task.location for task in params.evaluation.tasks[:2]] == ["data/sources/labelled.tsv", "vader-amazon"]
    assert params.evaluation.tasks[0].kind == "csv"


@pytest.mark.parametrize("reference", ["path:m.gguf", "path:/m", "path:~/m", "path:models/local/../m"])
def test_weights_that_dvc_would_not_see_change_are_refused(laptop: dict[str, Any], reference: str) -> None:
    with pytest.raises(UserError, match=r"models\.student: .* must lie in models/local/.*or be pinned by #sha256"):
        validate_params(changed(laptop, "models.student.reference", [reference]), "p.yaml")


@pytest.mark.parametrize("reference", ["path:models/local/m.gguf", f"path:/m#sha256={'a' * 64}"])
def test_weights_in_their_folder_or_pinned_are_taken(laptop: dict[str, Any], reference: str) -> None:
    params = validate_params(changed(laptop, "models.student.reference", [reference]), "p.yaml")
    assert params.models.student.reference == [reference]


@pytest.mark.parametrize(
    "location",
    ["imdb@main:plain_text:train", "org/name@abc:train[:5]", "data/sources/mine:train", "data/sources/a/b:x:y"],
)
def test_a_data_set_of_the_hub_or_in_data_sources_is_taken(laptop: dict[str, Any], location: str) -> None:
    source = laptop["texts"]["sources"][0] | {"kind": "huggingface", "location": location, "part": "all"}
    assert validate_params(changed(laptop, "texts.sources", [source]), "p").texts.sources[0].location == location


def test_labels_may_be_written_as_numbers_and_truth_values(laptop: dict[str, Any]) -> None:
    task = laptop["evaluation"]["tasks"][0] | {
        "question": "Which?",
        "labels": [0, 1.0, True, " kept "],
        "label_map": {2: 1, 3.0: True, "x": " kept "},
    }
    [made] = validate_params(changed(laptop, "evaluation.tasks", [task]), "p").evaluation.tasks
    assert made.labels == ["0", "1", "true", " kept "]
    assert made.label_map == {"2": "1", "3": "true", "x": " kept "}


def test_a_file_in_data_sources_is_taken(laptop: dict[str, Any]) -> None:
    source = laptop["texts"]["sources"][0] | {"kind": "jsonl", "location": "data/sources/mine/a.jsonl", "part": "all"}
    params = validate_params(changed(laptop, "texts.sources", [source]), "p.yaml")
    assert params.texts.sources[0].location == "data/sources/mine/a.jsonl"


@pytest.mark.parametrize(
    ("content", "message"), [("a: [", "not valid YAML"), ("[" * 5000, "not valid YAML"), ("- 1", "expected a mapping")]
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "params.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        load_params(tmp_path / "params.yaml")


def test_label_ranks_do_not_compare_between_instructions(laptop: dict[str, Any]) -> None:
    by_rank = changed(laptop, "sampling.metric", "label_rank")
    assert validate_params(by_rank, "p.yaml").sampling.metric == "label_rank"
    with pytest.raises(UserError, match=r"'label_rank' does not compare between instructions: set sampling\.scope"):
        validate_params(changed(by_rank, "sampling.scope", "global"), "p.yaml")


def test_answers_are_not_known_before_a_proxy_draws(laptop: dict[str, Any]) -> None:
    by_proxy = changed(changed(laptop, "difficulty.mode", "proxy"), "difficulty.proxy.rows", 1000)
    with pytest.raises(UserError, match=r"sampling\.confidence_floor needs the answers before the draw.*set it to 0"):
        validate_params(changed(by_proxy, "sampling.confidence_floor", 0.1), "p.yaml")
    by_answer = changed(laptop, "sampling.scope", "answer")
    assert validate_params(by_answer, "p.yaml").sampling.scope == "answer"
    with pytest.raises(UserError, match=r"'answer' needs the answers before the draw.*set sampling\.scope"):
        by_proxy = changed(changed(by_answer, "difficulty.mode", "proxy"), "difficulty.proxy.rows", 1000)
        validate_params(by_proxy, "p.yaml")


def test_ranking_by_what_is_not_computed_stops_before_anything_is_bought(laptop: dict[str, Any]) -> None:
    by_ifd = changed(changed(laptop, "difficulty.ifd", True), "sampling.metric", "ifd")
    assert validate_params(by_ifd, "p.yaml").difficulty.ifd
    with pytest.raises(UserError, match=r"sampling\.metric 'ifd' needs difficulty\.ifd: true"):
        validate_params(changed(by_ifd, "difficulty.ifd", False), "p.yaml")


@pytest.mark.parametrize("written", ["2e-5", "2e-05", "2.0e-5", "0.00002"])  # the second as `dvc exp run -S` writes it
def test_a_number_is_one_however_it_is_written(tmp_path: Path, written: str) -> None:
    text = (ROOT / "params.yaml").read_text().replace("learning_rate: 0.0001", f"learning_rate: {written}")
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").training.learning_rate == 2e-5


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("seed: 42\n", "seed: 42\nseed: 43\n")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match='line 4: the key "seed" stands in line 3 already: merge the two'):
        load_params(tmp_path / "params.yaml")


def test_a_misspelt_key_is_named_as_it_stands(laptop: dict[str, Any]) -> None:
    texts = {("cuont" if key == "count" else key): value for key, value in laptop["texts"].items()}
    with pytest.raises(UserError, match=r"p\.yaml: texts\.cuont: unknown key"):
        validate_params(changed(laptop, "texts", texts), "p.yaml")


def test_a_missing_file_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="compeffdist profile laptop"):
        load_params(tmp_path / "params.yaml")


def test_an_unknown_profile_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are aspects, laptop, own, paper, smoke, workstation"):
        write_profile("huge", tmp_path / "params.yaml", ROOT / PROFILES)
    assert list(tmp_path.iterdir()) == []


def profiles_in(folder: Path, **files: str) -> Path:
    """The repository's base with these files beside it."""
    for name, text in {"base": (ROOT / PROFILES / "base.yaml").read_text(), **files}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_profile_is_laid_over_the_one_it_names(tmp_path: Path) -> None:
    laptop = (ROOT / PROFILES / "laptop.yaml").read_text()
    middle = "over: laptop\nsampling: {rate: 0.6}\nseed: 7\n"
    folder = profiles_in(tmp_path, laptop=laptop, middle=middle, top="over: middle\nseed: 8\n")
    expected = changed(changed(compose("laptop", folder), "sampling.rate", 0.6), "seed", 8)
    assert compose("top", folder) == expected | {"profile": "top"}


@pytest.mark.parametrize("below", ["top", "other", "none", "../base", "[a]", "''", "7"])
def test_a_profile_over_none_or_over_itself_is_one_line(below: str, tmp_path: Path) -> None:
    folder = profiles_in(tmp_path, top=f"over: {below}\n", other="over: top\n", third="seed: 1\n")
    with pytest.raises(UserError, match=r"(top|other)\.yaml: over: must be one of base, .*third \(got .*\)"):
        compose("top", folder)


def test_every_knob_of_a_written_profile_can_be_loaded(tmp_path: Path) -> None:
    write_profile("smoke", tmp_path / "params.yaml", ROOT / PROFILES)
    assert load_params(tmp_path / "params.yaml").model_dump(mode="json") == compose("smoke", ROOT / PROFILES)


def test_a_profile_takes_the_place_of_another_but_not_of_edits(tmp_path: Path) -> None:
    target = tmp_path / "params.yaml"
    write_profile("smoke", target, ROOT / PROFILES)
    write_profile("laptop", target, ROOT / PROFILES)
    edited = target.read_text().replace("  rate: 0.35\n", "  rate: 0.6\n").replace("\nseed: ", "\nseed: 1")
    target.write_text(edited)
    with pytest.raises(UserError, match=r"edits that would be lost \(sampling\.rate, seed\); .* --force"):
        write_profile("smoke", target, ROOT / PROFILES)
    assert target.read_text() == edited
    write_profile("smoke", target, ROOT / PROFILES, replace_edits=True)
    assert load_params(target).profile == "smoke"


@pytest.mark.parametrize("held", ["", "sampling: {rate: 0.5}\n", "profile: mine\n", "a: [\n"])
def test_a_file_that_is_no_profile_is_not_replaced_either(held: str, tmp_path: Path) -> None:
    target = tmp_path / "params.yaml"
    target.write_text(held)
    with pytest.raises(UserError, match="not a profile's params"):
        write_profile("smoke", target, ROOT / PROFILES)
    assert target.read_text() == held


def test_stage_seeds_differ_by_stage_and_seed() -> None:
    seeds = {stage_seed(seed, stage) for seed in (1, 2) for stage in ("a", "b")}
    assert len(seeds) == 4
    assert stage_seed(42, "pair_texts") == stage_seed(42, "pair_texts")


def test_addresses_of_servers_are_one_or_a_list_and_kept_as_they_were_written(laptop: dict[str, Any]) -> None:
    several = ["http://a:8000/v1", "http://b:8000/v1", "https://a:8000/v1", "http://a:8001/v1", "http://a:8000/v2"]
    for written, addresses in (("http://a/v1", ["http://a/v1"]), (several[:1], several[:1]), (several, several)):
        runtime = validate_params(changed(laptop, "runtime.openai_base_url", written), "p.yaml").runtime
        assert (runtime.addresses, runtime.model_dump()["openai_base_url"]) == (addresses, written)


def test_batches_are_of_one_server(laptop: dict[str, Any]) -> None:
    batches = changed(changed(laptop, "teacher.engine", "openai-batch"), "models.teacher.reference", ["api:m@s"])
    validate_params(changed(batches, "runtime.openai_base_url", ["http://a/v1"]), "p.yaml")
    with pytest.raises(UserError, match=r"'openai-batch' keeps its batches at one server, .* names 2") as error:
        validate_params(changed(batches, "runtime.openai_base_url", ["http://a/v1", "http://b/v1"]), "p.yaml")
    assert "\n" not in str(error.value)
