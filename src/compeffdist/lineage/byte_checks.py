"""Are the bytes what the lock says: of artefacts, of the cache, of code, params and what each stage read?"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from compeffdist.artefacts import RECORDS, REJECTS
from compeffdist.canonical import hash_bytes
from compeffdist.declaration import CODE, PIPELINE, Stage, read_pipeline
from compeffdist.errors import UserError, one_line
from compeffdist.fingerprints import fingerprint
from compeffdist.lineage.links import Link, judged
from compeffdist.lineage.repository import FOLDER_SUFFIX, LOCK, WORKSPACE, Item, Lock, Repository, files_in, value_at
from compeffdist.yaml12 import read_yaml

RESTORE = "restore it with: dvc checkout --force, or make it again with: dvc repro"
FETCH = "bring it with: dvc fetch --all-commits"
PULL = "not on this machine; bring it with: dvc pull"


def absence(repository: Repository, lock: Lock) -> tuple[str, frozenset[str]]:
    """Where no file of records is on this machine, as in a fresh clone, a line that says so and what to do, and the
    outs that are not here; empty if at least one is, sound or not."""
    kept = [item for path, item in lock.outs.items() if path in RECORDS or path.startswith(REJECTS)]
    gone = frozenset(
        item.path
        for item in lock.outs.values()
        if not (repository.root / item.path).exists() and not repository.locate(item)
    )
    if not kept or not gone.issuperset(item.path for item in kept):
        return "", frozenset()
    here = WORKSPACE in lock.places
    what = f"of the run in {LOCK}{'' if here else f' of {lock.places[0]}'} no file of records is on this machine"
    how = "make it with: make repro; or, where a remote has it, bring it with: dvc pull" if here else FETCH
    return f"{what} ({len(kept)} are named): {how}", gone


def workspace_links(repository: Repository, lock: Lock) -> Iterator[Link]:
    """Every out of the lock in the working folder, hashed again."""
    for item in lock.outs.values():
        path = repository.root / item.path
        if not path.exists():
            yield Link("bytes", item.path, "FAIL", PULL)
            continue
        found, problems = repository.md5_of(path), list[str]()
        if found != item.md5:
            told = [f"MD5 is {found}, dvc.lock says {item.md5}"]
            problems = _folder_problems(repository, item) if item.is_folder else told
        holds = f"each file as in {item.md5}" if item.is_folder else f"MD5 {item.md5}"
        yield judged("bytes", item.path, problems, holds, RESTORE)


def stored_links(repository: Repository, lock: Lock) -> Iterator[Link]:
    """Every out of a lock that is not that of the working folder: in the cache, with every file of a folder, or, for
    metrics, in git."""
    for item in lock.outs.values():
        if item.is_folder:
            yield judged("bytes", item.path, _missing(repository, item), f"{item.md5}, in the cache", FETCH)
        elif repository.locate(item):
            yield Link("bytes", item.path, "PASS", f"{item.md5}, in the cache")
        elif repository.content(item, lock.commits) is not None:
            yield Link("bytes", item.path, "PASS", f"{item.md5}, in git")
        else:
            yield Link("bytes", item.path, "FAIL", f"{item.md5} is not on this machine; {FETCH}")


def cache_links(repository: Repository, locks: list[Lock]) -> Iterator[Link]:
    """Every object in DVC's cache against its name: DVC itself trusts them."""
    owners = _owners(repository, locks)
    sound = 0
    for md5, path in repository.cached_objects():
        found = repository.md5_of(path)
        if found == md5.removesuffix(FOLDER_SUFFIX):
            sound += 1
            continue
        what = owners.get(md5, "no artefact of a known lock")
        advice = f"bytes have MD5 {found}; remove {path} and bring it back with: dvc fetch, or dvc repro"
        yield Link("cache", f"{md5} ({what})", "FAIL", advice)
    yield Link("cache", "objects", "PASS", f"{sound} objects are what their names say")


def chain_links(lock: Lock) -> Iterator[Link]:
    """What each stage read is what the stage before it made."""
    read = sum(dep.path in lock.outs for stage in lock.stages.values() for dep in stage.deps)
    held = f"{read} artefacts read are those that were made"
    yield judged("chain", "stages", chain_problems(lock, lock.stages), held, "run: dvc repro")


def chain_problems(lock: Lock, stages: Collection[str]) -> list[str]:
    """What stages of these read that is not what another one made, one line each."""
    return [
        f"{stage.name} read {dep.path} {dep.md5}, {lock.makers[dep.path]} made {lock.outs[dep.path].md5}"
        for stage in lock.stages.values()
        for dep in stage.deps
        if stage.name in stages and dep.path in lock.outs and lock.outs[dep.path].md5 != dep.md5
    ]


def unrun_links(repository: Repository, lock: Lock) -> Iterator[Link]:
    """Every stage of dvc.yaml in the working folder has run: what the lock lacks, no other check can miss."""
    stages = read_pipeline(repository.root) if (repository.root / PIPELINE).exists() else {}
    unrun = [f"stage {name} has not run" for name in stages if name not in lock.stages]
    yield judged("chain", "dvc.yaml", unrun, f"all {len(stages)} stages have run", "run: dvc repro")


