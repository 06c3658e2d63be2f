"""Withdrawn texts: whoever wrote a text may take it back, and it stays out of every later run.

The list is a hash-chained ledger kept in git. It holds the ids of the texts, which are hashes of their
contents, never the texts.
"""

from pathlib import Path

from compeffdist.ledger import Ledger

WITHDRAWALS = Path("data/withdrawals.jsonl")
ACTION = "withdraw"


def withdrawn_ids(path: Path = WITHDRAWALS) -> frozenset[str]:
    """Ids of all withdrawn texts.

    Raises:
        UserError: if the ledger was edited.
    """
    return frozenset(entry.body["text_id"] for entry in Ledger(path).entries() if entry.action == ACTION)


def withdraw(text_id: str, path: Path = WITHDRAWALS) -> bool:
    """Record a withdrawal; False if it was recorded before. Raises UserError if the ledger was edited."""
    if text_id in withdrawn_ids(path):
        return False
    Ledger(path).append(ACTION, {"text_id": text_id})
    return True
