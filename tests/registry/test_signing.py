"""Signatures of versions: what is signed holds, and nothing else does. No network, no identity of anybody."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError

from compeffdist.errors import UserError
from compeffdist.params import RegistryParams, SigningParams
from compeffdist.registry.artifacts import SIGNATURE, model_files, read_attachment
from compeffdist.registry.register import register_student
from compeffdist.registry.signing import (
    expect_signer,
    is_signed,
    is_signed_by,
    key_file,
    sign_files,
    signature_fault,
    version_fault,
)
from compeffdist.registry.tracking import open_tracking
from tests.stages import ROOT


def write_keys(folder: Path, name: str, private: Any = None) -> tuple[Path, Path]:
    """Paths of a private key and of its public key."""
    key = private or ec.generate_private_key(ec.SECP256R1())
    paths = folder / f"{name}.pem", folder / f"{name}.pub"
    paths[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    paths[1].write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return paths


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "own")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "version"
    for path, content in {"MLmodel": b"x", "artifacts/student/model.safetensors": b"w" * 64, "code/a.py": b"1"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_what_was_signed_holds_wherever_it_lies_and_after_it_was_loaded(files: Path, keys: tuple[Path, Path]) -> None:
    signature = sign_files(files, keys[0])
    moved = files.with_name("elsewhere")
    shutil.move(files, moved)
    (moved / "registered_model_meta").write_text("m")
    (moved / "code/__pycache__").mkdir()
    (moved / "code/__pycache__/a.cpython-311.pyc").write_bytes(b"x")
    assert signature_fault(moved, signature, keys[1]) == ""


def flip_one_byte(files: Path) -> None:
    weights = files / "artifacts/student/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[17] ^= 1
    weights.write_bytes(content)


def swap(files: Path) -> None:
    (files / "MLmodel").write_bytes(b"1")
    (files / "code/a.py").write_bytes(b"x")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (flip_one_byte, "^artifacts/student/model.safetensors was changed$"),
        (lambda files: (files / "code/b.py").write_text("2"), "^code/b.py was added$"),
        (lambda files: (files / ".gitignore").write_text("2"), "^.gitignore was added$"),
        (lambda files: (files / "code/a.py").unlink(), "^code/a.py was removed$"),
        (
            lambda files: (files / "code/a.py").rename(files / "code/b.py"),
            "^code/b.py was added; code/a.py was removed$",
        ),
        (swap, "^MLmodel was changed; code/a.py was changed$"),
        (lambda files: (files / "code/c.py").symlink_to("a.py"), "symlink"),
    ],
)
def test_a_changed_added_or_removed_file_is_found(
    files: Path, keys: tuple[Path, Path], change: Callable[[Path], None], told: str
) -> None:
    signature = sign_files(files, keys[0])
    change(files)
    fault = signature_fault(files, signature, keys[1])
    assert re.search(told, fault) and "\n" not in fault and "sha256" not in fault


def test_another_key_an_altered_signature_and_none_at_all_do_not_hold(
    files: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    signature, other = sign_files(files, keys[0]), write_keys(tmp_path, "other")
    assert "Key mismatch" in signature_fault(files, signature, other[1])
    theirs = sign_files(files, other[0])
    # their signature under our key's name
    ours, name = (text.partition(b'"hint"')[2][:70] for text in (signature, theirs))
    assert ours != name and "not made by this key" in signature_fault(files, theirs.replace(name, ours), keys[1])
    for broken in (b"", b"{}", b"[]", signature[:-20], b"\xff"):
        assert signature_fault(files, broken, keys[1])


def test_who_has_nothing_of_ours_checks_a_version_as_the_documentation_says(
    files: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    """Of a version that was loaded where it lies, too."""
    section = (ROOT / "docs/signatures.md").read_text(encoding="utf-8")
    [commands] = [block for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) if "verify key" in block][:1]
    (tmp_path / "signature.sig").write_bytes(sign_files(files, keys[0]))
    keys[1].rename(tmp_path / "students.pub")
    files.rename(tmp_path / "FOLDER")
    (tmp_path / "FOLDER/registered_model_meta").write_text("m")
    for beside in ("code", "code/deep"):
        (tmp_path / "FOLDER" / beside / "__pycache__").mkdir(parents=True)
        (tmp_path / "FOLDER" / beside / "__pycache__/a.cpython-311.pyc").write_bytes(b"x")
    installed = f'model_signing() {{ "{sys.executable}" -m model_signing "$@"; }}\n'  # wherever its script lies

    def succeeds(script: str) -> bool:
        command = ["sh", "-e", "-c", installed + script]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0

    assert succeeds(commands) and (tmp_path / "FOLDER/code/__pycache__").exists()
    shutil.rmtree(tmp_path / "copy")
    flip_one_byte(tmp_path / "FOLDER")
    assert not succeeds(commands)


def test_model_signing_itself_says_the_same(files: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    """Whoever has a version, its signature and the public key needs nothing of ours."""
    (tmp_path / "own.sig").write_bytes(sign_files(files, keys[0]))
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(files), "--signature"]
    command += [str(tmp_path / "own.sig"), "--public_key", str(keys[1])]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    flip_one_byte(files)
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_a_key_is_named_by_path_or_variable_and_looked_at_beforehand(
    keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_KEY", str(keys[0]))
    assert key_file(None, "p") is None
    assert key_file(str(keys[0]), "p") == key_file("env:OWN_KEY", "p") == keys[0]
    with pytest.raises(UserError, match=r"environment variable NO_KEY is not set; signing\.private_key says"):
        expect_signer(SigningParams(private_key="env:NO_KEY"))
    with pytest.raises(UserError, match=r"none\.pem: no such file; see signing\.private_key"):
        expect_signer(SigningParams(private_key=str(tmp_path / "none.pem")))
    of_rsa = write_keys(tmp_path, "rsa", rsa.generate_private_key(65537, 2048))
    for wrong in (keys[1], of_rsa[0]):
        with pytest.raises(UserError, match="is not a private key of curve P-256"):
            expect_signer(SigningParams(private_key=str(wrong)))
    with pytest.raises(UserError, match="is no public key of an elliptic curve"):
        signature_fault(tmp_path, b"", of_rsa[1])
    expect_signer(SigningParams(private_key=str(keys[0])))
    expect_signer(SigningParams())


def test_signatures_are_not_demanded_without_a_key_to_check_them_by() -> None:
    """With none, a signature of anybody's would do."""
    with pytest.raises(ValidationError, match=r"true needs a signing\.public_key"):
        SigningParams(required=True)
    with pytest.raises(ValidationError) as told:
        SigningParams(public_key=" ", required=True)
    assert [error["loc"] for error in told.value.errors()] == [("public_key",)]
    assert SigningParams(public_key="env:KEY", required=True).required