def workspace_inputs_links(repository: Repository, lock: Lock) -> Iterator[Link]:
    """Source files, code and params in the working folder are those that the stages ran with."""
    stale = []
    for stage in lock.stages.values():
        for dep in stage.deps:
            path = repository.root / dep.path
            if dep.path not in lock.outs and (not path.exists() or repository.md5_of(path) != dep.md5):
                stale.append(f"{dep.path} (stage {stage.name})")
    inputs = {dep.path for stage in lock.stages.values() for dep in stage.deps} - lock.outs.keys()
    yield judged("inputs", "sources", stale, f"{len(inputs)} files as they ran", "changed since: dvc repro")
    if coded := [stage for stage in lock.stages.values() if stage.code]:
        present = read_pipeline(repository.root)
        other = [f"stage {s.name}" for s in coded if not _has_code(present.get(s.name), s.code, repository.root)]
        yield judged("inputs", "code", other, f"{len(coded)} stages by their code", "changed since: dvc repro")
    path = repository.root / "params.yaml"
    params = read_yaml(path.read_bytes(), str(path))
    yield judged("inputs", "params.yaml", params_problems(lock, params), "as the stages ran", "run: dvc repro")


def _has_code(stage: Stage | None, code: str, root: Path) -> bool:
    try:
        return stage is not None and fingerprint(stage, root) == code
    except UserError:  # a file of it is gone, or is not Python
        return False


def committed_inputs_links(repository: Repository, lock: Lock, commit: str) -> Iterator[Link]:
    """Code and params of the commit that holds a lock are those that the stages ran with.

    A run is committed after it was made, so the commit named in a version's tags may be the one before: of it
    and those that hold the lock, the best match counts.
    """
    commits = [known for known in dict.fromkeys([commit, *lock.commits]) if repository.file_at(known, "dvc.yaml")]
    if not commits:
        yield Link("inputs", "commit", "FAIL", f"git does not know {one_line(commit, 80) or 'it'}: git fetch --all")
        return
    found = {known: _committed_problems(repository, lock, known) for known in commits}
    best = min(commits, key=lambda known: len(found[known]))
    yield judged("inputs", f"commit {best[:10]}", found[best], "code and params as they ran")


def params_problems(lock: Lock, params: Mapping[str, Any]) -> list[str]:
    """Keys whose value is not what a stage ran with."""
    return [
        f"{key} (stage {stage.name})"
        for stage in lock.stages.values()
        for key, value in stage.params.items()
        if value_at(params, *key.split(".")) != value
    ]


def _committed_problems(repository: Repository, lock: Lock, commit: str) -> list[str]:
    deps = {dep.path: dep.md5 for stage in lock.stages.values() for dep in stage.deps if dep.path not in lock.outs}
    files = repository.history.files_at((commit, path) for path in (*deps, "params.yaml", CODE))
    # source files may be ignored by git: what git does not have it cannot contradict
    problems = [
        path
        for path, md5 in deps.items()
        if (content := files[commit, path]) is not None and hash_bytes(content, "md5") != md5
    ]
    params = read_yaml(files[commit, "params.yaml"] or b"{}", f"params.yaml of commit {commit[:10]}")
    # a stage refuses to run under fingerprints that are not those of its code
    code = read_yaml(files[commit, CODE] or b"{}", f"{CODE} of commit {commit[:10]}")
    problems += [f"code of stage {s.name}" for s in lock.stages.values() if s.code and code.get(s.name) != s.code]
    return problems + params_problems(lock, params)


def _folder_problems(repository: Repository, item: Item) -> list[str]:
    """What is wrong with a folder whose hash is another."""
    folder = repository.root / item.path
    try:
        listed = repository.listing(item)
    except UserError:
        return [f"its files cannot be told: the list of them, {item.md5}, was altered"]
    if listed is None:
        return [f"its files are not those of {item.md5}"]
    names = {path.relative_to(folder).as_posix() for path in files_in(folder)}
    problems = [f"{name} is missing" for name, _ in listed if name not in names]
    problems += [
        f"{name} was changed" for name, md5 in listed if name in names and repository.md5_of(folder / name) != md5
    ]
    return problems + [f"{name} does not belong to it" for name in sorted(names - {name for name, _ in listed})]


def _missing(repository: Repository, item: Item) -> list[str]:
    """What of a folder's listing and files this machine lacks."""
    try:
        listed = repository.listing(item)
    except UserError:
        return [f"the list of its files, {item.md5}, was altered"]
    if listed is None:
        return [f"{item.md5} is not on this machine"]
    files = (Item(f"{item.path}/{name}", md5) for name, md5 in listed)
    return [f"{file.path} ({file.md5}) is not on this machine" for file in files if not repository.locate(file)]


def _owners(repository: Repository, locks: list[Lock]) -> dict[str, str]:
    """MD5 of an object -> path of the artefact it is, or is part of."""
    owners: dict[str, str] = {}
    for lock in locks:
        for item in lock.outs.values():
            owners.setdefault(item.md5, item.path)
            if item.is_folder and repository.object_path(item.md5).is_file():
                with suppress(UserError):  # the listing itself may be what was altered
                    for name, md5 in repository.listing(item) or ():
                        owners.setdefault(md5, f"{item.path}/{name}")
    return owners
