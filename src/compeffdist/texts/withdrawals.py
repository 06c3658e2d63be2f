"""Withdrawn texts: whoever wrote a text may take it back, and it stays out of every later run.

The list is a hash-chained ledger kept in git. It holds the ids of the texts, which are hashes of their contents, never
the texts; of a text that was cut to `texts.max_characters`, also the id of the whole, so that it stays out when it
would be cut elsewhere. The first entry only opens it, because DVC warns of an empty dependency at every turn.
"""

from collections.abc import Sequence
from pathlib import Path

from compeffdist.ledger import Ledger

WITHDRAWALS = Path("data/withdrawals.jsonl")
ACTION = "withdraw"


def withdrawn_ids(path: Path = WITHDRAWALS) -> frozenset[str]:
    """Ids of all withdrawn texts, as they were and whole. Raises UserError if the ledger was edited."""
    bodies = [entry.body for entry in Ledger(path).entries() if entry.action == ACTION]
    return frozenset(key for body in bodies for key in (body["text_id"], *body.get("whole_ids", ())))


def withdraw(text_id: str, path: Path = WITHDRAWALS, whole_ids: Sequence[str] = ()) -> bool:
    """Record a withdrawal; False if it was recorded before. Raises UserError if the ledger was edited."""
    if withdrawn_ids(path).issuperset([text_id, *whole_ids]):
        return False
    Ledger(path).append(ACTION, {"text_id": text_id, "whole_ids": list(whole_ids)})
    return True
