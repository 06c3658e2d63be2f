"""User texts: one form, bounded, whatever is in them; names of rows; prompts that no text closes."""

import unicodedata
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from compeffdist.errors import one_line
from compeffdist.prompting import delimited, inline, with_input
from compeffdist.texts.decontaminate import compact
from compeffdist.texts.normalise import ZERO_WIDTH_JOINERS, normalise, truncate
from compeffdist.texts.row_ids import row_name, written_id
from compeffdist.texts.words import word_grams, words
from tests.fuzz.hostile import FRAGMENTS, texts, values
from tests.fuzz.hunting import Target

KEPT = {*ZERO_WIDTH_JOINERS, *map(chr, range(0xE0020, 0xE0080))}
"""What is not printable and belongs to scripts and emoji."""


def normal(case: tuple[str, int], folder: Path) -> None:
    text, limit = case
    once = normalise(text)
    unknown = [c for c in once if not c.isprintable() and unicodedata.category(c) not in ("Cn", "Co")]
    assert {*unknown} <= KEPT, ascii(once)
    assert not any(unicodedata.bidirectional(c) in ("LRO", "RLO", "LRE", "RLE", "LRI", "RLI", "FSI") for c in once)
    assert once == once.strip() and "  " not in once
    once.encode()
    cut = truncate(once, limit)
    assert len(cut) <= limit and once.startswith(cut)
    assert cut or not once
    word_grams(words(once))
    compact(once)


def prompt(text: str, folder: Path) -> None:
    assert "\n" not in inline(text) and "\r" not in inline(text)
    told = delimited(text)
    assert told.lower().count("<text>") == told.lower().count("</text>") == 1
    assert len(with_input("Instruction", text).splitlines()) == 4, "starts a line of ours"


def row_ids(value: Any, folder: Path) -> None:
    written = written_id(value)
    assert isinstance(written, str)
    if written:
        assert row_name(written).isprintable() and row_name(written)


def line(text: str, folder: Path) -> None:
    told = one_line(text, 100)
    assert told.isprintable() and len(told) <= 100


def large(case: tuple[str, int], folder: Path) -> None:
    """Ten megabytes of one fragment."""
    part, megabytes = case
    text = part * (megabytes * 1_000_000 // len(part))
    normal((text, 2000), folder)
    prompt(text, folder)


TARGETS = (
    Target("texts.normalise", st.tuples(texts(), st.integers(1, 40)), normal),
    Target("texts.prompt", texts(), prompt),
    Target("texts.row_ids", values(), row_ids),
    Target("texts.one_line", texts(), line),
    Target("texts.large", st.tuples(st.sampled_from(FRAGMENTS), st.sampled_from([1, 10])), large, share=0.01),
)
