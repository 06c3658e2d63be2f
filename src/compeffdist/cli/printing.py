"""How commands that decide something say it: results on stdout, notes on stderr, 1 if it was refused."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from compeffdist.errors import one_line

if TYPE_CHECKING:
    from compeffdist.promotion.promote import Outcome


def print_note(line: str) -> None:
    """A line beside the result."""
    print(one_line(line), file=sys.stderr)


def print_outcome(outcome: "Outcome", as_json: bool) -> None:
    """Print what became of a promotion or rollback; leave with 1 if it was refused."""
    from compeffdist.promotion.history import outcome_lines

    print(json.dumps(asdict(outcome), indent=2, ensure_ascii=False) if as_json else "\n".join(outcome_lines(outcome)))
    if outcome.entry is None:
        raise SystemExit(1)
