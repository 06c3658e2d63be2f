"""Are the records what their ids say, are their parents there, and is every one accounted for?

Whole records are read one artefact at a time; the rest is done on columns of ids.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.artefact_kinds import Records
from compeffdist.artefacts import (
    ATTRIBUTES,
    EVALUATION,
    PAIRS,
    PREDICTED,
    RECORDS,
    REJECTS,
    SAMPLED,
    SCORED,
    STUDENT,
    TEXTS,
    TRAINING,
    TRIPLETS,
    records_at,
)
from compeffdist.canonical import canonical_json, hash_text
from compeffdist.columns import read_columns
from compeffdist.errors import UserError, one_line
from compeffdist.files import read_json
from compeffdist.lineage.links import Link, judged
from compeffdist.lineage.snapshot import Snapshot
from compeffdist.record_files import OtherRecords, arrow_schema, parquet_file
from compeffdist.student.loading import PROVENANCE
from compeffdist.texts.decontaminate import contaminated
from compeffdist.triplets.parts import PREDICTED as PREDICTED_PART
from compeffdist.triplets.parts import SCORED as SCORED_PART


@dataclass(frozen=True)
class Account:
    """A stage whose records in = out + rejected can be counted from ids."""

    given: str
    """Artefact it was given."""
    ids: Callable[[Snapshot], Sequence[str]]
    """Of the records of it that the stage had to deal with."""
    made: str
    made_field: str
    """That names them."""
    stage: str = ""
    """Whose rejects account for the rest; empty if it may reject nothing."""


ACCOUNTS = (
    Account(PAIRS, lambda s: s.values(PAIRS, "id", "part", [SCORED_PART]), TRIPLETS, "pair_id", "collect_responses"),
    Account(TRIPLETS, lambda s: s.values(TRIPLETS, "id"), SCORED, "triplet_id", "score_difficulty"),
    Account(
        PAIRS, lambda s: s.values(PAIRS, "id", "part", [PREDICTED_PART]), PREDICTED, "pair_id", "predict_difficulty"
    ),
    Account(SCORED, lambda s: [*s.values(SCORED, "pair_id"), *s.values(PREDICTED, "pair_id")], SAMPLED, "pair_id"),
    Account(SAMPLED, Snapshot.kept_pairs, TRAINING, "pair_id", "collect_sampled"),
)


def record_links(snapshot: Snapshot) -> Iterator[Link]:
    """Each artefact's records against their ids. Where one is unreadable, nothing further can be said of it."""
    for path, item in snapshot.lock.outs.items():
        if path not in RECORDS and not path.startswith(REJECTS):
            continue
        found = snapshot.repository.locate(item)
        if found is None:
            yield Link("records", path, "FAIL", "not on this machine, or its bytes are not those of dvc.lock")
            continue
        try:
            count = _sound_records(records_at(path), found)
        except OtherRecords as other:
            unread = f"holds {one_line(other.stamp, 40)} records, which another version of this code wrote"
            advice = "its bytes are checked, what they say is not; audit it from a checkout of its commit"
            yield Link("records", path, "SKIP", f"{unread}: {advice}")
        except UserError as error:
            yield Link("records", path, "FAIL", str(error))
        else:
            yield judged("records", path, [], f"{count} ids fit their contents")


def _sound_records(artefact: Records[Any], file: Path) -> int:
    """How many records a file holds. Raises UserError as reading them does, where one is not what its id says."""
    if artefact.endswith(".parquet"):
        with suppress(UserError, ValueError):
            return _sound_columns(artefact, file)
    # what is wrong with which record is told of records
    return len(artefact.read_file(file))


def _sound_columns(artefact: Records[Any], file: Path) -> int:
    """The same of Parquet column-wise, in a third of the time and little memory. Raises UserError or ValueError if
    anything at all is odd."""
    import pyarrow.compute as pc

    with parquet_file(file, artefact.kind) as opened:
        if not opened.schema_arrow.equals(arrow_schema(artefact.kind, artefact.columns)):
            raise ValueError("other columns")
    ids = read_columns(file, artefact.kind, ["id"], columns=artefact.columns)["id"]
    if pc.count_distinct(ids).as_py() != len(ids):
        raise ValueError("an id twice")
    return len(ids)


def parent_links(snapshot: Snapshot) -> Iterator[Link]:
    """Each record's parents are there; an attribute has at least one mention, a task type its perspective."""
    for path, artefact in RECORDS.items():
        if path not in snapshot.lock.outs or not artefact.edges:
            continue
        problems: list[str] = []
        named = 0
        for edge in artefact.edges:
            wanted = [value for value in snapshot.values(path, edge.field) if value]
            there = set(snapshot.values(edge.path, edge.key))
            named += len(wanted)
            for value in dict.fromkeys(value for value in wanted if value not in there):
                child = snapshot.values(path, "id", edge.field, [value])[0]
                nowhere = f"its parent {value} is nowhere in {edge.path}"
                problems.append(f"{child}: {'no mention bears its name' if path == ATTRIBUTES else nowhere}")
        yield judged("parents", path, problems, f"{named} parents found")


def account_links(snapshot: Snapshot) -> Iterator[Link]:
    """What each stage was given is in what it made or among its rejects, and nothing is in both."""
    for account in ACCOUNTS:
        ids = set(account.ids(snapshot))
        done = set(snapshot.values(account.made, account.made_field))
        refused = ids & set(snapshot.values(f"{REJECTS}{account.stage}.parquet", "record_id"))
        problems = [f"{key} was lost" for key in sorted(ids - done - refused)]
        problems += [f"{key} was made of nothing" for key in sorted(done - ids)]
        problems += [f"{key} was both passed on and rejected" for key in sorted(done & refused)]
        holds = f"{len(ids)} in = {len(done)} out + {len(refused)} rejected"
        yield judged("accounts", f"{account.given} to {account.made}", problems, holds)
    yield _training_link(snapshot)


def _training_link(snapshot: Snapshot) -> Link:
    """The student's provenance names the triplets of the training set."""
    listed = snapshot.lock.outs.get(STUDENT)
    files = dict(snapshot.repository.listing(listed) or ()) if listed else {}
    here = snapshot.repository.root / STUDENT / PROVENANCE
    kept = snapshot.repository.object_path(files[PROVENANCE]) if PROVENANCE in files else here
    if not kept.is_file() and not here.is_file():
        return Link("accounts", STUDENT, "FAIL", "its provenance is not on this machine; bring it with: dvc pull")
    provenance = read_json(kept if kept.is_file() else here)
    kept_ids = sorted(snapshot.kept_triplet_ids())
    told = (provenance.get("triplet_ids_sha256"), provenance.get("rows"))
    same = told == (hash_text(canonical_json(kept_ids)), len(kept_ids))
    problems = [] if same else [f"trained on other rows than the {len(kept_ids)} of the training set"]
    return judged("accounts", STUDENT, problems, f"trained on the {len(kept_ids)} rows of the training set")


def evaluation_links(snapshot: Snapshot) -> Iterator[Link]:
    """No text of the run stands in an evaluation row."""
    texts, rows = (
        dict(zip(snapshot.values(path, "id"), snapshot.values(path, "text"), strict=True))
        for path in (TEXTS, EVALUATION)
    )
    overlap = snapshot.lock.param("texts.contamination_overlap")
    found = contaminated(texts, rows, float(overlap)) if overlap is not None else {}
    problems = [f"{key} stands in {match}" for key, match in sorted(found.items())]
    yield judged("evaluate", "texts", problems, f"none of {len(texts)} texts stands in {len(rows)} evaluation rows")
