"""Are stored answers, model weights and registered versions what they were?"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from compeffdist.artefacts import ANSWERED, STUDENT
from compeffdist.errors import UserError
from compeffdist.gates.outcome import gate_tags, report_of
from compeffdist.lineage.links import Link, judged
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.lineage.versions import TAGS_OF_DATA, Version
from compeffdist.models import altered_files
from compeffdist.params import SigningParams
from compeffdist.registry.artifacts import find_version, verify_version
from compeffdist.registry.signing import is_signed, key_file, version_fault
from compeffdist.registry.tracking import open_registry
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import AnswerRecord
from compeffdist.teacher.store import store_problems, stored_keys

ROLES_OF_TAGS = {"teacher_id": "teacher", "base_id": "student"}
"""Tag of a version -> role of the identity with that id."""


def answer_links(snapshot: Snapshot, known: KnownAnswers) -> Iterator[Link]:
    """The bytes of the response store and of each record, and the raw answer behind every record that the teacher's
    words went into."""
    has_store = known.store is not None and known.store.exists()
    links = [_store_link(known.store)] if known.store else []
    links += map(_record_link, known.records)
    yield from links
    if any(link.status == "FAIL" for link in links):
        return
    wanted = {answer for path in ANSWERED for answer in snapshot.values(path, "answer_id")}
    stored = wanted & stored_keys(known.store) if known.store and has_store else set[str]()
    recorded = (wanted - stored) & set[str]().union(*(record.keys for record in known.records))
    missing = sorted(wanted - stored - recorded)
    found = f"{len(wanted)} answers behind mentions, demonstrations and triplets: {len(stored)} in the store"
    found += f", {len(recorded)} recorded" if known.records else ""
    if missing and not has_store:
        found += f"; {len(missing)} are on no store or record of this machine and cannot be looked at"
        yield Link("store", "raw answers", "SKIP", found)
    else:
        yield judged("store", "raw answers", [f"{key} is not there" for key in missing], found)


def _store_link(store: Path) -> Link:
    if not store.exists():
        return Link("store", str(store), "SKIP", "not on this machine: its raw answers cannot be looked at")
    held = "no byte changed since it was last written"
    return judged("store", str(store), store_problems(store), held, "restore it from a backup")


def _record_link(record: AnswerRecord) -> Link:
    problems = record.problems()
    held = "" if problems else f"{record.manifest['answers']} answers, every byte as it was recorded"
    remedy = f"restore it with: git checkout HEAD -- {record.folder}"
    return judged("recorded", str(record.folder), problems, held, remedy)


def weight_links(snapshot: Snapshot, cache: Path, records: Sequence[AnswerRecord]) -> Iterator[Link]:
    """The weights on this machine against the identities, every file hashed again. Those of a teacher whose answers
    are all recorded need not be here."""
    recorded = {identity.id for record in records if not record.problems() for identity in record.identities}
    for identity in snapshot.identities.values():
        if identity.served_name:
            unknown = f"{identity.served_name} is behind an API: its weights are unknown"
            yield Link("weights", identity.role, "SKIP", unknown)
            continue
        altered = altered_files(identity, cache)
        if altered is None:
            answers = ": its answers are recorded, and it is fetched if one has to be bought"
            why = answers if identity.role == "teacher" and identity.id in recorded else ""
            yield Link("weights", identity.role, "SKIP", f"{identity.id} is not in this machine's cache{why}")
        else:
            problems, remedy = [f"{path} was changed" for path in altered], "dvc repro -f -s resolve_models"
            yield judged("weights", identity.role, problems, identity.id, f"fetch it again: {remedy}")


def version_links(version: Version, snapshot: Snapshot) -> Iterator[Link]:
    """A registered version's files, and its tags against the state of the data it was trained on."""
    lock = snapshot.lock
    problems = verify_version(open_registry(), version.name, version.number, lock.md5(STUDENT))
    yield judged("registry", version.reference, problems, "every registered file as it was logged, its student ours")
    wrong = [
        f"{tag} is {version.tags[tag]}, {path} of the lock has {lock.md5(path)}"
        for tag, path in TAGS_OF_DATA.items()
        if tag in version.tags and version.tags[tag] != lock.md5(path)
    ]
    roles = {identity.role: identity.id for identity in snapshot.identities.values()}
    expected = {tag: roles.get(role) for tag, role in ROLES_OF_TAGS.items()} | _gates(snapshot)
    wrong += [
        f"{tag} is {version.tags.get(tag)}, the data says {value}"
        for tag, value in expected.items()
        if version.tags.get(tag) != value
    ]
    yield judged("registry", f"{version.reference} tags", wrong, f"as {lock.places[0]} has it")


def signature_links(version: Version, signing: SigningParams) -> Iterator[Link]:
    """Whether a version's files are as its signature says, by the key that params name; nothing where no key is named
    and there is none. Raises UserError if the key is not there."""
    client = open_registry()
    found = find_version(client, version.name, version.number)
    key = key_file(signing.public_key, "signing.public_key")
    if not is_signed(found):
        if signing.required:
            remedy = "register it with signing.private_key: dvc repro -f -s register_student"
            yield Link("signature", version.reference, "FAIL", f"unsigned, and signing.required: {remedy}")
        elif key is not None:
            yield Link("signature", version.reference, "SKIP", "unsigned")
    elif key is None:
        yield Link("signature", version.reference, "SKIP", "signed; signing.public_key names no key to check it by")
    else:
        fault = version_fault(client, found, key)
        wrong = [f"invalid: {fault}"] if fault else []
        yield judged(
            "signature", version.reference, wrong, f"signed by the key of {key.name}, every file as it was then"
        )


def _gates(snapshot: Snapshot) -> dict[str, str]:
    """How the gates stood, as the reports of that state say; nothing where it has no gates."""
    lock, reports = snapshot.lock, dict[str, Any]()
    for path, item in lock.outs.items():
        gate = Path(path).stem
        if path == report_of(gate):
            reports[gate] = None
            with suppress(ValueError):  # a report that is not there or is no JSON
                reports[gate] = json.loads(snapshot.repository.content(item, lock.commits) or b"null")
    try:
        return gate_tags(reports) if reports else {}
    except UserError as error:
        return {"gates": f"otherwise: {error}"}
