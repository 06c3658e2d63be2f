"""Promotion and rollback: who may be champion is decided, recorded, and only then made so.

The order is what makes it safe: the mutex, what an earlier command left undone, the checks, the ledger's entry on
the disk, the aliases. A process that dies before the entry has changed nothing; one that dies after it is finished
by the next command (`alias_state`).
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError, one_line
from compeffdist.ledger import PROMOTIONS, Entry, Ledger
from compeffdist.params import Params, SigningParams
from compeffdist.promotion.alias_state import (
    PROMOTE,
    REGISTRY,
    ROLLBACK,
    AliasState,
    apply_ledger,
    champions,
    finished_line,
    read_alias_state,
)
from compeffdist.promotion.comparison import (
    BASE_STUDENT,
    Comparison,
    Evaluation,
    champion_answers,
    compare,
    read_evaluation,
    unearned,
)
from compeffdist.promotion.mutex import Mutex, Notify, promotion_mutex
from compeffdist.registry.artifacts import BASE, MANIFEST, PREDICTIONS, find_version, tag_of
from compeffdist.registry.signing import expect_intact
from compeffdist.registry.tracking import open_present, store_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

RECORDED = ("student_id", "git_commit", tag_of(MANIFEST), tag_of(PREDICTIONS))
"""Tags of a promoted version that its entry keeps."""

Audit = Callable[[int], list[str]]
"""What an audit finds wrong with a version, one line each."""


@dataclass(frozen=True)
class Outcome:
    """What became of a promotion or rollback."""

    action: str
    model_name: str
    version: int
    before: int | None
    """Champion until then."""
    reasons: list[str]
    """Why it was refused, or what was overridden."""
    comparison: dict[str, Any] | None
    """Figures, as in the ledger; none for a rollback, or if the evaluations do not allow it."""
    entry: Entry | None
    """The ledger's; none if it was refused."""


@dataclass(frozen=True)
class _Turn:
    """A turn at the registry, with the mutex held and nothing left undone."""

    client: "MlflowClient"
    ledger: Ledger
    state: AliasState
    mutex: Mutex


def promote(version: int, params: Params, audit: Audit, override: str | None = None, notify: Notify = print) -> Outcome:
    """Make a version champion if it has earned it.

    It has if its gates passed, the audit is clean, its evaluation is whole, and a paired bootstrap over the same
    evaluation rows finds it not worse than the champion beyond a margin on any task and at least as good in the mean
    (params `promotion`). The first champion is held against the base student, and must be better (`first`).

    Args:
        override: why it becomes champion all the same; recorded together with what it failed.
        notify: is told what was repaired on the way.

    Returns:
        An outcome without an entry, with all reasons, if it has not and no override was given.

    Raises:
        UserError: no store; no such version; it never answered; its signature is invalid; it is champion; another
            promotion is under way; the ledger is broken; an override without a reason.
    """
    reason = _reason(override)
    with _turn(params, notify) as turn:
        state = turn.state
        candidate = _possible_version(turn, version, params.signing)
        if state.champion == state.by_ledger == version:
            raise UserError(f"version {version} of {state.model_name} is champion already")
        comparison, unmet = _compared(turn, candidate, params)
        reasons = [*_prefixed("registry", [state.fault()]), *_gates(candidate), *_audited(audit, version), *unmet]
        figures = comparison.to_row() if comparison else None
        body = {"figures": figures, "tags": {tag: candidate.tags.get(tag, "") for tag in RECORDED}}
        return _decide(turn, PROMOTE, version, body, reasons, reason)


def rollback(
    params: Params, audit: Audit, reason: str = "", override: str | None = None, notify: Notify = print
) -> Outcome:
    """Make the former champion champion again, by the ledger; done again, the one before that.

    A version that was rolled back from is not returned to but by promoting it.

    Args:
        reason: is recorded.
        override: why it is done although the audit of that version finds something, or the registry is not as
            the ledger says.
        notify: is told what was repaired on the way.

    Raises:
        UserError: there is no former champion, it is gone from the registry, never answered, or its signature is
            invalid; else as `promote`.
    """
    overriding = _reason(override)
    with _turn(params, notify) as turn:
        version = _former(turn.state)
        _possible_version(turn, version, params.signing)
        reasons = [*_prefixed("registry", [turn.state.fault()]), *_audited(audit, version)]
        return _decide(turn, ROLLBACK, version, {"reason": one_line(reason)}, reasons, overriding)


@contextmanager
def _turn(params: Params, notify: Notify) -> Iterator[_Turn]:
    client, ledger, name = open_present(), Ledger(PROMOTIONS), params.registry.model_name
    with store_errors(), promotion_mutex(client, name, notify) as mutex:
        yield _Turn(client, ledger, finish_unfinished(client, ledger, name, notify), mutex)


