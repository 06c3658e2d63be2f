"""The scorer's probabilities of an instruction's own labels, from which `measures/label_ranks.py` ranks a label.

They cost nothing where the labels differ in their first token: those logits are computed for the ranking score anyway.
Where more tokens decide, each further branching of the labels' tokens is a row of its own (`difficulty.label_ranks`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from compeffdist.difficulty.shards import RowFigures
from compeffdist.labels import LabelTrie
from compeffdist.student.batching import TokenRow

MARK = "@"
"""Between a row's id and the number of a branching, in the id of the row that is scored for it."""


def with_choices(row: TokenRow, trie: LabelTrie) -> TokenRow:
    """The row, with the labels' first tokens to be looked at where its answer begins, if that is where they branch."""
    root = trie.branches[0] if trie.branches else None
    return row if root is None or root.path else replace(row, choices=root.children)


def further_rows(row: TokenRow, trie: LabelTrie) -> list[TokenRow]:
    """A row for each branching that the row itself does not pass at its first token."""
    return [
        TokenRow(
            f"{row.id}{MARK}{number}", [*row.prompt_ids, *branch.path], branch.children[:1], choices=branch.children
        )
        for number, branch in enumerate(trie.branches)
        if branch.path
    ]


def log_probabilities(row_id: str, trie: LabelTrie, seen: Mapping[str, RowFigures]) -> dict[str, float] | None:
    """Log-probability of each label, summing to 1 over them, of rows of `with_choices` and `further_rows` by id; None
    if a branching was not looked at."""
    logits: list[Sequence[float]] = []
    for number, branch in enumerate(trie.branches):
        found = seen.get(f"{row_id}{MARK}{number}" if branch.path else row_id)
        if found is None or len(found.choice_logits) != len(branch.children):
            return None
        logits.append(found.choice_logits)
    return trie.log_probabilities(logits)
