"""What params name: models, texts, labelled rows, the teacher. Whether it is here; what is not is fetched by a run."""

import os
from collections.abc import Iterator
from contextlib import redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from compeffdist.credentials import public_address
from compeffdist.doctor.finding import Finding
from compeffdist.domain import domain_of
from compeffdist.engines import BEHIND_API
from compeffdist.errors import UserError, one_line
from compeffdist.evaluation.named_fields import check_fields
from compeffdist.files import home_path, refuse_linked_folder
from compeffdist.models.index import IndexEntry
from compeffdist.models.references import Reference, parse_reference, short
from compeffdist.network import HTTPX, check_key, environment_faults, host_of, is_loopback, key_variable
from compeffdist.packages import kept_members
from compeffdist.params import EvaluationTask, ModelParams, Params, TextSource, dataset_folder
from compeffdist.teacher.recorded import recorded_identities
from compeffdist.texts.corpora import find_corpus
from compeffdist.texts.hub import parse_dataset

FETCHED = "a run fetches it: needs the network"


def domain(params: Params) -> Iterator[Finding]:
    """The domain's file, and the questions that go with it."""
    held = domain_of(params)
    held.monitored.asked_in(params.evaluation)
    yield Finding("domain", "ok", f"{params.domain}: {one_line(held.monitored.asked(), 100)}")


def teacher_key(params: Params, url: str) -> str:
    """The variable that holds the key of one of the teacher's servers, which its reference names (`api:NAME@SERVER`)
    unless its address does."""
    return key_variable(params.models.teacher.reference[0].rpartition("@")[2], url)


def teacher(params: Params) -> Iterator[Finding]:
    """How it is asked: the server's address and key of one behind an API, the library of one here."""
    engine = params.teacher.engine
    if engine in BEHIND_API:
        for fault in dict.fromkeys(f for url in params.runtime.addresses for f in environment_faults(url, HTTPX)):
            yield Finding("teacher", "fault", fault, "mend or unset the variable")
        for url in params.runtime.addresses:
            yield _server(engine, url, teacher_key(params, url))
    elif engine == "vllm" and find_spec("vllm") is None:
        yield Finding(
            "teacher",
            "note",
            "engine vllm: the package is not installed",
            "make setup (on a GPU: pip install vllm); needed once an answer has to be bought",
        )
    else:
        yield Finding("teacher", "ok", f"engine {engine}, in this machine")


def _server(engine: str, url: str, variable: str) -> Finding:
    at, key = f"engine {engine} at {public_address(url)}", check_key(variable)
    if key or is_loopback(host_of(url)):
        return Finding("teacher", "ok", f"{at}{'' if key else ', without a key'}; --online asks it")
    if variable in os.environ:
        told = f"{at}: {variable} is set but empty, so no key is sent"
        return Finding("teacher", "note", told, "give it the key, if the server wants one")
    return Finding("teacher", "note", f"{at}: {variable} is not set", "set it, if the server wants a key")


def models(params: Params, cache: Path) -> Iterator[Finding]:
    """Whether the weights of the three models are here."""
    for role, model in params.models:
        yield from _model(role, model, params, cache)


def _model(role: str, model: ModelParams, params: Params, cache: Path) -> Iterator[Finding]:
    of = f"model {role}"
    references = [parse_reference(text) for text in model.reference]
    for reference in references:
        if reference.scheme == "api":
            yield Finding(of, "ok", f"{short(reference.text)}: behind an API")
            return
        entry = IndexEntry.read(IndexEntry.place(reference, model.dtype, cache))
        if entry is not None and _is_here(entry):
            size = sum(stamp.bytes for stamp in entry.stamps.values())
            yield Finding(of, "ok", f"{short(reference.text)}: in the cache, {size / 1e6:,.0f} MB")
            return
    if role == "teacher" and _is_recorded(references, model, params):
        told = f"{short(references[0].text)}: not here, its answers are recorded"
        yield Finding(of, "ok", f"{told}; fetched once one has to be bought")
        return
    local = [reference for reference in references if reference.scheme == "path"]
    if there := next((reference for reference in local if Path(reference.location).exists()), None):
        yield Finding(of, "ok", f"{short(there.text)}: here, not read yet")
    elif len(local) == len(references):
        yield Finding(of, "fault", f"{short(references[0].text)}: no such file or folder", f"mend models.{role}")
    else:
        fetched = next(reference for reference in references if reference.scheme != "path")
        yield Finding(of, "note", f"{short(fetched.text)}: not in {cache}", FETCHED)


