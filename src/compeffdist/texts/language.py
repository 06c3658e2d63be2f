"""Tell English texts from others by script and function words: no model, the same on every machine.

The filter is there to keep foreign texts from a teacher and student that are asked in English, and it leans
towards keeping: slang, names and three-word exclamations have no function words at all and must stay. The
price is that short foreign texts without a telling word pass (figures at `looks_english`).
"""

import re

from compeffdist.texts.normalise import LINK_TOKEN, USER_TOKEN
from compeffdist.texts.words import words

MIN_LATIN_SHARE = 0.7
"""Of the letters; the rest may be quotations or a line of another script."""
TELLING_WORDS = 8
"""From this many words on, English is expected to show itself."""
PLAIN_ENGLISH_SHARE = 0.2
"""Of the words: with so many English function words a text is English whatever else it holds."""
MIN_FOREIGN_WORDS = 2
"""Different ones: a single "la" or "des" is a name in an English text as often as not."""
MAX_ACCENTED_SHARE = 0.04
"""Of the letters, where no English function word stands against it: cafés pass, French does not."""

# hashtags, and what `normalise` puts for handles and links, are words of no language
_NO_LANGUAGE = re.compile(rf"#\w+|{USER_TOKEN}\b|\b{LINK_TOKEN}\b")

_LAST_LATIN = 0x24F


def _set(words_in_a_row: str) -> frozenset[str]:
    return frozenset(words_in_a_row.split())


AMBIGUOUS = _set("""
    a all also am an as at be can do even for get going had has he her him i if in is it made me my no of off on or over
    so some such than to u under us want was we were will
""")
"""English words that other languages have too: a longer text that holds no other needs many of them."""

ENGLISH = AMBIGUOUS | _set("""
    about after again and any are back because been before being better but by cannot could did didn does doesn doing
    don down every few first from gets getting go good got great have haven here his how into isn its itself just know
    like ll make more most much myself never new not now one only other our out people re really right said say see she
    should still that the their them then there these they thing things think this those through time too up ve very
    wasn way well what when where which while who why with without won work would you your yours
""")
"""Function words and a few everyday words, as `words` splits them (so "don't" gives "don")."""

FOREIGN = _set("""
    aber als auch auf aus bei bist dann dass der des dich dir durch ein eine einen einer er es für
    habe ich ihr im ist kann keine mein mich mir nach nicht noch nur oder schon sein sich sind und
    uns wenn wie wir wird zu zum zur
    algo como cuando de del desde donde el ella en eres esta está este estoy gracias hoy la le más
    muy nada nos para pero por porque que qué quiero se ser sobre su tiene todo todos tu un una uno
    ao aos até dele depois dos ela ele essa esse eu foi isso já mais mas meu minha muito nas nem não
    num ou pela pelo pra quem são sem seu só sua também tem tudo uma vai você vocês
    au aux avec ce ces cette dans donc du elle et été être fait ils je leur lui même moi notre nous
    ont où pas qu quand qui sa ses sont suis sur toi très une vos votre vous à ça
    alla anche che ci cosa dal dalla dei della delle di gli io nel nella perché più questa questo
    sei sono tutti tutto è
    aan bij dat deze dit een geen haar heb heeft het hij ik kan maar met mijn naar niet nog onder
    ook uit veel voor wat wel worden zijn zo
    ada adalah aja akan aku apa atau bisa dalam dari dengan dia gak harus ini itu juga kalau kami
    kamu karena ke kita lagi mau mereka nggak oleh pada saja sama saya sudah tapi telah tidak untuk
    yang
    ako ang ba hindi kung mga naman ng ni niya nya sila siya talaga yung
    av att det eller ett fra från för har hvor ikke inte jag jeg med mycket något og och på så sig
    ska skal som til vad var är
    bir bu çok daha değil ile için kadar olan olarak sonra veya
    ale co czy dla jak jest lub może nie od przez się są tak tylko że
    ei että hän joka jos kun mutta niin oli ovat sen tämä
    egy ez és hogy
""")
"""Frequent words of German, Spanish, Portuguese, French, Italian, Dutch, Indonesian, Filipino, Scandinavian
languages, Turkish, Polish, Finnish and Hungarian (each word once); none is English or a common name too."""


def looks_english(text: str) -> bool:
    """Whether a normalised text passes as English. A text without letters (an emoji, a number) passes.

    Measured: of 20,000 reviews and tweets collected as English 15 are dropped, 11 of which are Spanish. Of
    messages of translated programs 94% are dropped in 22 other languages of Latin script if they hold eight
    words or more, 47% if fewer; in nine languages of other scripts 99%.
    """
    tokens = [token for token in words(_NO_LANGUAGE.sub(" ", text)) if token.isalpha()]
    english = [token for token in tokens if token in ENGLISH]
    foreign = {token for token in tokens if token in FOREIGN}
    if len(foreign) >= MIN_FOREIGN_WORDS and len(foreign) > len(english):
        return False
    letters, latin, accented = _letters(text)
    if latin < MIN_LATIN_SHARE * letters:
        return False
    plainly_english = len(english) >= PLAIN_ENGLISH_SHARE * len(tokens) and bool(english)
    if accented > MAX_ACCENTED_SHARE * letters and not plainly_english:
        return False
    if len(tokens) < TELLING_WORDS or plainly_english or not AMBIGUOUS.issuperset(english):
        return True
    return bool(english) and not foreign and not accented


def _letters(text: str) -> tuple[int, int, int]:
    """How many letters there are, how many of them Latin, and how many not plain ASCII."""
    if text.isascii():
        return 0, 0, 0  # every letter is Latin and plain, so no count can decide anything
    letters = [character for character in text if character.isalpha()]
    latin = sum(ord(character) <= _LAST_LATIN for character in letters)
    return len(letters), latin, sum(not character.isascii() for character in letters)
