"""How hard a label is, by its place among the instruction's own labels.

Most answers are a label, often one token, and then the ranking score says little: where the scorer is unsure, its
nucleus spans much of the vocabulary, x / n is near 0 for whatever label, and rows tie. Asked only to choose among the
n labels the instruction allows, with probabilities p that sum to 1 (`labels`):

    label_surprise = 1 - p(label)                                   in [0, 1)
    label_rank     = (x + label_surprise) / n                       in [0, 1)

x the number of labels with a higher probability than the true one: by rank, and among rows of one rank by surprise. A
tie counts for the true label, as in the ranking score. It is a variant of ours, not of the paper. What a scorer says
whatever the text counts as easy under it, as under perplexity.

It costs nothing where the labels differ in their first token: those logits are computed for the ranking score anyway.
Where more tokens decide, each further branching of the labels' tokens is a row of its own (`difficulty.label_ranks`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from compeffdist.difficulty.shards import RowScore
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


def label_difficulty(
    row_id: str, label: str, trie: LabelTrie, scores: Mapping[str, RowScore]
) -> tuple[float, float] | None:
    """`label_rank` and `label_surprise` of a label; None if a branching was not looked at.

    Args:
        scores: of rows of `with_choices` and `further_rows`, by id.
    """
    logits: list[Sequence[float]] = []
    for number, branch in enumerate(trie.branches):
        found = scores.get(f"{row_id}{MARK}{number}" if branch.path else row_id)
        if found is None or len(found.choice_logits) != len(branch.children):
            return None
        logits.append(found.choice_logits)
    logprobs = trie.log_probabilities(logits)
    own = logprobs[label]
    rank = sum(other > own for other in logprobs.values())
    surprise = -math.expm1(min(own, 0.0))
    return (rank + surprise) / len(logprobs), surprise
