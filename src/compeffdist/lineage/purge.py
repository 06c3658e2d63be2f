"""What still holds a withdrawn text once the data was made again, and its removal.

Older states of the data stay in DVC's cache and remotes, experiments in git's refs, older students in the
registry. A file of records holds a text if one of them is it or was made from it; a student, if it was
trained on one; the weights of a student are not searched for words but counted as holding what they learnt.
"""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compeffdist.artefacts import (
    DIFFICULTY_PAGE,
    PAIRS,
    PREDICTED,
    PROXY,
    REJECTS,
    REPORT,
    REPORT_ROWS,
    STUDENT,
    TEXTS,
    TRIPLETS,
    WARM_UP,
)
from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError, one_line
from compeffdist.lineage.repository import EXPERIMENTS, WORKSPACE, Lock, Repository
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.trace import kept_below
from compeffdist.lineage.versions import Version
from compeffdist.records import Text
from compeffdist.tracking_uri import CHAMPION, SCHEME

SHOWN = (DIFFICULTY_PAGE, REPORT, REPORT_ROWS)
"""Pages that show some of all triplets, and the file with all of them: they count as showing each."""
PARQUET = b"PAR1"
"""How a Parquet file begins. Its columns are compressed: searching its bytes would find nothing."""

Kind = Literal["cache object", "remote object", "experiment", "model version"]


@dataclass(frozen=True)
class Holding:
    """One thing outside the working folder's data that holds a text."""

    kind: Kind
    name: str
    """MD5 of an object, ref of an experiment, reference of a version."""
    what: str
    """What it is, and where it belongs."""
    remote: str = ""
    """Name of the DVC remote, for an object there."""
    elsewhere: str = ""
    """Of a version in a copied registry: where its files lie, which are the original's and stay."""
    needed: bool = False
    """Whether the working folder's data, or the champion, still rests on it: it is not removed."""


def holdings(
    repository: Repository,
    snapshots: Sequence[Snapshot],
    versions: Sequence[Version],
    text_id: str,
    text: Text | None,
) -> list[Holding]:
    """Cache objects, remote objects, experiments and versions that hold a text.

    Args:
        snapshots: of every lock.
        text: the text itself, to search objects by that no lock names; None if no data on this machine has it.
    """
    affected = [snapshot for snapshot in snapshots if snapshot.path_of(text_id)]
    here = next((snapshot for snapshot in snapshots if WORKSPACE in snapshot.lock.places), None)
    # what the data made without the text has in common with older data does not hold it
    clean = _bytes_of(repository, here.lock) if here is not None and here not in affected else set()
    objects: dict[str, str] = {}
    for snapshot in affected:
        for md5, path in _objects(repository, snapshot, text_id):
            if md5 not in clean:
                objects.setdefault(md5, f"{path} of {snapshot.lock.places[0]}")
    current = {md5 for md5, _ in _objects(repository, here, text_id)} if here in affected and here else set()
    named = set().union(*(_bytes_of(repository, snapshot.lock) for snapshot in snapshots))
    for md5, file in repository.cached_objects():
        if md5 not in named and _holds(file, text_id, text.text if text else ""):
            objects[md5] = "no known lock: a run that was not committed"
    commits = {commit for snapshot in affected for commit in snapshot.lock.commits}
    return [
        *(
            Holding("cache object", md5, what, needed=md5 in current)
            for md5, what in objects.items()
            if repository.object_path(md5).is_file()
        ),
        *_in_remotes(repository, objects, current),
        *(
            Holding("experiment", ref, f"experiment {ref.rsplit('/', 1)[1]}")
            for ref, commit in repository.history.refs(EXPERIMENTS)
            if commit in commits
        ),
        *_versions(affected, versions, text_id),
    ]


