"""From raw attribute names to a counted vocabulary: normalisation and the frequency cut (method section 2).

The official code applies the first of its rules that fits and never trims, so that "use of irony/sarcasm" becomes "use
of irony" and "sarcasm", and "use of slang" lives on beside "slang". `chained` applies every rule in turn. Neither
merges plurals or hyphens: clustering puts such spellings together, and a wrong merge cannot be undone.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from compeffdist.records import Attribute, Mention, Reject

STAGE = "enumerate_attributes"
TOP_DESCRIPTIONS = 5
"""Descriptions kept per attribute: as many as the analysis prompt of a perspective may need."""

_LABEL, _USE_OF = "attribute:", "use of "
_EDGE = " \"'`‘’‚‛“”„«»*_~#•·.,;:!?|/\\<>[]{}-–—"
"""Quotes, list marks, emphasis and punctuation around a name. Round brackets stay: "value (money)" needs both."""


def normalise(raw_name: str, rule: Literal["chained", "official"]) -> list[str]:
    """The attribute names that a raw name stands for.

    Args:
        raw_name: as the teacher wrote it; both rules lower-case it and take what follows a label
            "attribute:", as the official answer parser does before normalising.
        rule: `chained`: the part before the first colon, split at slashes, each part without a leading "use
            of " and without surrounding punctuation; empty parts and repetitions are dropped. `official`: the
            first that fits of: the part before the first colon; split at slashes; what follows "use of ";
            unchanged. Parts are neither trimmed nor dropped, as published.

    Returns:
        Names in order of appearance; none if `chained` finds nothing that could be a name.
    """
    name = " ".join(raw_name.split()).lower()
    return _chained(name) if rule == "chained" else _official(name)


def _official(name: str) -> list[str]:
    name = name.partition(_LABEL)[2].strip() if _LABEL in name else name
    if ":" in name:
        return [name.partition(":")[0]]
    if "/" in name:
        return name.split("/")
    return [name.partition(_USE_OF)[2] if _USE_OF in name else name]


def _chained(name: str) -> list[str]:
    name = name.strip(_EDGE).removeprefix(_LABEL).strip(_EDGE)
    parts = [_trim(part) for part in name.partition(":")[0].split("/")]
    return list(dict.fromkeys(part for part in parts if part))


def _trim(part: str) -> str:
    """Strip until nothing changes: a prefix may hide behind a quote, and a quote behind a prefix."""
    while (trimmed := part.strip(_EDGE).removeprefix(_USE_OF)) != part:
        part = trimmed
    return part


def count_attributes(mentions: Sequence[Mention], more_than: int) -> tuple[list[Attribute], list[Reject]]:
    """Count normalised names and keep those that occur more than `more_than` times (strictly, as the official code).

    A mention with several names counts for each of them. The result does not depend on the order of `mentions`.

    Returns:
        The attributes, most frequent first (ties by id), and a reject with reason `rare` for every other
        name: attributes + rejects = distinct names.
    """
    mentions_of: defaultdict[str, list[Mention]] = defaultdict(list)
    for mention in mentions:
        for name in mention.names:
            mentions_of[name].append(mention)
    counted = (_count(name, found) for name, found in mentions_of.items())
    attributes = sorted(counted, key=lambda attribute: (-attribute.count, attribute.id))
    kept = [attribute for attribute in attributes if attribute.count > more_than]
    rare = [
        Reject(stage=STAGE, record_id=attribute.id, reason="rare", detail=f"{attribute.name}: {attribute.count}")
        for attribute in attributes[len(kept) :]
    ]
    return kept, rare


def _count(name: str, mentions: Sequence[Mention]) -> Attribute:
    descriptions = Counter(text for mention in mentions if (text := mention.description.strip()))
    ranked = sorted(descriptions, key=lambda text: (-descriptions[text], text))
    return Attribute(
        name=name,
        count=len(mentions),
        text_count=len({mention.text_id for mention in mentions}),
        raw_names=sorted({mention.raw_name for mention in mentions}),
        descriptions=ranked[:TOP_DESCRIPTIONS],
    )
