"""Signatures of registered versions: OpenSSF model signing with a key of one's own, made and checked without network.

A signature is a Sigstore bundle over the SHA-256 of every file of a version, as `model_signing` itself writes and reads
it (`model_signing verify key`). It is kept with the version like its manifest, as an attachment. Who can write to the
registry can take a signature away or alter files, but cannot sign: hence `signing.required`.
"""

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError, one_line
from compeffdist.files import home_path
from compeffdist.params import SigningParams
from compeffdist.registry.artifacts import NOTE_OF_ORIGIN, SIGNATURE, model_files, read_attachment, tag_of
from compeffdist.registry.bytecode import planted_bytecode

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

BY_VARIABLE = "env:"
"""How a param begins that names a variable which holds a key's path."""


def key_file(named: str | None, param: str) -> Path | None:
    """Where a key lies that a param names; none if it names none. Raises UserError if it is not there."""
    if named is None:
        return None
    variable = named.removeprefix(BY_VARIABLE)
    where = os.environ.get(variable, "") if named.startswith(BY_VARIABLE) else named
    if not where:
        raise UserError(f"environment variable {variable} is not set; {param} says that it holds the path of a key")
    path = home_path(where)
    if not path.is_file():
        raise UserError(f"{path}: no such file; see {param}")
    return path


def expect_signer(signing: SigningParams) -> None:
    """Raises UserError if a key is to sign, and is not there or cannot."""
    if key := key_file(signing.private_key, "signing.private_key"):
        _signer(key)


def sign_files(folder: Path, private_key: Path) -> bytes:
    """The signature of all files in a folder. Raises UserError if the key cannot sign."""
    with tempfile.TemporaryDirectory() as kept:
        signer = _signer(private_key)
        signer.set_hashing_config(_hashing(folder)).sign(folder, Path(kept) / SIGNATURE)
        return (Path(kept) / SIGNATURE).read_bytes()


def signature_fault(folder: Path, signature: bytes, public_key: Path) -> str:
    """Why a signature does not hold for the files in a folder, in one line; empty if it does. Raises UserError if the
    key is none."""
    from cryptography.exceptions import InvalidSignature

    verifier = _verifier(public_key)
    with tempfile.TemporaryDirectory() as kept:
        path = Path(kept) / SIGNATURE
        path.write_bytes(signature)
        try:
            verifier.set_hashing_config(_hashing(folder)).verify(folder, path)
        except InvalidSignature:
            return "it was not made by this key, or altered"
        except Exception as error:  # whatever is wrong with it, it is no signature of these files
            return _told(str(error)) or type(error).__name__
    return ""


def _told(message: str) -> str:
    """What model_signing says of files, by their names alone: it adds digests as Python writes bytes."""
    found = [f"{path} was changed" for path in re.findall(r"Hash mismatch for '(.*?)': Expected", message)]
    for what, became in (("Extra files found", "added"), ("Missing files", "removed")):
        found += [f"{paths} was {became}" for paths in re.findall(rf"{what} in model '.*?': ([^\"]*)", message)]
    return one_line("; ".join(found) or message, 200)


def version_fault(client: "MlflowClient", version: "ModelVersion", public_key: Path) -> str:
    """The same of a version that has a signature, and of the bytecode beside its code, which is not signed and would be
    run in place of what is. Raises UserError if the key is none."""
    _verifier(public_key)  # what is wrong with the key is no fault of the version
    try:
        signature = read_attachment(version, SIGNATURE)
        with model_files(client, version.name, version.version) as folder:
            planted = [f"{path} is not bytecode of the source beside it" for path in planted_bytecode(folder)]
            return signature_fault(folder, signature, public_key) or one_line("; ".join(planted), 200)
    except UserError as error:
        return str(error)


def expect_intact(client: "MlflowClient", version: "ModelVersion", signing: SigningParams) -> None:
    """Raises UserError if a version's signature does not hold by the public key that params name, or the key is not
    there. A version without a signature passes: that is `required`'s matter."""
    key = key_file(signing.public_key, "signing.public_key")
    if key is None or not is_signed(version):
        return
    if fault := version_fault(client, version, key):
        # not "signature: FILE", which reads like a secret and is masked
        raise UserError(f"the signature of version {version.version} of {version.name} is invalid: {fault}")


def is_signed(version: "ModelVersion") -> bool:
    """Whether a signature is kept with a version, whatever it is worth."""
    return bool(version.tags.get(tag_of(SIGNATURE)))


def is_signed_by(client: "MlflowClient", version: "ModelVersion", private_key: Path) -> bool:
    """Whether a version has a signature of this key that holds. Raises UserError if the key cannot sign."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    _signer(private_key)
    if not is_signed(version):
        return False
    public: Any = load_pem_private_key(private_key.read_bytes(), None).public_key()
    with tempfile.TemporaryDirectory() as kept:
        path = Path(kept) / "public.pem"
        path.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return not version_fault(client, version, path)


def _signer(private_key: Path) -> Any:
    from model_signing.signing import Config

    try:
        return Config().use_elliptic_key_signer(private_key=private_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        needed = "a private key of curve P-256, P-384 or P-521 in PEM, without a password"
        raise UserError(f"{private_key}: is not {needed}: {one_line(error, 200)}") from None


def _verifier(public_key: Path) -> Any:
    from model_signing.verifying import Config

    try:
        return Config().use_elliptic_key_verifier(public_key=public_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{public_key}: is no public key of an elliptic curve in PEM: {one_line(error, 200)}") from None


def _hashing(folder: Path) -> Any:
    """What of a version is signed: all but what loading it in place leaves there, as in its manifest. What lies where
    Python keeps bytecode is held against its source (`version_fault`)."""
    from model_signing.hashing import Config

    caches = (path.relative_to(folder) for path in folder.rglob("__pycache__") if path.is_dir())
    return Config().set_ignored_paths(paths=[NOTE_OF_ORIGIN, *caches], ignore_git_paths=False)
