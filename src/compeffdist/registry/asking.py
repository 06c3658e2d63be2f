"""Asking a registered version in this process: rows of a file or of arguments, in requests within its bounds."""

import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from compeffdist.errors import UserError, one_line
from compeffdist.files import read_json
from compeffdist.params import ServingParams
from compeffdist.registry.artifacts import STRENGTH, TASKS, artifact_folder, model_files
from compeffdist.registry.bounds import TOO_LARGE, without_time
from compeffdist.registry.local_store import located
from compeffdist.registry.prompted_rows import PromptedRow
from compeffdist.registry.register import CANDIDATE
from compeffdist.registry.tracking import found_or_none, open_registry, raise_if_lost
from compeffdist.registry.weights import named_version
from compeffdist.texts.normalise import whole_characters
from compeffdist.tracking_uri import SCHEME

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

BATCH_ROWS = 256
REJECT = "too_large"
"""Why a row is not answered that is more than the version reads."""


@dataclass(frozen=True)
class LoadedVersion:
    """A registered version in this process."""

    uri: str
    model: Any
    """As MLflow loads it."""
    bounds: ServingParams

    def fitting(self, row: PromptedRow) -> PromptedRow:
        """The row, without what is asked if it is longer than the version reads."""
        longest = max(map(len, (row.asked.get("text", ""), row.asked.get("prompt", ""))))
        return PromptedRow(row.number, {}, REJECT) if longest > self.bounds.characters else row

    def ask(
        self,
        rows: Sequence[Mapping[str, str]],
        strength: float | None = None,
        numbers: Sequence[int] | None = None,
        rejecting: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Results in the order of `rows` (see `registry.model`).

        Rows are sent in requests of about the same size, for a prior is estimated from the texts of a request; one that
        is more tokens than the version answers at once is sent in halves.

        Args:
            strength: how much of a label prior is taken out; None: as the version says.
            numbers: of the rows in their file, for the message that one is refused; None: from 1.
            rejecting: whether a row that is too many tokens by itself has `reject` for its result, and is not refused.

        Raises:
            UserError: if the version refuses a row.
        """
        signature = self.model.metadata.signature
        if strength is not None and not (signature and signature.params):
            raise UserError(f"{self.uri}: an older version, which takes no label prior out; register the student anew")
        params = None if strength is None else {STRENGTH: strength}
        numbers = numbers or range(1, len(rows) + 1)
        waiting = even_parts(len(rows), min(BATCH_ROWS, self.bounds.rows))[::-1] if rows else []
        while waiting:
            part = waiting.pop()
            try:
                yield from self._request([rows[place] for place in part], params)
            except _TooLarge as error:
                if len(part) == 1 and not rejecting:
                    raise UserError(f"{self.uri}: row {numbers[part.start]}: {one_line(error, 300)}") from None
                if len(part) == 1:
                    yield {"reject": REJECT}
                    continue
                middle = (part.start + part.stop) // 2
                waiting += [range(middle, part.stop), range(part.start, middle)]
            except _Refused as error:
                said = _renumbered(str(error), numbers[part.start : part.stop])
                raise UserError(f"{self.uri}: {one_line(said, 300)}") from None

    def _request(self, rows: Sequence[Mapping[str, str]], params: dict[str, float] | None) -> list[dict[str, Any]]:
        """Raises _TooLarge, _Refused."""
        import mlflow
        import pandas as pd

        # a frame cannot hold halves of characters
        whole = [{key: whole_characters(value) for key, value in row.items()} for row in rows]
        try:
            return list(self.model.predict(pd.DataFrame(whole), params=params))
        except mlflow.MlflowException as error:
            raise_if_lost(error)
            too_large = error.json_kwargs.get("reason") == TOO_LARGE
            raise (_TooLarge if too_large else _Refused)(str(error)) from None
        except ImportError as error:
            raise _Refused(str(error)) from None


class _Refused(Exception):
    """By the version, in its words."""


class _TooLarge(_Refused):
    """A request that may be sent in parts."""


def load_version(uri: str) -> LoadedVersion:
    """A registered version, or what else MLflow can load, no longer bounded in time. Raises UserError if there is none,
    or it cannot be loaded."""
    client = open_registry()
    import mlflow  # as it was opened

    try:
        model = _loaded(client, uri)
    except (mlflow.MlflowException, ImportError) as error:
        raise_if_lost(error)
        raise UserError(f"{uri}: {one_line(error, 300)}") from None
    return LoadedVersion(uri, model, _lifted(model))


def ask_model(uri: str, rows: Sequence[Mapping[str, str]], strength: float | None = None) -> Iterator[dict[str, Any]]:
    """Results of a registered version, loaded for it, as `LoadedVersion.ask`. Raises UserError as that and
    `load_version`."""
    if rows:
        yield from load_version(uri).ask(rows, strength)


def _lifted(model: Any) -> ServingParams:
    """The bounds of a version, from now on without that of time; of what is none of ours, the defaults."""
    from mlflow import MlflowException

    try:
        inside = model.unwrap_python_model()
    except MlflowException:  # a model of another kind
        return ServingParams()
    bounds = getattr(inside, "bounds", None)
    if not isinstance(bounds, ServingParams):
        return ServingParams()
    inside.bounds = bounds = without_time(bounds)
    return bounds


def _renumbered(message: str, numbers: Sequence[int]) -> str:
    """A version's message with the number that the row it names has in the file in place of that in the request."""
    named = re.match(r"row (\d+): ", message)
    if named is None or not 0 < int(named[1]) <= len(numbers):
        return message
    return f"row {numbers[int(named[1]) - 1]}: {message[named.end() :]}"


def _loaded(client: "MlflowClient", uri: str) -> Any:
    """A version as MLflow loads it, where it lies: nothing is written beside it, not even compiled code."""
    import mlflow

    version = _named(client, uri)
    place = located(client.get_model_version_download_uri(version.name, version.version)) if version else None
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        made_for_here = place is not None and _is_made_for_here(place)
        return mlflow.pyfunc.load_model(uri if place is None else str(place), suppress_warnings=made_for_here)
    finally:
        sys.dont_write_bytecode = written


def _is_made_for_here(place: Path) -> bool:
    """Whether a version asks for this Python and for packages just as they are installed, so that MLflow has nothing to
    warn of: to see that takes it a second, in which it reads the lists of files of all packages."""
    try:
        flavour = yaml.safe_load((place / "MLmodel").read_text(encoding="utf-8"))["flavors"]["python_function"]
        asked = [line.partition("==") for line in (place / "requirements.txt").read_text(encoding="utf-8").split()]
        installed = [(importlib.metadata.version(name), version) for name, _, version in asked]
        here = ".".join(map(str, sys.version_info[:2]))
        return str(flavour["python_version"]).startswith(f"{here}.") and all(one == other for one, other in installed)
    except (OSError, LookupError, TypeError, ValueError, yaml.YAMLError, importlib.metadata.PackageNotFoundError):
        return False  # MLflow says what is wrong with it


def _named(client: "MlflowClient", uri: str) -> "ModelVersion | None":
    """The registered version that is meant, none if it is something else MLflow can load. Raises UserError if there is
    no such version."""
    if not re.fullmatch(r"models:/[^/@]+(/[0-9]+|@[^/]+)", uri):
        return None
    try:
        return named_version(client, uri)
    except UserError as error:
        raise UserError(_no_candidate(client, uri) or str(error)) from None


def even_parts(count: int, most: int) -> list[range]:
    """The fewest ranges of at most `most` that cover `count`, their sizes equal plus or minus one."""
    parts = -(-count // most)
    return [range(count * place // parts, count * (place + 1) // parts) for place in range(parts)]


def tasks_of(uri: str) -> list[dict[str, Any]]:
    """The tasks a registered version is asked by name, each with `name`, `prompt` and `labels` (none: a free answer).
    Raises UserError if there is no such version, or it carries no tasks."""
    client = open_registry()
    version = _named(client, uri)
    if version is None:
        raise UserError(f"{uri}: expected models:/NAME/VERSION or models:/NAME@ALIAS")
    with model_files(client, version.name, version.version) as folder:
        found = artifact_folder(folder, TASKS)
        if found is None:
            raise UserError(f"{uri}: an older version, which names no tasks; register the student anew")
        return list(read_json(found))


def _no_candidate(client: "MlflowClient", uri: str) -> str:
    """What to do where alias candidate is asked for and no version has it; empty if that is not the matter."""
    from mlflow import MlflowException

    name, _, alias = uri.removeprefix(SCHEME).partition("@")
    if alias != CANDIDATE:
        return ""
    try:
        model = found_or_none(client.get_registered_model, name)
    except MlflowException as error:
        raise_if_lost(error)
        return ""
    if model is None:
        return f"there is no registered model {name}: make one with dvc repro, or name another with --model"
    if CANDIDATE in model.aliases:
        return ""
    numbers = [int(version.version) for version in client.search_model_versions(f"name = '{name}'")]
    if not numbers:
        return f"{name} has no versions: make one with dvc repro, or name another model with --model"
    others = [f"models:/{name}@{other}" for other in sorted(model.aliases)]
    return (
        f"no version of {name} is {CANDIDATE}: no student has passed its gate yet (compeffdist results says why); to "
        f"ask one all the same, name it: --model {' or '.join([*others, f'models:/{name}/{max(numbers)}'])}"
    )
