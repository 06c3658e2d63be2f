"""A stage's fingerprint changes with what its code means, and with nothing else."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.declaration import Stage, read_pipeline
from compeffdist.errors import UserError
from compeffdist.fingerprints import PLUMBING, fingerprint, meaning, stage_modules, write_fingerprints
from tests.stages import ROOT

FORMULA = "src/compeffdist/difficulty/scorer.py"
ANOTHER_FORMULA = (" / sizes)", " / (sizes + 1))")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("src", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    write_fingerprints(folder)
    return folder


@pytest.fixture
def checkout(copied: Path, tmp_path: Path) -> Path:
    shutil.copytree(copied, tmp_path, dirs_exist_ok=True)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_repository_s_own_are_up_to_date() -> None:
    recorded = yaml.safe_load((ROOT / "code.yaml").read_text())
    now = {name: fingerprint(stage, ROOT) for name, stage in read_pipeline(ROOT).items()}
    assert recorded == now, "run: make fingerprints"


def test_docstrings_comments_and_layout_mean_nothing(checkout: Path) -> None:
    for path in (checkout / "src").rglob("*.py"):
        code = ast.unparse(ast.parse(path.read_text()))  # no comment is left, and another layout
        path.write_text(f'"""Another docstring."""\n# a comment\n{code}\n')
    assert write_fingerprints(checkout) == []


def test_a_formula_s_change_is_that_of_the_stages_that_reach_it(checkout: Path) -> None:
    edit(checkout / FORMULA, *ANOTHER_FORMULA)
    changed = write_fingerprints(checkout)
    assert "score_difficulty" in changed
    assert not {"ingest_texts", "collect_responses", "train_student", "sample_triplets"} & set(changed)
    reaching = [
        name for name, stage in read_pipeline(checkout).items() if checkout / FORMULA in stage_modules(stage, checkout)
    ]
    assert changed == reaching


def test_a_gate_s_change_is_that_of_its_own_stage(checkout: Path) -> None:
    edit(checkout / "src/compeffdist/gates/sample.py", "RATE_TOLERANCE = 1e-6", "RATE_TOLERANCE = 1e-5")
    assert write_fingerprints(checkout) == ["check_sample"]


def test_plumbing_is_that_of_no_stage_but_what_resolves_models(checkout: Path) -> None:
    for names in PLUMBING.values():
        for name in names:
            path = checkout / "src/compeffdist" / name.replace(".", "/")
            file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
            file.write_text(file.read_text() + "\nANOTHER = 1\n")
    assert write_fingerprints(checkout) == ["resolve_models"]


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("record_files", 'compression="zstd"', 'compression="gzip"'),
        ("canonical", "sort_keys=True", "sort_keys=False"),
        ("seeds", '"big"', '"little"'),
        ("given", "else own, self.name", "else own, self.stage.description"),
        ("accounting", "(no. {number})", "({number})"),
        ("artefact_kinds", "write_records(Path(self)", "write_records(Path(self + self)"),
    ],
)
def test_how_artefacts_are_made_is_that_of_every_stage(checkout: Path, module: str, old: str, new: str) -> None:
    edit(checkout / f"src/compeffdist/{module}.py", old, new)
    assert write_fingerprints(checkout) == list(read_pipeline(checkout))


@pytest.mark.parametrize(
    ("module", "old", "new", "stages"),
    [
        ("student/training", "5e-5, ", "6e-5, ", {"warm_up_student", "train_student"}),
        ("label_spelling", "str(value).lower()", "str(value)", {"ingest_texts"}),
        ("models/inspection", "hash_json(", "repr(", {"resolve_models"}),
        ("registry/__init__", '"""', '"""A room with code."""\nANOTHER = 1\n"""', {"register_student"}),
    ],
)
def test_what_an_artefact_depends_on_is_that_of_its_stage(
    checkout: Path, module: str, old: str, new: str, stages: set[str]
) -> None:
    edit(checkout / f"src/compeffdist/{module}.py", old, new)
    changed = set(write_fingerprints(checkout))
    assert stages <= changed and len(changed) < len(read_pipeline(checkout))


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("epochs: PositiveFloat = 4.0", "epochs: PositiveFloat = 5.0", ["warm_up_student", "train_student"]),
        ("lora_alpha: PositiveInt = 32", "lora_alpha: PositiveFloat = 32", []),
    ],
)
def test_a_default_is_code_of_the_stages_that_declare_it(
    checkout: Path, old: str, new: str, changed: list[str]
) -> None:
    """A key that params.yaml leaves out is no value that DVC tracks."""
    edit(checkout / "src/compeffdist/params/pipeline.py", old, new)
    found = write_fingerprints(checkout)
    assert set(changed) <= set(found) and "ingest_texts" not in found and bool(found) == bool(changed)


@pytest.mark.parametrize("left", ["<<<<<<< ours\na: 1\n", "pair_texts: 1\npair_texts: 2\n", "- a\n"])
def test_what_a_merge_left_is_written_anew(checkout: Path, left: str) -> None:
    before = (checkout / "code.yaml").read_text()
    (checkout / "code.yaml").write_text(left)
    assert write_fingerprints(checkout) == list(read_pipeline(checkout))
    assert (checkout / "code.yaml").read_text() == before


def test_a_gate_without_a_module_is_one_line(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"stage check_odd: there is no src/compeffdist/gates/odd\.py"):
        fingerprint(Stage("check_odd", "", (), (), ()), checkout)


def test_a_script_that_is_no_stage_s_is_refused(checkout: Path) -> None:
    """Python looks there first: it would be imported in place of a library, and no fingerprint would tell."""
    (checkout / "stages/numpy.py").write_text("")
    with pytest.raises(UserError, match=r"stages/numpy\.py: is no stage of dvc\.yaml"):
        write_fingerprints(checkout)


def test_code_that_a_library_is_handed_by_path_counts(checkout: Path) -> None:
    path = checkout / "src/compeffdist/registry/served.py"
    path.write_text(path.read_text() + "\nANOTHER = 1\n")
    assert write_fingerprints(checkout) == ["register_student"]


def test_dvc_runs_nothing_after_a_docstring_and_the_right_stages_after_a_formula(checkout: Path) -> None:
    """By a real `dvc repro --dry` over the pipeline's stages as committed, without data."""
    stages = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"]
    bare = {
        name: {"cmd": f"echo {name} > {name}.txt", "params": [{"code.yaml": [name]}], "outs": [f"{name}.txt"]}
        for name in stages
    }
    (checkout / "dvc.yaml").write_text(yaml.safe_dump({"stages": bare}))
    (checkout / "params.yaml").write_text("{}\n")
    write_fingerprints(checkout)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["dvc", "repro", "-q"]):
        run(checkout, *command)
    edit(checkout / FORMULA, '"""', '"""Said otherwise. ')
    write_fingerprints(checkout)
    assert would_run(checkout) == set()
    edit(checkout / FORMULA, *ANOTHER_FORMULA)
    changed = write_fingerprints(checkout)
    assert would_run(checkout) == set(changed) and "score_difficulty" in changed


