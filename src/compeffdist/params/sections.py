"""What sections of params are made of: their base, their words and numbers, and how a fault is told."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from compeffdist.credentials import public_address
from compeffdist.errors import UserError
from compeffdist.errors import one_line as error_line
from compeffdist.label_spelling import written_label
from compeffdist.network import address_hint
from compeffdist.yaml12 import read_yaml

PARAMS_FILE = Path("params.yaml")
SOURCES = "data/sources"
"""Where a user's own text files lie: a dependency of the stage that reads them."""
FILE_KINDS = ("jsonl", "csv", "parquet")
"""Kinds of text source that are a file of the user's."""
FILE_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
"""How a labelled file's name ends -> its kind."""
QUESTION_FIELD = re.compile(r"\{([^{}]*)\}")
"""A place in a question that a row's field fills."""
MOST_STEPS = 20
"""Between the ends of a scale."""
LOCAL_MODELS = "models/local"
"""Where a user's own weights lie: a dependency of the stage that resolves models."""


def one_line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must be text on one line, not empty and without control characters")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[\w.-]+(?: [\w.-]+)*", value):
        raise ValueError("must be of letters, digits, '.', '-', '_' and single spaces between words")
    return value


def one_of(words: Collection[str]) -> AfterValidator:
    """A check that a word is registered; `Literal` for what is listed elsewhere."""

    def check(value: str) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    return AfterValidator(check)


def file_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w-]*", value):
        raise ValueError("must be the name of a file in domains/, less its ending: letters, digits, '_' and '-'")
    return value


def _shown(value: object) -> str:
    """A value as messages repeat it: of an address without what must not be printed."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return repr(public_address(value) if isinstance(value, str) and "://" in value else value)


def server_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"must be an address such as http://127.0.0.1:8000/v1{address_hint(value)}")
    if "@" in value.rpartition(parts.netloc)[2] or parts.netloc.count("@") > 1:
        raise ValueError("has a user name or password with '/', '@', '?' or '#': write these as %2F, %40, %3F, %23")
    return value


def server_urls(value: object) -> str | list[str]:
    """One address of a server, or several, of replicas."""
    if isinstance(value, str):
        return server_url(value)
    if not isinstance(value, list) or not value or not all(isinstance(url, str) for url in value):
        raise ValueError("must be an address such as http://127.0.0.1:8000/v1, or a list of such, not empty")
    places: list[tuple[str | int | None, ...]] = []
    for number, url in enumerate(value, 1):
        try:
            parts = urlsplit(server_url(url))
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}") from None
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        places.append((parts.scheme, parts.hostname, port, parts.path.rstrip("/")))
        if places[-1] in places[:-1]:
            first = places.index(places[-1]) + 1
            raise ValueError(f"entry {number}: is the server of entry {first} once more")
    return value


Probability = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
NonNegativeFloat = Annotated[float, Field(ge=0.0)]
Line = Annotated[str, AfterValidator(one_line)]
Name = Annotated[str, AfterValidator(_name)]
"""Goes into artefacts, file names and MLflow, which refuses more."""


class Section(BaseModel):
    """Settings of one concern: unknown keys are refused, values are not coerced, nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


def as_text(label: Any) -> Any:
    return label if isinstance(label, str) else written_label(label) or label


def in_sources(location: str) -> str:
    """Where a user's file is: one named without a folder lies in `data/sources/`."""
    return location if "/" in location else f"{SOURCES}/{location}"


def dataset_folder(location: str) -> str:
    """The folder that a location of kind huggingface names in `data/sources/`, as it is written; empty if none."""
    folder = re.split("[@:]", location, maxsplit=1)[0]
    return folder if lies_in(folder, SOURCES) else ""


def is_path(location: str) -> bool:
    """Whether a location of kind huggingface cannot be a data set of the hub, which is NAME or OWNER/NAME."""
    repo = re.split("[@:]", location, maxsplit=1)[0]
    return repo.startswith(("/", ".", "~")) or repo.count("/") > 1


def lies_in(location: str, folder: str) -> bool:
    """Whether a path, as it is written, leads below `folder` of the checkout."""
    parts, above = PurePosixPath(location).parts, PurePosixPath(folder).parts
    return ".." not in parts and len(parts) > len(above) and parts[: len(above)] == above


def refuse_shared_name(what: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"{what}: two share a name")


S = TypeVar("S", bound=Section)


def checked(kind: type[S], **values: Any) -> S:
    """A section from a command's arguments. Raises UserError naming the argument that is out of bounds."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise UserError(f"--{name}: {first['msg']} (got {_shown(first['input'])})") from None


def read_section(kind: type[S], source: Path, **given: Any) -> S:
    """A section from a YAML file of its own.

    Args:
        given: what stands outside the file, such as its name, and so not in it.

    Raises:
        UserError: one line naming file and key; a file that cannot be read or is no mapping.
    """
    try:
        raw = read_yaml(source.read_bytes(), str(source))
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}") from None
    if not isinstance(raw, dict) or given.keys() & raw.keys():
        needed = [name for name, field in kind.model_fields.items() if field.is_required() and name not in given]
        without = f", without {', '.join(given)}, which is the file's" if given else ""
        raise UserError(f"{source}: expected a mapping with {', '.join(needed)}{without}")
    try:
        return kind.model_validate({**given, **raw})
    except ValidationError as error:
        raise UserError(f"{source}: {error_line(fault_of(error), 300)}") from None


def fault_of(error: ValidationError) -> str:
    """The first thing that is wrong with a section, in one line naming its key."""
    # a misspelt key is also a missing one: the key that is there is the one to point at
    first = next((e for e in error.errors() if e["type"] == "extra_forbidden"), error.errors()[0])
    key = ".".join(str(part) for part in first["loc"])
    what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] in ("extra_forbidden", "missing") or not key else f" (got {_shown(first['input'])})"
    return f"{key}{': ' if key else ''}{what}{given}"