def test_a_version_is_signed_when_it_is_registered_and_never_because_it_lies_there(
    student_folder: Path, base_folder: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    settings = RegistryParams(model_name=f"signed-{student_folder.parent.name}", experiment="tests")

    def register(private_key: Path | None = None) -> tuple[int, bool]:
        made = register_student(student_folder, base_folder, settings, {}, private_key=private_key)
        return made.version, made.reused

    client = open_tracking()

    def version(number: int) -> Any:
        return client.get_model_version(settings.model_name, str(number))

    assert register() == (1, False) and not is_signed(version(1))
    assert register(keys[0]) == (2, False) and is_signed_by(client, version(2), keys[0])
    assert register(keys[0]) == (2, True) and not is_signed(version(1))
    assert version_fault(client, version(2), keys[1]) == ""
    other = write_keys(tmp_path, "other")
    assert register(other[0]) == (3, False) and not is_signed_by(client, version(2), other[0])
    with model_files(client, settings.model_name, "2") as folder:
        code = folder / "code/compeffdist/canonical.py"
        code.write_text(code.read_text() + "# theirs\n")
        assert "code/compeffdist/canonical.py" in version_fault(client, version(2), keys[1])
    client.set_model_version_tag(settings.model_name, "3", "signature_sha256", "0" * 64)
    assert "cannot be fetched" in version_fault(client, version(3), other[1])
    with pytest.raises(UserError, match="is no public key"):  # whatever else is wrong
        version_fault(client, version(3), keys[0])
    assert read_attachment(version(2), SIGNATURE)
