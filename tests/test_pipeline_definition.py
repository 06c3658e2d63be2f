"""dvc.yaml as a contract: each stage declares exactly the code it depends on, and every out is pre-ignored."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.gates.outcome import GATES, LAST
from compeffdist.params import LOCAL_MODELS, SOURCES, Params

ROOT = Path(__file__).parent.parent
STAGES: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

PLUMBING = {
    # move bytes, check knobs (whose values DVC tracks), speak to people
    *("accounting", "connections", "credentials", "environment", "errors", "files", "git", "imports", "ledger"),
    *("network", "params", "progress", "registry.server", "running", "tracking_uri", "yaml12"),
    # fetch models and packages, whose bytes are tied by hash in the identity cards and corpora
    *(
        "packages",
        *(f"models.{name}" for name in ("gguf", "identity", "index", "inspection", "references", "resolving")),
    ),
    # ask the teacher: an answer is kept under the whole question, so how it was fetched cannot change a snapshot
    *(
        f"teacher.{name}"
        for name in ("asking", "chat", "dialect", "engine", "engines", "json_grammar", "openai_engine", "processes")
    ),
    # read a server's reply: what is kept under the question is what was read
    *("teacher.label_reading", "teacher.replies"),
    *("teacher.recorded", "teacher.server_client", "teacher.server_errors", "teacher.store"),
    *(f"teacher.{name}" for name in ("transformers_engine", "vllm_engine", "vllm_server", "vllm_supervisor")),
}
METHOD = [
    "resolve_models",
    "ingest_texts",
    "check_texts",
    "enumerate_attributes",
    "cluster_attributes",
    "check_clusters",
    "generate_tasks",
    "write_demonstrations",
    "check_tasks",
    "pair_texts",
    "collect_responses",
    "check_triplets",
    "evaluate_teacher",
    "warm_up_student",
    "score_difficulty",
    "study_difficulty",
    "check_difficulty",
    "predict_difficulty",
    "sample_triplets",
    "check_sample",
    "collect_sampled",
    "train_student",
    "check_training_set",
    "evaluate_student",
    "check_student",
    "register_student",
    "write_report",
    "judge_student",
]


def imported(path: Path) -> Iterator[str]:
    """Names of the modules of ours that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "compeffdist":
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def code_of(stage: str) -> set[str]:
    """The library files a stage reaches through imports, plumbing apart."""
    found: set[str] = set()
    waiting = [ROOT / "stages" / f"{stage}.py"]
    while waiting:
        for module in imported(waiting.pop()):
            path = ROOT / "src" / f"{module.replace('.', '/')}.py"
            name = str(path.relative_to(ROOT))
            if path.exists() and module.removeprefix("compeffdist.") not in PLUMBING and name not in found:
                found.add(name)
                waiting.append(path)
    return found


RUN_BY_PATH = {"register_student": {"src/compeffdist/registry/served.py"}}
"""Files a stage hands to a library by path, which no import shows."""


