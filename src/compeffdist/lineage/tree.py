"""A trace as people read it: what the row was made from, what came of it, and which students learnt from it.

Texts in it are hostile: whatever is shown went through `one_line`.
"""

from collections.abc import Callable, Iterator, Sequence

from compeffdist.artefacts import TRAINING
from compeffdist.errors import one_line
from compeffdist.lineage.facts import Facts
from compeffdist.lineage.snapshot import Node, Reached, Snapshot
from compeffdist.lineage.trace import Trace, Tracer

FEW = 4
"""Branches shown of a record, unless all are asked for."""


def render(trace: Trace, tracer: Tracer, everything: bool = False) -> Iterator[str]:
    """The lines of a trace.

    Args:
        everything: show every branch, where the default is the first few of each record.
    """
    limit = 10**9 if everything else FEW
    snapshot = trace.snapshot
    node = snapshot.node(trace.subject)
    yield f"{one_line(trace.subject)}  {trace.kind}" + (f" in {node.path}" if node else "")
    yield from _facts(trace.facts, "  ")
    above = node.parents if node else tuple(trace.ancestors)
    if above:
        yield "made from"
        yield from _branches(above, tracer, snapshot, lambda n: n.parents, limit, "", {trace.subject})
    following = _children(snapshot, trace.descendants)
    if trace.descendants:
        yield "what came of it"
        # of an answer, which is no record: the records that were read from it
        below = following(node) if node else _read_from(trace)
        yield from _branches(below, tracer, snapshot, following, limit, "", {trace.subject})
    if node and trace.rejects:
        yield "left out on the way"
        left = [f"{one_line(r.record_id)}  by {r.stage}: {one_line(r.reason)}" for r in trace.rejects]
        yield from _some(left, limit)
    yield from _students(trace, limit, tracer.unlooked)
    yield "held by"
    yield from _some([one_line(place) for place in trace.places], limit)
    for path in trace.missing:
        if path in trace.snapshot.other:
            yield f"  not looked into: {path} of that state, which another version of this code wrote"
        else:
            yield f"  not on this machine: {path} of that state (dvc fetch --all-commits)"


def _read_from(trace: Trace) -> list[str]:
    nodes = trace.snapshot.nodes(trace.descendants)
    return [key for key, node in nodes.items() if getattr(node.record, "answer_id", "") == trace.subject]


def _children(snapshot: Snapshot, reached: Reached) -> Callable[[Node], Sequence[str]]:
    return lambda node: [child for child in snapshot.children(node) if child in reached]


def _branches(
    keys: Sequence[str],
    tracer: Tracer,
    snapshot: Snapshot,
    following: Callable[[Node], Sequence[str]],
    limit: int,
    indent: str,
    seen: set[str],
) -> Iterator[str]:
    """`keys` with what follows each, as an indented tree; a record that was shown already is only named."""
    shown = keys[:limit]
    for place, key in enumerate(shown):
        last = place == len(shown) - 1 and len(keys) <= limit
        bar, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        node = snapshot.node(key)
        if node is None:
            yield f"{indent}{bar}{key}  not on this machine"
        elif key in seen:
            yield f"{indent}{bar}{key}  (above)"
        else:
            seen.add(key)
            yield f"{indent}{bar}{key}"
            yield from _facts(tracer.facts(node, snapshot), indent + below)
            yield from _branches(following(node), tracer, snapshot, following, limit, indent + below, seen)
    yield from _more(len(keys) - len(shown), f"{indent}└─ ")


def _facts(facts: Facts, indent: str) -> Iterator[str]:
    return (f"{indent}{name}: {one_line(value)}" for name, value in facts)


def _more(count: int, indent: str) -> Iterator[str]:
    if count > 0:
        yield f"{indent}and {count} more (--all)"


def _some(lines: Sequence[str], limit: int) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:limit])
    yield from _more(len(lines) - limit, "  ")


def _students(trace: Trace, limit: int, unlooked: str) -> Iterator[str]:
    if trace.training_sets:
        yield "training sets that hold it" if trace.kind != "model version" else "its training set"
        named = ((held, ", ".join(map(one_line, held.places[:FEW]))) for held in trace.training_sets)
        yield from _some([f"{TRAINING} {held.md5}, {held.rows} rows: {places}" for held, places in named], limit)
    if trace.kind != "model version":
        none = f"not looked into: {one_line(unlooked)}" if unlooked else "no registered student learnt from it"
        yield "students that learnt from it" if trace.versions else none
        for version in trace.versions:
            aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
            yield f"  {version.reference}{aliases}, registered {version.registered_at}"
    for entry in trace.ledger:
        line = f"{entry.at}  {entry.action} by {entry.who}: {entry.body.get('from') or '-'} -> {entry.body.get('to')}"
        yield f"  {one_line(line)}"
