"""dvc.yaml as a contract: it declares what stages need, gates stand where they guard, and every out is pre-ignored."""

import subprocess
from typing import Any

import pytest
import yaml

from compeffdist.artefacts import RECORDS, is_artefact
from compeffdist.declaration import gates, read_pipeline
from compeffdist.gates.outcome import LAST, page_of, pass_of, report_of
from compeffdist.given import given_to
from compeffdist.params import LOCAL_MODELS, SOURCES, GatesParams, load_params
from tests.stages import GATES, ROOT

RAW: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = read_pipeline(ROOT)
ORDER = list(STAGES)
REPORTS = [report_of(gate) for gate in GATES]


def paths(entries: list[Any]) -> list[str]:
    """Paths of outs, with or without settings."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


@pytest.mark.parametrize("name", ORDER)
def test_a_stage_is_run_by_its_name_and_names_its_code(name: str) -> None:
    assert RAW[name]["cmd"] == f"python stages/run.py {name}"
    assert RAW[name]["desc"]
    assert {"code.yaml": [name]} in RAW[name]["params"]
    assert not [dep for dep in STAGES[name].deps if dep.startswith(("src", "stages"))]


def test_every_script_is_a_stage_s() -> None:
    scripts = {path.stem for path in (ROOT / "stages").glob("*.py")}
    assert scripts == {name for name in ORDER if not STAGES[name].gate} | {"run", "check"}


@pytest.mark.parametrize("name", ORDER)
def test_declared_params_are_knobs_and_never_runtime(name: str) -> None:
    given_to(STAGES[name], load_params(ROOT / "params.yaml"))
    assert not {"runtime", "profile"} & {key.partition(".")[0] for key in STAGES[name].params}


@pytest.mark.parametrize("name", ORDER)
def test_what_a_stage_reads_an_earlier_one_writes_or_a_user_gives(name: str) -> None:
    """In the order of the method, so that dvc.yaml reads from top to bottom."""
    written = {out for earlier in ORDER[: ORDER.index(name)] for out in STAGES[earlier].outs}
    for dep in STAGES[name].deps:
        given = dep in (SOURCES, LOCAL_MODELS, "data/withdrawals.jsonl", "domains/${domain}.yaml")
        made = any(dep == out or dep.startswith(f"{out}/") or out.startswith(f"{dep}/") for out in written)
        assert given or made, dep


def test_a_stage_that_depends_on_the_domain_s_file_declares_which_one() -> None:
    for stage in STAGES.values():
        assert stage.reads("domains/support.yaml") == ("domain" in stage.params)
        assert not stage.reads("domains/more/support.yaml.old")


def test_every_out_is_an_artefact() -> None:
    assert all(is_artefact(out, name) for name, stage in STAGES.items() for out in stage.outs)


def test_every_artefact_of_records_has_a_stage_that_writes_it() -> None:
    assert {out for stage in STAGES.values() for out in stage.outs} >= set(RECORDS)


def test_every_gate_has_its_bounds_in_the_order_of_the_pipeline() -> None:
    assert list(GatesParams.model_fields) == gates(ROOT)


@pytest.mark.parametrize("gate", [gate for gate in GATES if gate != LAST])
def test_what_is_behind_a_gate_depends_on_its_gate_pass_and_not_on_its_report(gate: str) -> None:
    assert STAGES[f"check_{gate}"].outs == (pass_of(gate), page_of(gate), report_of(gate))
    place = ORDER.index(f"check_{gate}")
    behind = [name for name in ORDER if STAGES[name].reads(pass_of(gate))]
    assert behind and min(map(ORDER.index, behind)) > place
    # whatever reads the artefact it checks, from there on, is behind the gate by way of others or itself
    assert not [name for name in behind if any(STAGES[name].reads(report) for report in REPORTS)]


def test_the_last_gate_refuses_an_alias_and_ends_the_run_after_all_else() -> None:
    report = report_of(LAST)
    assert STAGES[f"check_{LAST}"].outs == (page_of(LAST), report)
    assert STAGES["register_student"].reads(report)
    end = STAGES[ORDER[-1]]
    assert end.outs == (pass_of(LAST),)
    assert {report, "metrics/registration.json", "metrics/summary.json"} <= set(end.deps)
    assert not [name for name, stage in STAGES.items() if stage.reads(pass_of(LAST))]


def test_only_gates_depend_on_bounds_and_only_what_follows_evaluation_on_how_they_stood() -> None:
    for name, stage in STAGES.items():
        bounds = {key for key in stage.params if key.partition(".")[0] == "gates"}
        assert bounds == ({f"gates.{stage.gate}"} if stage.gate else set())
        read = [report for report in REPORTS if stage.reads(report)]
        last = [report_of(LAST)] if name == ORDER[-1] else []
        assert read == (REPORTS if name in ("register_student", "write_report") else last)


@pytest.mark.parametrize("name", ["register_student", "write_report"])
def test_a_new_gate_is_read_by_registration_and_report_without_being_named(name: str) -> None:
    assert STAGES[name].reads(report_of("new"))


def cached(entry: Any) -> bool:
    """Whether DVC's cache keeps an out; the others are small and kept by git."""
    return not isinstance(entry, dict) or next(iter(entry.values())).get("cache", True)


def ignored(*names: str) -> list[str]:
    """Those that git ignores."""
    command = ["git", "check-ignore", "--no-index", *names]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()


def test_every_cached_out_is_ignored_by_git_before_its_stage_ever_ran() -> None:
    outs = paths([out for stage in RAW.values() for out in stage["outs"] if cached(out)])
    assert sorted(ignored(*outs)) == sorted(outs)


@pytest.mark.parametrize(("stage", "folder"), [("ingest_texts", SOURCES), ("resolve_models", LOCAL_MODELS)])
def test_a_user_s_own_files_are_a_dependency_and_stay_out_of_git(stage: str, folder: str) -> None:
    assert folder in STAGES[stage].deps
    names = ["README.md", "a.jsonl", "deep/a.jsonl", "a.jsonl.dvc", "deep/a.jsonl.dvc"]
    assert ignored(*(f"{folder}/{name}" for name in names)) == [f"{folder}/a.jsonl", f"{folder}/deep/a.jsonl"]


def test_records_of_answers_and_fingerprints_are_kept_by_git() -> None:
    files = ("record.json", "answers.parquet", "models/model_1.json")
    folders = ("laptop", "experiments", "aspects")
    assert ignored("code.yaml", *(f"records/{folder}/{name}" for folder in folders for name in files)) == []


def test_figures_and_plots_stay_in_git() -> None:
    for stage in RAW.values():
        for entry in [*stage["outs"], *stage.get("metrics", []), *stage.get("plots", [])]:
            assert cached(entry) != paths([entry])[0].startswith("metrics/")


def test_dvc_is_told_of_one_row_of_metrics() -> None:
    """`dvc metrics show` prints a column for each figure of each file."""
    assert {name: paths(stage["metrics"]) for name, stage in RAW.items() if "metrics" in stage} == {
        "write_report": ["metrics/summary.json"]
    }
