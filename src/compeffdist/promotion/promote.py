"""Promotion and rollback: who may be champion is decided, recorded, and only then made so.

The order is what makes it safe: the mutex, what an earlier command left undone, the checks, the ledger's entry on
the disk, the aliases. A process that dies before the entry has changed nothing; one that dies after it is finished
by the next command (`standing`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compeffdist.errors import UserError, one_line
from compeffdist.ledger import Entry, Ledger
from compeffdist.params import Params
from compeffdist.promotion.comparison import (
    BASE_STUDENT,
    Comparison,
    Evaluation,
    champion_answers,
    compare,
    read_evaluation,
)
from compeffdist.promotion.first import unearned
from compeffdist.promotion.mutex import Mutex, Tell, promotion_mutex
from compeffdist.promotion.standing import (
    LEDGER,
    PROMOTE,
    ROLLBACK,
    Standing,
    champions,
    identify_registry,
    mended_line,
    read_standing,
    settle,
)
from compeffdist.registry.artifacts import BASE, MANIFEST, PREDICTIONS, find_version, tag_of
from compeffdist.registry.tracking import open_tracking, store_errors

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
    standing: Standing
    mutex: Mutex


def promote(version: int, params: Params, audit: Audit, override: str | None = None, tell: Tell = print) -> Outcome:
    """Make a version champion if it has earned it.

    It has if its gates passed, the audit is clean, its evaluation is whole, and a paired bootstrap over the same
    evaluation rows finds it not worse than the champion beyond a margin on any task and at least as good in the mean
    (params `promotion`). The first champion is held against the base student, and must be better (`first`).

    Args:
        override: why it becomes champion all the same; recorded together with what it failed.
        tell: is told what was mended on the way.

    Returns:
        An outcome without an entry, with all reasons, if it has not and no override was given.

    Raises:
        UserError: no such version; it never answered; it is champion; another promotion is under way; the ledger
            is broken; an override without a reason.
    """
    reason = _reason(override)
    with _turn(params, tell) as turn:
        standing = turn.standing
        candidate = _answering_version(turn, version)
        if standing.champion == standing.by_ledger == version:
            raise UserError(f"version {version} of {standing.model_name} is champion already")
        comparison, unmet = _compared(turn, candidate, params)
        reasons = [*_prefixed("registry", [standing.fault()]), *_gates(candidate), *_audited(audit, version), *unmet]
        figures = comparison.to_row() if comparison else None
        body = {"figures": figures, "tags": {tag: candidate.tags.get(tag, "") for tag in RECORDED}}
        return _decide(turn, PROMOTE, version, body, reasons, reason)


def rollback(
    params: Params, audit: Audit, reason: str = "", override: str | None = None, tell: Tell = print
) -> Outcome:
    """Make the former champion champion again, by the ledger; done again, the one before that.

    A version that was rolled back from is not returned to but by promoting it.

    Args:
        reason: is recorded.
        override: why it is done although the audit of that version finds something, or the registry is not as
            the ledger says.
        tell: is told what was mended on the way.

    Raises:
        UserError: there is no former champion, it is gone from the registry or never answered; else as `promote`.
    """
    overriding = _reason(override)
    with _turn(params, tell) as turn:
        version = _former(turn.standing)
        _answering_version(turn, version)
        reasons = [*_prefixed("registry", [turn.standing.fault()]), *_audited(audit, version)]
        return _decide(turn, ROLLBACK, version, {"reason": one_line(reason)}, reasons, overriding)


@contextmanager
def _turn(params: Params, tell: Tell) -> Iterator[_Turn]:
    client, ledger, name = open_tracking(), Ledger(LEDGER), params.registry.model_name
    with store_errors(), promotion_mutex(client, name, tell) as mutex:
        yield _Turn(client, ledger, mend(client, ledger, name, tell), mutex)


def mend(client: "MlflowClient", ledger: Ledger, model_name: str, tell: Tell) -> Standing:
    """Finish what a process that died between ledger and aliases left undone; call with the mutex held."""
    standing = read_standing(client, ledger, model_name)
    unfinished = standing.unfinished()
    if unfinished is None:
        return standing
    settle(client, model_name, standing.entries)
    tell(mended_line(unfinished, standing))
    return read_standing(client, ledger, model_name)


def _answering_version(turn: _Turn, version: int) -> "ModelVersion":
    found = find_version(turn.client, turn.standing.model_name, version)
    if found.tags.get("predict") != "ok":
        raise UserError(f"version {version} of {found.name} was never seen to answer (tag predict)")
    return found


def _former(standing: Standing) -> int:
    """The version a rollback returns to: the ledger's champion if another is set, else the one before it."""
    made = champions(standing.entries)
    if made and standing.champion != made[-1]:
        return made[-1]
    if len(made) < 2:
        none = f"{standing.model_name} has no former champion to roll back to ({LEDGER})"
        raise UserError(standing.fault() or none)
    return made[-2]


def _compared(turn: _Turn, candidate: "ModelVersion", params: Params) -> tuple[Comparison | None, list[str]]:
    """The comparison, if there can be one, and all that speaks against the candidate in its evaluation."""
    try:
        evaluation = read_evaluation(candidate)
    except UserError as error:
        return None, _prefixed("evaluation", [str(error)])
    gaps = evaluation.gaps()
    if gaps:
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
    standing = turn.standing
    champion = standing.champion if standing.champion != version else standing.by_ledger
    if champion is None:
        reference, against = evaluation.answers(BASE), BASE_STUDENT
    else:
        found = find_version(turn.client, standing.model_name, champion)
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
    standing, entry = turn.standing, None
    if not reasons or override:
        entry = _record(turn, action, version, body | {"failed": reasons, "override": override if reasons else ""})
    return Outcome(
        action=action,
        model_name=standing.model_name,
        version=version,
        before=standing.champion,
        reasons=reasons,
        comparison=body.get("figures"),
        entry=entry,
    )


def _record(turn: _Turn, action: str, version: int, body: dict[str, Any]) -> Entry:
    from mlflow import MlflowException

    standing = turn.standing
    # somebody may have set an alias by hand while the checks ran, or another machine may have lost patience
    if read_standing(turn.client, turn.ledger, standing.model_name) != standing or not turn.mutex.held():
        raise UserError("ledger or registry changed while the checks ran; this command changed nothing: try again")
    registry = identify_registry(turn.client, standing)
    whole = {"registry": registry, "model": standing.model_name, "from": standing.champion, "to": version, **body}
    entry = turn.ledger.append(action, whole)
    try:
        settle(turn.client, standing.model_name, [*standing.entries, entry])
    except MlflowException as error:
        raise UserError(
            f"entry {entry.number} is written, but the registry could not be changed: {one_line(error, 200)}; the "
            "next promote, rollback or history finishes it"
        ) from None
    return entry