def paths(entries: list[Any]) -> list[str]:
    """Paths of deps or outs, with or without settings."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def test_the_pipeline_reads_as_the_method() -> None:
    assert list(STAGES) == METHOD
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == set(METHOD)


@pytest.mark.parametrize("stage", METHOD)
def test_a_stage_declares_exactly_the_code_it_depends_on(stage: str) -> None:
    declared = {dep for dep in paths(STAGES[stage]["deps"]) if dep.startswith("src/")}
    assert declared == code_of(stage) | RUN_BY_PATH.get(stage, set())
    assert f"stages/{stage}.py" in STAGES[stage]["deps"]


@pytest.mark.parametrize("stage", METHOD)
def test_declared_params_are_knobs_and_never_runtime(stage: str) -> None:
    for key in STAGES[stage].get("params", []):
        section: Any = Params
        for part in key.split("."):
            section = section.model_fields[part].annotation
        assert key.split(".")[0] not in ("runtime", "profile")


@pytest.mark.parametrize("stage", METHOD)
def test_a_stage_reads_no_params_it_does_not_declare(stage: str) -> None:
    source = (ROOT / "stages" / f"{stage}.py").read_text()
    declared = {key.split(".")[0] for key in STAGES[stage].get("params", [])} | {"runtime"}
    read = {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    }
    assert read <= declared


@pytest.mark.parametrize("stage", METHOD)
def test_a_stage_that_reads_the_domain_depends_on_its_file_and_no_other_does(stage: str) -> None:
    reads = "domain_of(" in (ROOT / "stages" / f"{stage}.py").read_text()
    assert ("domains/${domain}.yaml" in STAGES[stage]["deps"]) == reads
    assert ("domain" in STAGES[stage].get("params", [])) == reads


@pytest.mark.parametrize("stage", METHOD)
def test_a_stage_that_loads_the_student_lets_the_teacher_s_engine_go_first(stage: str) -> None:
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text())
    main = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    loads = "src/compeffdist/student/loading.py" in code_of(stage) and stage != "evaluate_teacher"
    assert (ast.unparse(main.body[0]) == "release_engine()") == loads


BEHIND = {
    "texts": "enumerate_attributes",
    "clusters": "generate_tasks",
    "tasks": "pair_texts",
    "triplets": "warm_up_student",
    "difficulty": "predict_difficulty",
    "sample": "collect_sampled",
    "training_set": "evaluate_student",
}
"""The first stage that uses what a gate guards."""


@pytest.mark.parametrize("gate", BEHIND)
def test_what_is_behind_a_gate_depends_on_its_token_and_not_on_its_report(gate: str) -> None:
    check, behind = STAGES[f"check_{gate}"], STAGES[BEHIND[gate]]
    assert paths(check["outs"]) == [
        f"data/gates/{gate}.json",
        f"report/gates/{gate}.html",
        f"metrics/gates/{gate}.json",
    ]
    assert f"data/gates/{gate}.json" in behind["deps"]
    assert not [dep for dep in behind["deps"] if dep.startswith(("metrics/gates", "report"))]
    assert METHOD.index(f"check_{gate}") < METHOD.index(BEHIND[gate])


def test_the_last_gate_refuses_an_alias_and_ends_the_run_after_all_else() -> None:
    assert set(GATES) - BEHIND.keys() == {LAST}
    report = f"metrics/gates/{LAST}.json"
    assert paths(STAGES[f"check_{LAST}"]["outs"]) == [f"report/gates/{LAST}.html", report]
    assert report in STAGES["register_student"]["deps"]
    ends = STAGES[METHOD[-1]]
    assert ends["outs"] == [f"data/gates/{LAST}.json"]
    assert {report, "metrics/registration.json", "metrics/summary.json"} <= set(ends["deps"])
    assert not [name for name, stage in STAGES.items() if f"data/gates/{LAST}.json" in stage["deps"]]


def test_only_gates_depend_on_bounds_and_only_what_follows_evaluation_on_how_they_stood() -> None:
    for name, stage in STAGES.items():
        bounds = {key for key in stage.get("params", []) if key.split(".")[0] == "gates"}
        assert bounds == ({f"gates.{name.removeprefix('check_')}"} if name.startswith("check_") else set())
    reports = {f"metrics/gates/{gate}.json" for gate in GATES}
    for name, stage in STAGES.items():
        read = reports & set(paths(stage["deps"]))
        last = {f"metrics/gates/{LAST}.json"} if name == METHOD[-1] else set()
        assert read == (reports if name in ("register_student", "write_report") else last)


def cached(entry: Any) -> bool:
    """Whether DVC's cache keeps an out; the others are small and kept by git."""
    return not isinstance(entry, dict) or next(iter(entry.values())).get("cache", True)


def test_every_cached_out_is_ignored_by_git_before_its_stage_ever_ran() -> None:
    outs = paths([out for stage in STAGES.values() for out in stage["outs"] if cached(out)])
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *outs], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert sorted(done.stdout.split()) == sorted(outs)


@pytest.mark.parametrize(("stage", "folder"), [("ingest_texts", SOURCES), ("resolve_models", LOCAL_MODELS)])
def test_a_user_s_own_files_are_a_dependency_and_stay_out_of_git(stage: str, folder: str) -> None:
    assert folder in STAGES[stage]["deps"]
    names = ["README.md", "a.jsonl", "deep/a.jsonl", "a.jsonl.dvc", "deep/a.jsonl.dvc"]
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *(f"{folder}/{name}" for name in names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [f"{folder}/a.jsonl", f"{folder}/deep/a.jsonl"]


def test_records_of_answers_are_kept_by_git() -> None:
    files = ("record.json", "answers.parquet", "models/model_1.json")
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", *(f"records/laptop/{name}" for name in files)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "" and done.returncode == 1


def test_figures_and_plots_stay_in_git() -> None:
    for stage in STAGES.values():
        for entry in [*stage["outs"], *stage.get("metrics", []), *stage.get("plots", [])]:
            assert cached(entry) != paths([entry])[0].startswith("metrics/")


def test_dvc_is_told_of_one_row_of_metrics() -> None:
    """`dvc metrics show` prints a column for each figure of each file."""
    assert {name: paths(stage["metrics"]) for name, stage in STAGES.items() if "metrics" in stage} == {
        "write_report": ["metrics/summary.json"]
    }