def unlooked(
    repository: Repository, snapshots: Sequence[Snapshot], versions: Sequence[Version], text_id: str
) -> Iterator[str]:
    """What may hold a text and cannot be looked into, one line each."""
    if repository.history.shallow:
        yield "git's history before this shallow clone begins (git fetch --unshallow)"
    for snapshot in snapshots:
        if snapshot.path_of(text_id) and (absent := snapshot.missing_below(TEXTS)):
            yield (
                f"{snapshot.lock.places[0]}: its data has the text, but {', '.join(absent)} of it are not on this "
                "machine (dvc fetch --all-commits), so what was made of the text there cannot be told"
            )
    states = {version.reference: [s for s in snapshots if version.is_of(s.lock)] for version in versions}
    unknown = [reference for reference, found in states.items() if not found]
    blind = [reference for reference, found in states.items() if found and all(s.table(TEXTS) is None for s in found)]
    if unknown:
        yield (
            f"{len(unknown)} model versions, such as {unknown[0]}: no commit, experiment or working folder has the "
            "data they were trained on (git fetch), so what they learnt cannot be told"
        )
    if blind:
        yield (
            f"{len(blind)} model versions, such as {blind[0]}: the texts they were trained on are not on this machine "
            "(dvc fetch --all-commits), so what they learnt cannot be told"
        )
    torn = [md5 for md5, path in repository.cached_objects() if _is_torn(path)]
    if torn:
        yield f"{len(torn)} objects in DVC's cache, such as {torn[0]}: Parquet files that are cut short or damaged"
    for name, remote in repository.remotes():
        if remote.fs.protocol == "local" and not Path(remote.path).exists():
            yield f"DVC remote {name}: there is no {remote.path}: nothing was pushed to it yet, or it is not mounted"


# ---------------------------------------------------------------- finding


def _objects(repository: Repository, snapshot: Snapshot, text_id: str) -> Iterator[tuple[str, str]]:
    """(MD5, path) of every artefact of a state that holds the text, files of folders among them."""
    reached = snapshot.made_of(text_id)
    paths = snapshot.paths_with(reached)
    outs = snapshot.lock.outs
    yield from ((outs[path].md5, path) for path in paths)
    for path in (path for path in outs if path.startswith(REJECTS)):
        # a near-duplicate was rejected for this text, and says so
        fields = zip(snapshot.values(path, "record_id"), snapshot.values(path, "detail"), strict=True)
        if any(key in reached or text_id in detail for key, detail in fields):
            yield outs[path].md5, path
    # a warm-up is drawn from all triplets and does not record which: it counts as having learnt them all; a proxy,
    # which is there if something was predicted, holds means over the prompts of all pairs
    learnt = {
        WARM_UP: TRIPLETS in paths,
        PROXY: PAIRS in paths and bool(snapshot.values(PREDICTED, "id")),
        STUDENT: bool(kept_below(snapshot, text_id)),
    }
    for path in (path for path, holds in learnt.items() if holds and path in outs):
        yield outs[path].md5, path
        for name, md5 in repository.listing(outs[path]) or ():
            # tokenizers and configurations hold nothing that was learnt
            if name.endswith(".safetensors") or name == "student.json":
                yield md5, f"{path}/{name}"
    if learnt[WARM_UP]:
        yield from ((outs[page].md5, page) for page in SHOWN if page in outs)


def _bytes_of(repository: Repository, lock: Lock) -> set[str]:
    """MD5 of every object that a lock needs, files of folders among them."""
    found = {item.md5 for item in lock.outs.values()}
    folders = (item for item in lock.outs.values() if item.is_folder)
    return found | {md5 for item in folders for _, md5 in repository.listing(item) or ()}


