"""A trace as W3C PROV-JSON (https://www.w3.org/submissions/prov-json/): records are entities, stages are
activities, models are agents."""

from typing import TYPE_CHECKING, Any

from compeffdist.lineage.repository import lock_id
from compeffdist.lineage.trace import Trace
from compeffdist.records import Triplet

if TYPE_CHECKING:
    from prov.model import ProvDocument

NAMESPACE = "urn:compeffdist:"


def prov_document(trace: Trace) -> "ProvDocument":
    """The records of a trace with what each was derived from, which stage generated it, and who answered."""
    from prov.model import ProvDocument

    document = ProvDocument()
    document.add_namespace("ced", NAMESPACE)
    snapshot = trace.snapshot
    lock = lock_id(snapshot.lock)[:16]
    keys = [key for key in (trace.subject, *trace.ancestors, *trace.descendants) if key in snapshot.nodes]
    shown = set(keys)
    for key in keys:
        node = snapshot.nodes[key]
        document.entity(f"ced:{key}", {"prov:type": node.kind, "ced:artefact": node.path})
    for path in dict.fromkeys(snapshot.nodes[key].path for key in keys):
        stage = snapshot.lock.makers[path]
        document.activity(f"ced:{stage}@{lock}", other_attributes={"ced:command": snapshot.lock.stages[stage].command})
    for key in keys:
        node = snapshot.nodes[key]
        document.wasGeneratedBy(f"ced:{key}", f"ced:{snapshot.lock.makers[node.path]}@{lock}")
        for parent in node.parents:
            if parent in shown:
                document.wasDerivedFrom(f"ced:{key}", f"ced:{parent}")
    _teachers(document, trace, keys)
    _versions(document, trace, keys)
    return document


def prov_json(trace: Trace) -> str:
    """The document as PROV-JSON text."""
    text: Any = prov_document(trace).serialize(format="json", indent=2)
    return str(text)


def _teachers(document: "ProvDocument", trace: Trace, keys: list[str]) -> None:
    """Each triplet is attributed to the teacher that answered it."""
    identities, agents = trace.snapshot.identities, set()
    for key in keys:
        record = trace.snapshot.nodes[key].record
        if isinstance(record, Triplet):
            agent = f"ced:{record.teacher_id}"
            if agent not in agents:
                agents.add(agent)
                card = identities.get(record.teacher_id)
                reference = card.reference if card else "unknown"
                document.agent(agent, {"prov:type": "prov:SoftwareAgent", "ced:reference": reference})
            document.wasAttributedTo(f"ced:{key}", agent)


def _versions(document: "ProvDocument", trace: Trace, keys: list[str]) -> None:
    """A model version is derived from those of the shown triplets that its student was trained on."""
    from compeffdist.lineage.trace import kept_samples

    kept = set(kept_samples(trace.snapshot))
    for version in trace.versions:
        entity = f"ced:{version.name}.{version.number}"
        aliases = ",".join(version.aliases)
        document.entity(
            entity, {"prov:type": "model version", "ced:reference": version.reference, "ced:alias": aliases}
        )
        for key in keys:
            if key in kept and version.is_of(trace.snapshot.lock):
                document.wasDerivedFrom(entity, f"ced:{key}")
