"""What is worth saying about a record, in a few words: for the tree that people read."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from compeffdist.artefacts import WARM_UP
from compeffdist.errors import one_line
from compeffdist.lineage.snapshot import Node, Snapshot
from compeffdist.records import (
    Attribute,
    Demonstration,
    Draw,
    Instruction,
    Mention,
    Pair,
    Perspective,
    PredictedDifficulty,
    Reject,
    ScoredTriplet,
    Task,
    Text,
    Triplet,
)
from compeffdist.teacher.known import KnownAnswer
from compeffdist.teacher.requests import CHOSEN, FIRST_TOKENS, Answer

SHOWN_CHARACTERS = 100
"""Of a text or prompt: the whole of it is in `--json`."""

Facts = Sequence[tuple[str, str]]


def quoted(text: str) -> str:
    """A text for a terminal: one line, control characters made visible, cut."""
    return f'"{one_line(text, SHOWN_CHARACTERS)}"'


def facts_of(node: Node, snapshot: Snapshot) -> Facts:
    """(name, value) pairs of a record."""
    describe = _DESCRIPTIONS.get(type(node.record))
    return describe(node.record, snapshot) if describe else ()


def model_name(snapshot: Snapshot, model_id: str) -> str:
    """A model by the reference in its identity, without the hash that `model_id` covers anyway."""
    identity = snapshot.identities.get(model_id)
    return f"{one_line(identity.reference.split('#')[0])} ({model_id})" if identity else model_id


def answer_facts(found: KnownAnswer | None) -> Facts:
    """How the teacher was asked and what it said, word for word; where that is kept, and how and when it was bought."""
    if found is None:
        return [("raw answer", "in no response store or record of this machine")]
    answer, row = found.row.parse(), found.row
    likelihoods = (answer.label_logprobs or {}).items()
    said = ", ".join(f"{label} {value:.2f}" for label, value in likelihoods)
    return [
        ("asked for", _asked_for(answer, found.request)),
        ("raw answer", quoted(answer.text) if answer.label_logprobs is None else said),
        ("kept in", f"{one_line(found.place)}, bought {one_line(row.bought)} by engine {one_line(row.engine)}"),
    ]


def _asked_for(answer: Answer, request: str) -> str:
    """What was wanted of the teacher; of a generated answer only the question says more, and a record has none."""
    if answer.decided == CHOSEN:
        return "one of the labels, without likelihoods"
    if answer.label_logprobs is not None:
        return "the likelihood of each whole label" + (", by its first token" if answer.decided == FIRST_TOKENS else "")
    if not request:
        return "text"
    asked = json.loads(request)
    decoding = "greedy" if not asked["temperature"] else f"temperature {asked['temperature']}"
    return f"{decoding}, at most {asked['max_tokens']} tokens" + (", JSON" if asked["schema"] else "")


def reject_facts(reject: Reject) -> Facts:
    """Why a stage did not pass a record on."""
    return [("left out by", reject.stage), ("reason", f"{reject.reason} {one_line(reject.detail, 160)}".strip())]


def _triplet(record: Triplet, snapshot: Snapshot) -> Facts:
    return [
        ("response", quoted(record.response)),
        ("task", f"{one_line(record.task_name, 60)} ({record.task_type})"),
        ("label of the text", record.monitored or "none"),
        ("teacher", model_name(snapshot, record.teacher_id)),
        ("decoding", record.decoding_id),
        ("answer", record.answer_id),
    ]


def _score(record: ScoredTriplet, snapshot: Snapshot) -> Facts:
    return [
        ("ranking score", f"{record.ranking:.4f} over {record.measures['tokens']} response tokens"),
        ("perplexity", f"{record.measures['perplexity']:.2f}"),
        ("under", f"warm-up student {snapshot.lock.md5(WARM_UP)} ({record.scorer_id})"),
    ]


def _task(record: Task, snapshot: Snapshot) -> Facts:
    answers = ", ".join(record.labels) or "-".join(map(str, record.score_range)) or record.type
    return [("task", one_line(record.name, 60)), ("type", record.type), ("answers", one_line(answers, 80))]


def _draw(record: Draw, _: Snapshot) -> Facts:
    word, sign = ("kept", "<") if record.kept else ("not kept", ">=")
    verdict = f"{word}: draw {record.draw:.3f} {sign} inclusion probability {record.inclusion_probability:.3f}"
    rank = f"{record.rank} of {record.group_size}, easiest first" if record.rank else "none, below the confidence floor"
    return [("verdict", verdict), ("rank", rank)]


_DESCRIPTIONS: Mapping[type, Callable[[Any, Snapshot], Facts]] = {
    Text: lambda r, _: [
        ("text", quoted(r.text)),
        ("source", f"{one_line(r.source)}:{one_line(r.source_row, 60)}, licence {one_line(r.licence, 60)}"),
    ],
    Mention: lambda r, _: [("named", quoted(r.raw_name)), ("answer", r.answer_id)],
    Attribute: lambda r, _: [("attribute", one_line(r.name, 60)), ("count", str(r.count))],
    Perspective: lambda r, _: [
        ("perspective", one_line(r.head, 60)),
        ("members", f"{len(r.member_ids)}, coherence {r.coherence:.2f} over mentions"),
    ],
    Task: _task,
    Demonstration: lambda r, _: [("input", quoted(r.input)), ("output", quoted(r.output))],
    Instruction: lambda r, _: [("prompt", quoted(r.prompt))],
    Pair: lambda r, _: [("paired", r.method), ("difficulty", r.part)],
    Triplet: _triplet,
    ScoredTriplet: _score,
    PredictedDifficulty: lambda r, _: [("predicted difficulty", f"{r.difficulty:.4f}"), ("by", r.proxy_id)],
    Draw: _draw,
}
