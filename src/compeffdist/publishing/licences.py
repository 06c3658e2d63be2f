"""Licences of what is exported: which are unknown, which forbid it, and what each format calls them.

A licence is what params say of a source or model, as the run recorded it. Nobody can tell by machine what a licence
allows; what is told here is whether there is one, and whether its own words say no.
"""

import re
from collections.abc import Collection, Iterable

from compeffdist.errors import UserError, one_line
from compeffdist.texts.sources import UNSTATED

_NO_STATEMENT = {"", UNSTATED, "unknown", "none", "n/a", "na", "?", "tbd", "todo", "noassertion"}
_PASSING_ON = r"(?:re-?)?(?:distribut\w*|shar(?:e[ds]?|ing|e?able)\b(?![ -]?alike)|publish\w*|publication\w*)"
_NEXT = r"(?!restrict|limit|condition|warrant|attribution|only|may\b|can\b|but|free|allowed|permitted)[\w'-]+"
"""A word that a no reaches across: "no further distribution", but "no restriction on sharing"."""
_FORBIDDING = re.compile(
    r"\b(?:all rights reserved|proprietary|confidential|private|internal(?: use)?(?: only)?"
    r"|(?:no|not for|do not|without) (?:re-?)?(?:distribut\w*|shar(?![ea]\w*[ -]?alike)\w*|publi\w*))\b"
    rf"|\bno[nt]?-?{_PASSING_ON}"
    rf"|\b(?:no|not|never|(?:prohibit|forbid|disallow)\w*:?)(?: {_NEXT}){{0,4}} {_PASSING_ON}"
    rf"|\b(?:(?:may|must|shall|should|can|do) ?not|\w+n't)(?:,? {_NEXT}){{0,6}},? {_PASSING_ON}"
    rf"|\b(?:{_PASSING_ON}|deriv\w*)(?: {_NEXT}){{0,5}}? (?:prohibited|forbidden|disallowed"
    r"|(?:not|\w+n't) (?:be )?(?:permitted|allowed|authori[sz]ed|granted))\b"
    r"|\bno[ -]?deriv|\bby[ -](?:nc[ -])?nd\b",
    re.IGNORECASE,
)
"""Words that forbid passing rows on; their texts are cut and put into prompts, hence "no derivatives", too. Of a plain
line (`_forbids`)."""
_HUB = {
    *("afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-2.0"),
    *("cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0"),
    *("cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0"),
    *("cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0", "epl-2.0"),
    *("eupl-1.2", "gfdl", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0", "odbl", "odc-by"),
    *("openrail", "osl-3.0", "pddl", "postgresql", "unlicense", "wtfpl", "zlib"),
}
"""Identifiers that the Hugging Face hub knows; anything else is "other" there, with a name beside it."""


def is_unknown(licence: str) -> bool:
    """Whether it says nothing."""
    return licence.strip().lower() in _NO_STATEMENT


def _forbids(licence: str) -> bool:
    """Whether its words say that it may not be passed on. Where they are in doubt they do."""
    dashes = re.sub("[\u2010-\u2015\u2212]", "-", licence).replace("\u2019", "'")
    return bool(_FORBIDDING.search(re.sub(r"[\s_]+", " ", dashes)))


def shown(licence: str) -> str:
    """A licence for people: what was stated, or `unknown`."""
    return "unknown" if is_unknown(licence) else one_line(licence, 120)


def spdx_id(licence: str) -> str:
    """Its identifier on SPDX's list, in SPDX's spelling; empty if it has none."""
    from cyclonedx.spdx import fixup_id

    return fixup_id(licence.strip()) or ""


def address(licence: str) -> str:
    """Where SPDX shows its text; empty if it is not on SPDX's list."""
    found = spdx_id(licence)
    return f"https://spdx.org/licenses/{found}.html" if found else ""


def refuse_unfit(stated: Iterable[tuple[str, str]], allow_unknown: bool, despite: Collection[str]) -> None:
    """Refuse what may not be passed on, or of which nobody has said whether it may.

    Args:
        stated: (source, licence) of whatever goes into the export.
        allow_unknown: export what has no licence; it is called unknown.
        despite: sources that are exported whatever their licence says.

    Raises:
        UserError: naming the source, its licence and what to do.
    """
    stated = sorted(stated)
    if strange := sorted({*despite} - {source for source, _ in stated}):
        known = ", ".join(one_line(source, 60) for source, _ in stated)
        raise UserError(f"--despite-licence: {one_line(strange[0], 60)} is no source of what is exported ({known})")
    for source, licence in stated:
        name = one_line(source, 60)
        if source in despite:
            continue
        if is_unknown(licence) and not allow_unknown:
            raise UserError(
                f"source {name}: its licence is unknown: state it (params.yaml, licence) and run dvc repro, or export "
                "it as it is: --allow-unknown-licence"
            )
        if _forbids(licence):
            raise UserError(
                f"source {name}: its licence forbids passing it on ({shown(licence)}): leave the source out of the "
                f"run, or, if you hold the rights: --despite-licence {name}"
            )


def hub_licence(licences: Iterable[str]) -> dict[str, str | list[str]]:
    """The fields of a Hugging Face card for some licences: `license`, and `license_name` if the hub does not know it.
    One field for each that the hub knows; "unknown" or "other" if one of them is."""
    stated = sorted(set(licences))
    ids = sorted({spdx_id(licence).lower() or licence.strip().lower() for licence in stated})
    if ids and all(one in _HUB for one in ids):
        return {"license": ids[0] if len(ids) == 1 else ids}
    if any(map(is_unknown, stated)) or not stated:
        return {"license": "unknown"}
    name = re.sub(r"[^a-z0-9.-]+", "-", "-and-".join(ids)).strip("-.")[:80]
    return {"license": "other", "license_name": name or "other"}