def _is_here(entry: IndexEntry) -> bool:
    """By size alone: nothing is hashed, nothing noted."""
    files = ((entry.folder / name, stamp.bytes) for name, stamp in entry.stamps.items())
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


def _is_recorded(references: list[Reference], model: ModelParams, params: Params) -> bool:
    pinned = {(reference.sha256, model.dtype) for reference in references if reference.sha256}
    return any((held.source_sha256, held.dtype) in pinned for held in recorded_identities(params.runtime))


def texts(params: Params, cache: Path) -> Iterator[Finding]:
    """Whether the sources of texts and the labelled rows are here."""
    for source in params.texts.sources:
        yield from _rows(f"texts {source.name}", source, source.kind, cache)
    for task in params.evaluation.tasks:
        yield from _rows(f"evaluation {task.name}", task, task.kind if task.is_file else "package", cache)


def _rows(of: str, rows: TextSource | EvaluationTask, kind: str, cache: Path) -> Iterator[Finding]:
    if kind == "package":
        yield _corpus(of, rows.location, cache)
    elif kind == "huggingface":
        parse_dataset(rows.location)
        folder = dataset_folder(rows.location)
        if folder and not Path(folder).is_dir():
            yield Finding(of, "fault", f"{folder}: no such folder", "put the data set there")
        else:
            told = "a folder here" if folder else "of a hub, not looked for"
            yield Finding(of, "ok" if folder else "note", f"{rows.location}: {told}", "" if folder else FETCHED)
    else:
        yield _file(of, rows)


def _file(of: str, rows: TextSource | EvaluationTask) -> Finding:
    path = Path(rows.location)
    try:
        refuse_linked_folder(path)
        size = path.stat().st_size if path.is_file() else -1
    except (UserError, OSError) as error:
        return Finding(of, "fault", one_line(error, 200))
    if size < 0:
        return Finding(of, "fault", f"{path}: no such file", "put it there, or take it out of params.yaml")
    if not os.access(path, os.R_OK):
        return Finding(of, "fault", f"{path}: may not be read", "chmod u+r")
    if not size:
        return Finding(of, "fault", f"{path}: 0 bytes", "it is empty")
    try:
        check_fields(rows)
    except UserError as error:
        return Finding(of, "fault", one_line(error, 400), "mend params.yaml, or the file")
    return Finding(of, "ok", f"{path}: {size:,} bytes")


def _corpus(of: str, name: str, cache: Path) -> Finding:
    try:
        corpus = find_corpus(name)
    except UserError as error:
        return Finding(of, "fault", one_line(error, 300))
    with redirect_stderr(StringIO()):  # what is altered there is fetched again
        kept = kept_members(corpus.package, corpus.archive, cache, source_distribution=corpus.source_distribution)
    if kept:
        return Finding(of, "ok", f"{name} of {corpus.package}: in the cache")
    return Finding(of, "note", f"{name} of {corpus.package}: not in {cache}", FETCHED)


def writable_folders(params: Params, cache: Path) -> dict[str, Path]:
    """Where a run writes, by what it writes there."""
    return {
        "artefacts": Path().absolute(),
        "response store": home_path(params.runtime.store).absolute().parent,
        "models and texts": cache,
    }
