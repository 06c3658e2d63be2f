"""Record accounting: in = out + rejected-with-reason, for every stage, or the stage fails."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from compeffdist.records import Reject


def account(stage: str, incoming: int, outgoing: int, rejects: Sequence[Reject]) -> dict[str, Any]:
    """The `records` part of a stage's metrics: in, out, rejected, and rejected by reason.

    Raises:
        RuntimeError: if the sum does not hold. That is a defect of the stage, and nothing may be written.
    """
    if incoming != outgoing + len(rejects):
        raise RuntimeError(f"{stage}: {incoming} records in, but {outgoing} out + {len(rejects)} rejected")
    reasons = dict(sorted(Counter(reject.reason for reject in rejects).items()))
    return {"in": incoming, "out": outgoing, "rejected": len(rejects), "reasons": reasons}