def finish_unfinished(client: "MlflowClient", ledger: Ledger, model_name: str, notify: Notify) -> AliasState:
    """Finish what a process that died between ledger and aliases left undone; call with the mutex held."""
    state = read_alias_state(client, ledger, model_name)
    unfinished = state.unfinished()
    if unfinished is None:
        return state
    apply_ledger(client, model_name, state.entries)
    notify(finished_line(unfinished, state))
    return read_alias_state(client, ledger, model_name)


def _possible_version(turn: _Turn, version: int, signing: SigningParams) -> "ModelVersion":
    """A version that may be champion, if only by an override: that is a judgement of what is known of a version, and
    says nothing for files that somebody altered."""
    found = find_version(turn.client, turn.state.model_name, version)
    if found.tags.get("predict") != "ok":
        raise UserError(f"version {version} of {found.name} was never seen to answer (tag predict)")
    expect_intact(turn.client, found, signing)
    return found


def _former(state: AliasState) -> int:
    """The version a rollback returns to: the ledger's champion if another is set, else the one before it."""
    made = champions(state.entries)
    if made and state.champion != made[-1]:
        return made[-1]
    if len(made) < 2:
        none = f"{state.model_name} has no former champion to roll back to ({PROMOTIONS})"
        raise UserError(state.fault() or none)
    return made[-2]


def _compared(turn: _Turn, candidate: "ModelVersion", params: Params) -> tuple[Comparison | None, list[str]]:
    """The comparison, if there can be one, and all that speaks against the candidate in its evaluation."""
    try:
        evaluation = read_evaluation(candidate)
    except UserError as error:
        return None, _prefixed("evaluation", [str(error)])
    if gaps := evaluation.gaps():
        return None, _prefixed("evaluation", gaps)
    mismatches = _prefixed("evaluation", evaluation.mismatches(candidate.tags))
    try:
        comparison = _against_champion(turn, int(candidate.version), evaluation, params)
    except UserError as error:
        return None, [*mismatches, *_prefixed("comparison", [str(error)])]
    if comparison.against == BASE_STUDENT:
        return comparison, [*mismatches, *_prefixed("first champion", unearned(evaluation, comparison, params))]
    return comparison, [*mismatches, *_prefixed("comparison", comparison.reasons())]


def _against_champion(turn: _Turn, version: int, evaluation: Evaluation, params: Params) -> Comparison:
    # a champion set outside is the one to beat, unless that is this version, whose setting is to be recorded
    state = turn.state
    champion = state.champion if state.champion != version else state.by_ledger
    if champion is None:
        reference, against = evaluation.answers(BASE), BASE_STUDENT
    else:
        found = find_version(turn.client, state.model_name, champion)
        reference, asked = champion_answers(turn.client, found, evaluation, params)
        against = f"champion, version {champion}" + (" (asked anew)" if asked else "")
    return compare(evaluation, reference, against, params.promotion, params.seed)


def _gates(candidate: "ModelVersion") -> list[str]:
    result = candidate.tags.get("gates")
    if result == "passed":
        return []
    return _prefixed("gates", [f"tag gates is {result!r}" if result else "the version carries no result (tag gates)"])


def _audited(audit: Audit, version: int) -> list[str]:
    try:
        return _prefixed("audit", audit(version))
    except UserError as error:
        return _prefixed("audit", [str(error)])


def _prefixed(check: str, lines: list[str]) -> list[str]:
    return [f"{check}: {one_line(line)}" for line in lines if line]


def _reason(override: str | None) -> str:
    if override is not None and not override.strip():
        raise UserError("an override needs a reason")
    return one_line(override or "")


def _decide(turn: _Turn, action: str, version: int, body: dict[str, Any], reasons: list[str], override: str) -> Outcome:
    """Refuse, or write the entry and then set the aliases."""
    state, entry = turn.state, None
    if not reasons or override:
        entry = _record(turn, action, version, body | {"failed": reasons, "override": override if reasons else ""})
    return Outcome(
        action=action,
        model_name=state.model_name,
        version=version,
        before=state.champion,
        reasons=reasons,
        comparison=body.get("figures"),
        entry=entry,
    )


def _record(turn: _Turn, action: str, version: int, body: dict[str, Any]) -> Entry:
    from mlflow import MlflowException

    state = turn.state
    # somebody may have set an alias by hand while the checks ran, or another machine may have lost patience
    if read_alias_state(turn.client, turn.ledger, state.model_name) != state or not turn.mutex.held():
        raise UserError("ledger or registry changed while the checks ran; this command changed nothing: try again")
    registry = state.registry_id or uuid.uuid4().hex
    if not state.registry_id:
        turn.client.set_registered_model_tag(state.model_name, REGISTRY, registry)
    whole = {"registry": registry, "model": state.model_name, "from": state.champion, "to": version, **body}
    entry = turn.ledger.append(action, whole)
    try:
        apply_ledger(turn.client, state.model_name, [*state.entries, entry])
    except MlflowException as error:
        raise UserError(
            f"entry {entry.number} is written, but the registry could not be changed: {one_line(error, 200)}; the "
            "next promote, rollback or history finishes it"
        ) from None
    return entry
