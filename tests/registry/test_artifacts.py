"""What is kept with a version: any byte of it that changes is found, and a new evaluation takes the old one's place."""

import json
import os
import py_compile
from pathlib import Path

import pytest
from mlflow.entities.model_registry import ModelVersion

from compeffdist.canonical import hash_bytes
from compeffdist.errors import UserError, one_line
from compeffdist.params import EvaluationTask, RegistryParams
from compeffdist.record_files import write_records
from compeffdist.records import EvaluationRow
from compeffdist.registry import bytecode
from compeffdist.registry.artifacts import (
    FOLDER,
    MANIFEST,
    PREDICTIONS,
    ROWS,
    evaluation_attachments,
    find_version,
    model_files,
    read_attachment,
    tag_of,
    verify_version,
)
from compeffdist.registry.bytecode import planted_bytecode
from compeffdist.registry.register import Registration, register_student
from compeffdist.registry.tracking import open_tracking
from tests.factories import make_row

ATTACHMENTS = (MANIFEST, PREDICTIONS, ROWS)
EVALUATED = {PREDICTIONS: b"predictions of the first evaluation", ROWS: b'{"films":{}}'}


def register(student: Path, base: Path, name: str, attachments: dict[str, bytes]) -> Registration:
    named = RegistryParams(model_name=f"{name}-{student.parent.name}", experiment="tests")
    return register_student(student, base, named, {}, attachments=attachments)


def flip_byte(path: Path) -> None:
    """Change a bit in the middle of a file; an empty one, such as a package's __init__, gets a byte."""
    whole = path.read_bytes()
    place = len(whole) // 2
    path.write_bytes(whole[:place] + bytes([(whole[place] ^ 1) if whole else 1]) + whole[place + 1 :])


def attached_files(version: ModelVersion) -> list[Path]:
    run = Path(open_tracking().get_run(version.run_id).info.artifact_uri.removeprefix("file://"))
    return [run / FOLDER / version.tags[tag_of(name)] / name for name in ATTACHMENTS]


def test_a_flipped_byte_in_any_file_of_a_version_is_found(student_folder: Path, base_folder: Path) -> None:
    made = register(student_folder, base_folder, "flipped", EVALUATED)
    client = open_tracking()
    version = find_version(client, made.model_name, made.version)
    assert verify_version(client, made.model_name, made.version) == []
    with model_files(client, made.model_name, version.version) as folder:
        # what loading in place leaves behind is no part of the version
        left = [folder / "registered_model_meta", *folder.rglob("__pycache__/*")]
        files = [path for path in folder.rglob("*") if path.is_file() and path not in left]
        for path in files:
            flip_byte(path)
        problems = set(verify_version(client, made.model_name, made.version))
        named = {f"{path.relative_to(folder)} of the registered model is not what was registered" for path in files}
        assert problems == named
        for path in files:
            if path.stat().st_size > 1:
                flip_byte(path)
            else:
                path.write_bytes(b"")
    assert verify_version(client, made.model_name, made.version) == []
    for path in attached_files(version):
        flip_byte(path)
        assert [path.name in problem for problem in verify_version(client, made.model_name, made.version)] == [True]
        flip_byte(path)
    planted, found = len(files) + len(ATTACHMENTS), len(problems & named) + len(ATTACHMENTS)
    print(f"{found} of {planted} planted faults found ({student_folder.parent.name})")
    assert found == planted > 40


def test_missing_and_added_files_are_named(student_folder: Path, base_folder: Path) -> None:
    made = register(student_folder, base_folder, "moved", EVALUATED)
    client = open_tracking()
    with model_files(client, made.model_name, str(made.version)) as folder:
        (folder / "served.py").rename(folder / "other.py")
    assert verify_version(client, made.model_name, made.version) == [
        "served.py is missing from the registered model",
        "other.py was added to the registered model",
    ]


def test_bytecode_that_is_not_of_the_source_beside_it_is_named(student_folder: Path, base_folder: Path) -> None:
    made = register(student_folder, base_folder, "bytecode", EVALUATED)
    client = open_tracking()
    with model_files(client, made.model_name, str(made.version)) as folder:
        sources = [folder / "served.py", folder / "code/compeffdist/registry/model.py"]
        kept = [Path(py_compile.compile(str(source), doraise=True) or "") for source in sources]
        optimised = Path(py_compile.compile(str(sources[1]), doraise=True, optimize=2) or "")
        assert verify_version(client, made.model_name, made.version) == []
        other = folder.parent / "other.py"
        other.write_text("print('run in place of what was registered')\n")
        strange = kept[0].with_name("nowhere.txt")
        for planted in (kept[0], optimised):
            py_compile.compile(str(other), str(planted), doraise=True)
        kept[1].write_bytes(b"not bytecode")
        strange.touch()
        names = [path.relative_to(folder).as_posix() for path in (*kept, optimised, strange)]
    assert sorted(verify_version(client, made.model_name, made.version)) == sorted(
        f"{name} is not bytecode of the source beside it: remove it" for name in names
    )