def run(folder: Path, *command: str) -> str:
    program = [str(Path(sys.executable).parent / command[0])] if command[0] == "dvc" else [command[0]]
    return subprocess.run([*program, *command[1:]], cwd=folder, capture_output=True, text=True, check=True).stdout


def would_run(folder: Path) -> set[str]:
    told = run(folder, "dvc", "repro", "--dry").splitlines()
    return {line.split("'")[1] for line in told if line.startswith("Running stage")}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("def (:\n", "line 1: "),
        ("x = " + "+".join("1" * 5000), "cannot be taken apart: "),
        ("x = 0x" + "f" * 5000, "cannot be taken apart: "),
        ("from .shards import ScoreShards", "cannot be taken apart: line 1 imports by dots"),
    ],
)
def test_a_file_that_cannot_be_followed_is_one_line(checkout: Path, content: str, told: str) -> None:
    (checkout / FORMULA).write_text(content)
    with pytest.raises(UserError, match=rf"scorer\.py: {told}"):
        write_fingerprints(checkout)


def test_types_alone_are_not_followed(tmp_path: Path) -> None:
    package = tmp_path / "src/compeffdist"
    package.mkdir(parents=True)
    (tmp_path / "stages").mkdir()
    for name in ("seen", "lazy", "typed"):
        (package / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (tmp_path / "stages/one.py").write_text(
        "import typing\nfrom typing import TYPE_CHECKING\nfrom compeffdist.seen import NAME\n"
        "if TYPE_CHECKING:\n    from compeffdist.typed import NAME as T\n"
        "if typing.TYPE_CHECKING:\n    import compeffdist.typed\n"
        "def run():\n    import compeffdist.lazy\n"
    )
    found = {path.name for path in stage_modules(Stage("one", "", (), (), ()), tmp_path)}
    assert found == {"one.py", "seen.py", "lazy.py"}


def test_a_package_comes_before_a_module_of_its_name_as_for_python(tmp_path: Path) -> None:
    package = tmp_path / "src/compeffdist/seen"
    package.mkdir(parents=True)
    (tmp_path / "stages").mkdir()
    for path in (package / "__init__.py", package.with_suffix(".py")):
        path.write_text("NAME = 1\n")
    (tmp_path / "stages/one.py").write_text("from compeffdist.seen import NAME\n")
    found = stage_modules(Stage("one", "", (), (), ()), tmp_path)
    assert found == [package / "__init__.py", tmp_path / "stages/one.py"]


CONSTANTS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary())


@given(CONSTANTS, CONSTANTS)
def test_two_constants_mean_the_same_if_they_are(one: object, other: object) -> None:
    said = [meaning(ast.parse(f"x = {value!r}")) for value in (one, other)]
    assert (said[0] == said[1]) == (repr(one) == repr(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f(None)", "f()"),
        ("x = []", "x = [[]]"),
        ("return_ = 0", "return_ = False"),
        ("a < b", "a <= b"),
        ("match a:\n case None: b", "match a:\n case False: b"),
        ("a, b", "b, a"),
    ],
)
def test_what_looks_alike_is_told_apart(one: str, other: str) -> None:
    assert meaning(ast.parse(one)) != meaning(ast.parse(other))
