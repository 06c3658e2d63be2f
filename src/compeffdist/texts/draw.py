"""Draws that are even over groups, and stable: adding or removing a few rows changes only a few of the drawn.

A row's place in the draw is a hash of the seed and its id, not a position in a shuffled list. So the result
depends on the ids alone, never on their order, and a corpus that grows a little does not change every drawn
text (and buy every teacher answer again).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from compeffdist.canonical import hash_text
from compeffdist.params import LabelPriorsParams
from compeffdist.records import Text, by_id
from compeffdist.seeds import stage_seed

K = TypeVar("K", str, tuple[int, int])


def even_shares(available: Mapping[K, int], total: int) -> dict[K, int]:
    """How many to take of each group so that `total` (or all there are) are taken, as evenly as the groups allow.

    A group that has less than its share gives all; the others divide what is left. Ties and remainders go by name.
    The scarcest group comes first.
    """
    shares: dict[K, int] = {}
    left = total
    groups = sorted(available, key=lambda group: (available[group], group))
    for place, group in enumerate(groups):
        shares[group] = min(available[group], left // (len(groups) - place))
        left -= shares[group]
    return shares


def draw_evenly(groups: Mapping[str, str], total: int, seed: int) -> list[str]:
    """Draw `total` ids (or all there are) from `groups` (id -> group), evenly over the groups. Sorted by id."""
    members: defaultdict[str, list[str]] = defaultdict(list)
    for key, group in groups.items():
        members[group].append(key)
    shares = even_shares({group: len(keys) for group, keys in members.items()}, total)
    drawn: list[str] = []
    for group, keys in members.items():
        drawn += sorted(keys, key=lambda key: (hash_text(f"{seed}:{key}"), key))[: shares[group]]
    return sorted(drawn)


def draw_texts(texts: Sequence[Text], params: LabelPriorsParams, seed: int) -> list[str]:
    """The run's texts that label priors are estimated from, evenly over domains, in the order of their ids; none at
    strength 0."""
    if not params.strength:
        return []
    drawn = draw_evenly({text.id: text.domain for text in texts}, params.texts, stage_seed(seed, "priors"))
    known = by_id(texts)
    return [known[key].text for key in drawn]
