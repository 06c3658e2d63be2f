"""A withdrawal as people read it: what the text went into, what goes, and what to do next."""

from collections import Counter
from collections.abc import Iterator, Sequence

from compeffdist.errors import one_line
from compeffdist.lineage.forget import Plan
from compeffdist.lineage.purge import Holding

RECORDS = {"predicted": "prediction"}
"""What people call records whose prefix is not a noun."""


def plan_lines(plan: Plan, *, dry_run: bool = False) -> Iterator[str]:
    """The plan, then the next step."""
    yield f"{plan.text_id}" + ("  (withdrawn before)" if plan.withdrawn_before else "")
    if plan.source:
        yield f"  source: {plan.source}:{plan.source_row}; remove it there, too, if it is a file of yours"
    counts = ", ".join(_counted(count, RECORDS.get(kind, kind)) for kind, count in plan.records.items()) or "nothing"
    yield f"  in the working folder's data: {counts}"
    if plan.stages:
        yield f"  to be run again: {', '.join(plan.stages)} and what follows"
    yield f"  stored answers to be removed: {len(plan.answers)}"
    for folder, keys in plan.recorded.items():
        yield f"  recorded answers to be removed from {one_line(folder)}: {len(keys)}; commit it then"
    yield from (f"  {line}" for line in _former(plan))
    yield from (
        f"  recorded answers may be left, as their questions cannot be told: {one_line(why)}" for why in plan.unasked
    )
    nowhere = "  held nowhere else" + (" that was looked into" if plan.unlooked else "")
    yield "  held elsewhere:" if plan.holdings else nowhere
    for holding in plan.holdings:
        where = f" in remote {holding.remote}" if holding.remote else ""
        still = "  (needed until a student without the text takes its place)" if holding.needed else ""
        yield f"    {holding.kind} {holding.name}{where}: {holding.what}{still}"
    for cut in plan.cuts:
        yield f"  cut elsewhere, an older state has it as {cut}: forget and purge that one, too"
    for other in plan.stand_ins:
        yield f"  nearly the same, left out for it until now: {other}; if it is theirs, too, forget it after dvc repro"
    yield from _unseen(plan)
    if dry_run and not plan.withdrawn_before:
        yield f"nothing is done yet; next: compeffdist forget {plan.text_id}"
    elif plan.records:
        yield f"next: dvc repro, then: compeffdist forget {plan.text_id} --purge"
    elif plan.holdings:
        yield f"next: compeffdist forget {plan.text_id} --purge"


def purge_lines(plan: Plan, removed: Sequence[Holding]) -> Iterator[str]:
    """What was removed, and what still stands."""
    for kind, count in Counter(holding.kind for holding in removed).items():
        yield f"removed: {_counted(count, kind)}"
    left = [holding for holding in plan.holdings if holding not in removed]
    for holding in left:
        yield f"left: {holding.kind} {holding.name}: {holding.what}"
    copied = [holding for holding in removed if holding.elsewhere]
    for holding in copied:
        where = one_line(holding.elsewhere)
        yield f"left: the files of {holding.name}, which are another checkout's ({where}): purge the text there, too"
    yield from _former(plan)
    yield from _unseen(plan)
    if not left and not copied and not plan.former and not plan.unlooked:
        yield f"{plan.text_id} is held nowhere that this machine can see"


def _former(plan: Plan) -> Iterator[str]:
    if plan.former:
        more = f" and {len(plan.former) - 1} more" if len(plan.former) > 1 else ""
        yield (
            f"git's history, here and in every clone, keeps recorded answers on it: {one_line(plan.former[0])}{more}; "
            "what must not be there either has to be rewritten out of it (git filter-repo)"
        )


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _unseen(plan: Plan) -> Iterator[str]:
    yield from (f"not looked into: {one_line(line)}" for line in plan.unlooked)
    if plan.unseen:
        yield (
            f"not looked into: {len(plan.unseen)} older states whose texts are not on this machine, such as "
            f"{plan.unseen[0]}: purged, or to be brought from a remote (dvc fetch --all-commits)"
        )
