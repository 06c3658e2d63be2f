"""A trace as W3C PROV-JSON (https://www.w3.org/submissions/prov-json/): records are entities, stages are
activities, models are agents."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from compeffdist.canonical import hash_text
from compeffdist.lineage.snapshot import Node, Snapshot
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
    snapshot, nodes = trace.snapshot, trace.nodes()
    lock = hash_text(snapshot.lock.text)[:16]
    for path in dict.fromkeys(node.path for node in nodes.values()):
        stage = snapshot.lock.makers[path]
        document.activity(f"ced:{stage}@{lock}", other_attributes={"ced:command": snapshot.lock.stages[stage].command})
    for key, node in nodes.items():
        document.entity(f"ced:{key}", {"prov:type": node.kind, "ced:artefact": node.path})
        document.wasGeneratedBy(f"ced:{key}", f"ced:{snapshot.lock.makers[node.path]}@{lock}")
        for parent in node.parents:
            if parent in nodes:
                document.wasDerivedFrom(f"ced:{key}", f"ced:{parent}")
    _teachers(document, snapshot, nodes)
    _versions(document, trace, nodes)
    return document


def prov_json(trace: Trace) -> str:
    """The document as PROV-JSON text."""
    text: Any = prov_document(trace).serialize(format="json", indent=2)
    return str(text)


def _teachers(document: "ProvDocument", snapshot: Snapshot, nodes: Mapping[str, Node]) -> None:
    """Each triplet is attributed to the teacher that answered it."""
    agents = set()
    for key, node in nodes.items():
        if isinstance(node.record, Triplet):
            teacher = node.record.teacher_id
            if teacher not in agents:
                agents.add(teacher)
                identity = snapshot.identities.get(teacher)
                reference = identity.reference if identity else "unknown"
                document.agent(f"ced:{teacher}", {"prov:type": "prov:SoftwareAgent", "ced:reference": reference})
            document.wasAttributedTo(f"ced:{key}", f"ced:{teacher}")


def _versions(document: "ProvDocument", trace: Trace, nodes: Mapping[str, Node]) -> None:
    """A model version is derived from those of the shown triplets that its student was trained on."""
    kept = [key for key in trace.snapshot.kept_triplet_ids() if key in nodes]
    for version in trace.versions:
        entity = f"ced:{quote(version.name)}.{version.number}"
        aliases = ",".join(version.aliases)
        document.entity(
            entity, {"prov:type": "model version", "ced:reference": version.reference, "ced:alias": aliases}
        )
        if version.is_of(trace.snapshot.lock):
            for key in kept:
                document.wasDerivedFrom(entity, f"ced:{key}")