def test_a_damaged_version_is_not_reused(student_folder: Path, base_folder: Path) -> None:
    first = register(student_folder, base_folder, "damaged", EVALUATED)
    with model_files(open_tracking(), first.model_name, "1") as folder:
        weights = next(folder.rglob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    second = register(student_folder, base_folder, "damaged", EVALUATED)
    third = register(student_folder, base_folder, "damaged", EVALUATED)
    assert [(made.version, made.reused) for made in (first, second, third)] == [(1, False), (2, False), (2, True)]
    assert verify_version(open_tracking(), first.model_name, 2) == []


def test_a_new_evaluation_takes_the_old_ones_place(student_folder: Path, base_folder: Path) -> None:
    first = register(student_folder, base_folder, "again", EVALUATED)
    again = register(student_folder, base_folder, "again", {**EVALUATED, PREDICTIONS: b"newer"})
    assert (again.version, again.reused) == (first.version, True)
    version = find_version(open_tracking(), first.model_name, first.version)
    assert read_attachment(version, PREDICTIONS) == b"newer"
    assert version.tags["student_predictions_sha256"] == hash_bytes(b"newer")
    assert verify_version(open_tracking(), first.model_name, first.version) == []


def test_registering_again_repairs_damaged_attachments(student_folder: Path, base_folder: Path) -> None:
    made = register(student_folder, base_folder, "mended", EVALUATED)
    client = open_tracking()
    version = find_version(client, made.model_name, made.version)
    attached_files(version)[-1].write_bytes(b"{}")
    assert ["evaluation_rows.json" in problem for problem in verify_version(client, made.model_name, 1)] == [True]
    register(student_folder, base_folder, "mended", EVALUATED)
    assert verify_version(client, made.model_name, 1) == []


def test_a_version_without_attachments_says_what_is_missing(student_folder: Path, base_folder: Path) -> None:
    made = register(student_folder, base_folder, "unevaluated", {})
    problems = verify_version(open_tracking(), made.model_name, made.version)
    assert [problem.split()[0] for problem in problems] == [PREDICTIONS, ROWS]


def test_the_manifest_names_every_file_that_loading_needs(student_folder: Path, base_folder: Path) -> None:
    made = register(student_folder, base_folder, "manifest", EVALUATED)
    files = json.loads(read_attachment(find_version(open_tracking(), made.model_name, made.version), MANIFEST))
    weights = {path.rpartition("/")[0] for path in files if path.endswith(".safetensors")}
    assert weights == {"artifacts/student"} | ({"artifacts/model"} if "lora" in student_folder.parts[-2] else set())
    assert {"MLmodel", "served.py", "code/compeffdist/registry/model.py"} <= files.keys()


def test_an_unknown_version_is_one_line_with_those_there_are(student_folder: Path, base_folder: Path) -> None:
    made = register(student_folder, base_folder, "known", {})
    with pytest.raises(UserError, match=r"has no version 7; there are 1$"):
        find_version(open_tracking(), made.model_name, 7)
    with pytest.raises(UserError, match="there are none"):
        find_version(open_tracking(), "nobody", 1)


def test_evaluation_attachments_hold_no_text(tmp_path: Path) -> None:
    rows = [make_row(task, text, "good") for task, text in (("films", "a secret text"), ("books", "another secret"))]
    write_records(tmp_path / "rows.jsonl", EvaluationRow, rows)
    (tmp_path / "predictions.parquet").write_bytes(b"parquet")
    task = EvaluationTask(name="films", location="x", labels=["bad", "good"], rows=1, subject="film review")
    attachments = evaluation_attachments(tmp_path / "predictions.parquet", tmp_path / "rows.jsonl", [task])
    assert b"secret" not in b"".join(attachments.values())
    assert json.loads(attachments[ROWS]) == {
        "films": {
            "labels": ["bad", "good"],
            "question": "",
            "subject": "film review",
            "rows": {rows[0].id: "good"},
        }
    }
    with pytest.raises(UserError, match="no such file"):
        evaluation_attachments(tmp_path / "none.parquet", tmp_path / "rows.jsonl", [task])


@pytest.mark.parametrize(
    ("message", "masked"),
    [
        ("http://ada:pa@ss@host:5000/api failed", "http://***@host:5000/api failed"),
        ("postgresql://host/db?password=pa@ss&x=1 refused", "postgresql://host/db?password=***&x=1 refused"),
        ("ada@example.org: see https://host/a@b", "ada@example.org: see https://host/a@b"),
    ],
)
def test_credentials_in_addresses_are_masked(message: str, masked: str) -> None:
    assert one_line(message) == masked


def test_bytecode_that_ends_whoever_reads_it_is_named_and_the_rest_is_still_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "bad"):
        (tmp_path / f"{name}.py").write_text("X = 1\n")
        py_compile.compile(str(tmp_path / f"{name}.py"))
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/__pycache__").write_text("a file of that name, which Python keeps nothing in")
    assert planted_bytecode(tmp_path) == []
    [bad] = (tmp_path / "__pycache__").glob("bad.*")
    bad.unlink()
    os.mkfifo(bad)  # who reads it never ends
    monkeypatch.setattr(bytecode, "SECONDS", 2.0)
    assert planted_bytecode(tmp_path) == [f"__pycache__/{bad.name}"]
