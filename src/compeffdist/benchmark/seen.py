"""Evaluation texts seen in distillation, checked from hashes: by anybody, without the texts.

    compeffdist seen --publish hashes.parquet            # who distilled
    compeffdist seen --hashes hashes.parquet --benchmark FOLDER   # anybody

Published are, of every text that was taken, a hash of its letters and digits and one of each of its word 5-grams, in
no order. A text is seen if it is one of them, letter for letter, or shares at least `OVERLAP` of the 5-grams of the
shorter of the two, by the thresholds of `texts.decontaminate`. Hashes hide texts from reading, not from guessing: who
has a text can tell whether it is among them.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.texts.decontaminate import MIN_SHARED_GRAMS
from compeffdist.texts.words import GRAM_WORDS, word_grams, words

OVERLAP = 0.5
"""Share of the 5-grams of the shorter text; for fewer than MIN_SHARED_GRAMS shared ones, of the longer."""
KIND = b"compeffdist.text_hashes"
VERSION = b"text_hashes@1"


@dataclass(frozen=True)
class TextHashes:
    """What is published of one text."""

    whole: str
    """Of its letters and digits, case folded."""
    grams: frozenset[int]
    """Of its word 5-grams; none of fewer than five words."""


def hashes_of(text: str) -> TextHashes:
    """Of one text."""
    tokens = words(text)
    grams = word_grams(tokens) if len(tokens) >= GRAM_WORDS else set()
    return TextHashes(
        hashlib.sha256("".join(tokens).encode()).hexdigest()[:32],
        frozenset(int.from_bytes(hashlib.sha256(" ".join(gram).encode()).digest()[:8], "big") for gram in grams),
    )


def write_hashes(target: Path, texts: Iterable[str]) -> int:
    """Publish texts, sorted by hash, so that the same texts give the same bytes; how many there are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = {one.whole: one.grams for one in map(hashes_of, texts)}
    columns = {
        "whole": pa.array(sorted(made), pa.string()),
        "grams": pa.array([sorted(made[whole]) for whole in sorted(made)], pa.list_(pa.uint64())),
    }
    with atomic_file(target) as draft:
        pq.write_table(pa.table(columns).replace_schema_metadata({KIND: VERSION}), draft, compression="zstd")
    return len(made)


def read_hashes(source: Path) -> list[TextHashes]:
    """What was published. Raises UserError if the file is not there or is no such file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(source)
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror or 'no Parquet file'}") from None
    except pa.ArrowException:
        raise UserError(f"{source}: is no Parquet file") from None
    if (table.schema.metadata or {}).get(KIND) != VERSION:
        raise UserError(f"{source}: holds no hashes of texts (compeffdist seen --publish writes them)")
    rows = zip(table["whole"].to_pylist(), table["grams"].to_pylist(), strict=True)
    return [TextHashes(whole, frozenset(grams)) for whole, grams in rows]


def seen_texts(texts: Mapping[str, str], published: Iterable[TextHashes]) -> dict[str, str]:
    """The ids of the texts that were seen, each with how: `exact`, or `overlap=SHARE` of the shorter text's 5-grams.

    Args:
        texts: id -> text.
    """
    whole, sizes = set[str](), list[int]()
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for number, one in enumerate(published):
        whole.add(one.whole)
        sizes.append(len(one.grams))
        for gram in one.grams:
            holders[gram].append(number)
    found: dict[str, str] = {}
    for key, text in texts.items():
        own = hashes_of(text)
        if not words(text):
            continue
        if own.whole in whole:
            found[key] = "exact"
            continue
        shared = Counter(number for gram in own.grams for number in holders.get(gram, ()))
        shares = [
            count / smaller
            for number, count in shared.items()
            for smaller, larger in [sorted((len(own.grams), sizes[number]))]
            if count >= OVERLAP * (smaller if count >= MIN_SHARED_GRAMS else larger)
        ]
        if shares:
            found[key] = f"overlap={max(shares):.2f}"
    return found