def _holds(path: Path, text_id: str, text: str) -> bool:
    """Whether a file's bytes, or the strings in a Parquet file's columns, hold the id or the text."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    # in JSON a text stands escaped
    needles = {needle for needle in (text_id, text, canonical_json(text)[1:-1]) if needle}
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if content[:4] != PARQUET:
            return any(content.find(needle.encode()) >= 0 for needle in needles)
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid:
        return False
    columns = [table[field.name] for field in table.schema if field.type == pa.string()]
    columns += [pc.list_flatten(table[field.name]) for field in table.schema if field.type == pa.list_(pa.string())]
    return any(pc.any(pc.match_substring(column, needle)).as_py() for column in columns for needle in needles)


def _is_torn(path: Path) -> bool:
    """Whether a file begins as Parquet and cannot be read as it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as stream:
        if stream.read(len(PARQUET)) != PARQUET:
            return False
    try:
        pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return True
    return False


def _in_remotes(repository: Repository, objects: dict[str, str], current: set[str]) -> Iterator[Holding]:
    for name, remote in repository.remotes():
        with _reaching(name):
            if remote.fs.protocol in ("http", "https"):  # which takes a server that is not there for one without files
                remote.fs.fs.exists(remote.path, strict=True)
            there = list(remote.list_oids_exists(list(objects)))
            if not there and remote.fs.protocol == "s3":  # which takes a bucket that is not there for an empty one
                remote.fs.fs.call_s3("list_objects_v2", Bucket=remote.path.partition("/")[0], MaxKeys=1)
        for md5 in there:
            yield Holding("remote object", md5, objects[md5], remote=name, needed=md5 in current)


@contextmanager
def _reaching(remote: str) -> Iterator[None]:
    """Any storage may be behind a remote, and each has errors of its own."""
    try:
        yield
    except Exception as error:
        raise UserError(f"DVC remote {remote}: {one_line(error, 200)}") from error


def _versions(affected: Sequence[Snapshot], versions: Sequence[Version], text_id: str) -> Iterator[Holding]:
    for version in versions:
        for snapshot in affected:
            if version.is_of(snapshot.lock) and kept_below(snapshot, text_id):
                aliases = f", {', '.join(version.aliases)}" if version.aliases else ""
                needed = CHAMPION in version.aliases or WORKSPACE in snapshot.lock.places
                what = f"trained on it{aliases}"
                yield Holding("model version", version.reference, what, needed=needed, elsewhere=version.elsewhere)
                break


# ---------------------------------------------------------------- removing


def purge(repository: Repository, found: Iterable[Holding]) -> list[Holding]:
    """Remove what is not needed; what was removed. Raises UserError if something cannot be removed.

    In an order in which a purge that was cut short finds the rest again: by the artefacts in the cache it is known what
    else holds the text, so these go last, and of them each state's texts, which come first.
    """
    removed = [holding for holding in found if not holding.needed]
    chosen: dict[Kind, list[Holding]] = {}
    for holding in removed:
        chosen.setdefault(holding.kind, []).append(holding)
    if versions := chosen.get("model version"):
        _remove_versions(versions)
    for holding in chosen.get("experiment", ()):
        repository.history.text("update-ref", "-d", holding.name)
    if there := chosen.get("remote object"):
        for name, remote in repository.remotes():
            with _reaching(name):
                for holding in there:
                    if holding.remote == name:
                        remote.delete(holding.name)
    for holding in reversed(chosen.get("cache object", [])):
        path = repository.object_path(holding.name)
        path.chmod(0o600)  # DVC makes its objects read-only
        path.unlink()
    return removed


def _remove_versions(chosen: Sequence[Holding]) -> None:
    """Delete versions and the files logged with them, but for another checkout's; no run keeps a text."""
    from mlflow import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from compeffdist.registry.local_store import belongs_elsewhere
    from compeffdist.registry.tracking import open_tracking

    client = open_tracking()
    for holding in chosen:
        name, number = holding.name.removeprefix(SCHEME).rsplit("/", 1)
        try:
            location = client.get_model_version_download_uri(name, number)
            if not belongs_elsewhere(location):
                get_artifact_repository(location).delete_artifacts()
            client.delete_model_version(name, number)
        except (MlflowException, OSError, ImportError) as error:
            raise UserError(f"{holding.name}: could not be removed: {one_line(error, 200)}") from None
