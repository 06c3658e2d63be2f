"""Bring user texts to one form and bound their length.

Normalisation changes how a text is written down, never its wording: spelling, case, emoji and punctuation
carry sentiment and stay. What goes is what differs between two copies of one text (encodings of a character,
markup, white space), what a reader cannot see (control and format characters), and what points at a person
(links, e-mail addresses, @handles). Names and telephone numbers inside a sentence are not recognised.
"""

import html
import re
import unicodedata

LINK_TOKEN = "http"
USER_TOKEN = "@user"

UNESCAPE_PASSES = 4
"""Scraped texts are often escaped twice; the bound keeps a hostile `&amp;amp;…` from costing a pass per level."""

_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# only tags that reviews and comments really carry, so that "<3" and "<grin>" stay
_TAG = re.compile(r"</?(?:a|b|blockquote|br|div|em|hr|i|li|ol|p|span|strong|u|ul)(?:\s[^<>]{0,500})?/?>", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|\bwww\.)\S+", re.IGNORECASE)
# possessive quantifier: a megabyte of letters without an @ costs one scan, not one per letter
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+")
_HANDLE = re.compile(r"@(?=\d*[^\W\d])\w+")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)")

ZERO_WIDTH_JOINERS = "\u200c\u200d"
# the flag of a part of a country, such as Scotland: a black flag, three to six letters and digits in tag characters
# that name it, the tag that ends it (UTS 51, ED-14a). Any other run of tags only hides words
_TAG_LETTER = "\U000e0061-\U000e007a"
_TAG_DIGIT = "\U000e0030-\U000e0039"
_REGION_FLAG = re.compile(f"\U0001f3f4[{_TAG_LETTER}]{{2}}[{_TAG_LETTER}{_TAG_DIGIT}]{{1,4}}\U000e007f")
_HALVES = re.compile("[\ud800-\udfff]")
# what belongs to the character before it: variation selectors, skin tones, the keycap, joiners, tags
_CONTINUES = re.compile(
    "[\ufe00-\ufe0f\U000e0100-\U000e01ef\U0001f3fb-\U0001f3ff\u20e3\u200c\u200d\U000e0020-\U000e007f]"
)
_FLAG_LETTER = re.compile("[\U0001f1e6-\U0001f1ff]")
"""Two of them make the flag of a country."""


def whole_characters(text: str) -> str:
    """`text` without lone surrogates, halves of a character that a program cut in the middle: no file can hold them and
    no tokenizer reads them."""
    return _HALVES.sub("", text)


def normalise(text: str) -> str:
    """The form in which a text is stored, compared and shown to models: one line, possibly empty.

    In order: HTML entities are unescaped and common tags become spaces; control characters and every kind of
    white space become spaces; format characters and lone surrogates are removed, except joiners inside emoji
    and scripts that need them, and the tags of a region's flag; the rest is composed (Unicode NFC); links become
    `http`, e-mail addresses and @handles `@user`; runs of spaces become one. Normalising twice changes nothing more
    (for up to `UNESCAPE_PASSES` levels of escaping).
    """
    text = _visible(_TAG.sub(" ", _unescape(text)))
    text = unicodedata.normalize("NFC", text)
    text = _LINK.sub(LINK_TOKEN, text)
    if "@" in text:  # most texts hold none, and looking for an e-mail address reads every word
        text = _HANDLE.sub(USER_TOKEN, _EMAIL.sub(USER_TOKEN, text))
    return " ".join(text.split())


def truncate(text: str, limit: int) -> str:
    """`text` cut to at most `limit` characters: after the last sentence that fits, if that keeps half of the
    limit; else after the last word that fits; a single longer word is cut inside."""
    if len(text) <= limit:
        return text
    # look one character further, to see whether a word or sentence ends exactly at the limit
    ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, limit + 1) if match.end() <= limit]
    if ends and ends[-1] >= limit / 2:
        return text[: ends[-1]]
    space = text.rfind(" ", 0, limit + 1)
    if space > 0:
        return text[:space]
    while limit > 1 and _inside_character(text, limit):
        limit -= 1
    return text[:limit]


def _inside_character(text: str, place: int) -> bool:
    """Whether what stands at `place` belongs to what stands before it: an accent, the rest of an emoji."""
    if unicodedata.combining(text[place]) or _CONTINUES.match(text[place]) or text[place - 1] in ZERO_WIDTH_JOINERS:
        return True
    letters = 0
    while letters <= place and _FLAG_LETTER.match(text[place - letters]):
        letters += 1
    return letters > 0 and letters % 2 == 0


def _unescape(text: str) -> str:
    """Entities must end in a semicolon: "AT&T" and "a&lt" are left as they are."""
    for _ in range(UNESCAPE_PASSES):
        unescaped = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
        if unescaped == text:
            break
        text = unescaped
    return text


def _visible(text: str) -> str:
    if text.isprintable():  # of the white space only the plain space is printable
        return text
    flags = {place for flag in _REGION_FLAG.finditer(text) for place in range(*flag.span())}
    return "".join(
        character if character.isprintable() or place in flags else _substitute(text, place)
        for place, character in enumerate(text)
    )


def _substitute(text: str, place: int) -> str:
    character = text[place]
    if character.isspace() or unicodedata.category(character) == "Cc":
        return " "
    if character in ZERO_WIDTH_JOINERS and 0 < place < len(text) - 1:
        # emoji sequences, Persian and the Indic scripts need them; elsewhere they only hide words
        return character if _joinable(text[place - 1]) and _joinable(text[place + 1]) else ""
    return "" if unicodedata.category(character) in ("Cf", "Cs") else character


def _joinable(character: str) -> bool:
    category = unicodedata.category(character)
    return not character.isascii() and category[0] != "Z" and category not in ("Cc", "Cf", "Cs")
