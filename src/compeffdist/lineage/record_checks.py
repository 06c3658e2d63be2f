"""Are the records what their ids say, are their parents there, and is every one accounted for?"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compeffdist.errors import UserError
from compeffdist.evaluation.tasks import EvaluationRow
from compeffdist.files import canonical_json, hash_text, read_json
from compeffdist.lineage.links import Link, judged
from compeffdist.lineage.snapshot import ARTEFACTS, STUDENT, Node, Snapshot, read_artefact
from compeffdist.lineage.trace import kept_samples
from compeffdist.records import Attribute, Draw, Pair, ScoredTriplet, Text, Triplet
from compeffdist.student.loading import CARD
from compeffdist.texts.decontaminate import contaminated

STAGES = ((Pair, Triplet, "collect_responses"), (Triplet, ScoredTriplet, "score_difficulty"), (ScoredTriplet, Draw, ""))
"""(what a stage was given, what it made, the stage whose rejects account for the rest)."""

_GIVEN: Mapping[type, Callable[[Any], str]] = {
    Pair: lambda r: r.id,
    Triplet: lambda r: r.id,
    ScoredTriplet: lambda r: r.sample_id,
}
_MADE_OF: Mapping[type, Callable[[Any], str]] = {
    Triplet: lambda r: r.pair_id,
    ScoredTriplet: lambda r: r.sample_id,
    Draw: lambda r: r.sample_id,
}


def record_links(snapshot: Snapshot) -> Iterator[Link]:
    """Each artefact's records against their ids. Where one is unreadable, nothing further can be said of it."""
    for path in [*ARTEFACTS, *(path for path in snapshot.lock.outs if path.startswith("data/rejects/"))]:
        item = snapshot.lock.outs.get(path)
        found = snapshot.repository.locate(item) if item else None
        if item is None or found is None:
            yield Link("records", path, "FAIL", "not on this machine, or its bytes are not those of dvc.lock")
            continue
        try:
            records = read_artefact(found, path)
        except UserError as error:
            yield Link("records", path, "FAIL", str(error))
        else:
            yield Link("records", path, "PASS", f"{len(records)} ids fit their contents")


def parent_links(snapshot: Snapshot) -> Iterator[Link]:
    """Each record's parents are there; an attribute has at least one mention, a task type its perspective."""
    by_path: dict[str, list[Node]] = {}
    for node in snapshot.nodes.values():
        by_path.setdefault(node.path, []).append(node)
    for path, nodes in by_path.items():
        parents = sum(len(node.parents) for node in nodes)
        problems = [
            f"{node.id}: its parent {parent} is nowhere"
            for node in nodes
            for parent in node.parents
            if parent not in snapshot.nodes
        ]
        problems += [
            f"{n.id}: no mention bears its name" for n in nodes if isinstance(n.record, Attribute) and not n.parents
        ]
        if parents or problems:
            yield judged("parents", path, problems, f"{parents} parents found")


def account_links(snapshot: Snapshot) -> Iterator[Link]:
    """What each stage was given is in what it made or among its rejects, and nothing is in both."""
    records: dict[type, list[Any]] = {}
    for node in snapshot.nodes.values():
        records.setdefault(type(node.record), []).append(node.record)
    for given, made, stage in STAGES:
        ids = {_GIVEN[given](record) for record in records.get(given, ())}
        done = {_MADE_OF[made](record) for record in records.get(made, ())}
        refused = {key for key in ids if any(reject.stage == stage for reject in snapshot.rejects.get(key, ()))}
        problems = [f"{key} was lost" for key in sorted(ids - done - refused)]
        problems += [f"{key} was made of nothing" for key in sorted(done - ids)]
        problems += [f"{key} was both passed on and rejected" for key in sorted(done & refused)]
        holds = f"{len(ids)} in = {len(done)} out + {len(refused)} rejected"
        yield judged("accounts", f"{given.PREFIX} to {made.PREFIX}", problems, holds)
    yield _training_link(snapshot)


def _training_link(snapshot: Snapshot) -> Link:
    """The student's card names the triplets that the sampler kept."""
    listed = snapshot.lock.outs.get(STUDENT)
    files = dict(snapshot.repository.listing(listed) or ()) if listed else {}
    here = snapshot.repository.root / STUDENT / CARD
    kept = snapshot.repository.object_path(files[CARD]) if CARD in files else here
    if not kept.is_file() and not here.is_file():
        return Link("accounts", STUDENT, "FAIL", "its card is not on this machine; bring it with: dvc pull")
    card = read_json(kept if kept.is_file() else here)
    samples = sorted(kept_samples(snapshot))
    same = card.get("sample_ids_sha256") == hash_text(canonical_json(samples)) and card.get("rows") == len(samples)
    problems = [] if same else [f"trained on other rows than the {len(samples)} that were sampled"]
    return judged("accounts", STUDENT, problems, f"trained on the {len(samples)} rows that were sampled")


def evaluation_links(snapshot: Snapshot) -> Iterator[Link]:
    """No text of the run stands in an evaluation row."""
    records = [node.record for node in snapshot.nodes.values()]
    texts = {record.id: record.text for record in records if isinstance(record, Text)}
    rows = {record.id: record.text for record in records if isinstance(record, EvaluationRow)}
    overlap = snapshot.lock.param("texts.contamination_overlap")
    found = contaminated(texts, rows, float(overlap)) if overlap is not None else {}
    problems = [f"{key} stands in {match}" for key, match in sorted(found.items())]
    yield judged("evaluate", "texts", problems, f"none of {len(texts)} texts stands in {len(rows)} evaluation rows")
