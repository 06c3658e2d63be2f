"""How many of a new source's texts a run draws: beside the sources that are there already, by ingestion's own rule."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compeffdist.adding.table import overheard
from compeffdist.errors import UserError
from compeffdist.params import FILE_KINDS, Params, TextSource
from compeffdist.texts.draw import even_shares
from compeffdist.texts.ingest_texts import NoTextLeft, ingest


@dataclass(frozen=True)
class Draw:
    """What a run draws of a new source."""

    texts: int
    """Of the source, about; at most so many where other sources are of its domain."""
    count: int
    """Of all sources: `texts.count`."""
    domains: int
    """Over which these are drawn evenly."""
    others: tuple[str, ...]
    """Names of the other sources."""
    sharing: tuple[str, ...]
    """Those of the source's own domain."""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "texts": self.texts,
            "at_most": bool(self.sharing),
            "count": self.count,
            "domains": self.domains,
            "other_sources": list(self.others),
        }


def expected_draw(source: TextSource, kept: int, params: Params, withdrawn: Collection[str], cache: Path) -> Draw:
    """What a run draws of a source that is not in params yet, of which `kept` texts pass.

    The user's other files are read for it. Corpora and data sets, which may have to be fetched, are not, and taken to
    have all that a run can draw of them: where they have less, more is drawn of the source.
    """
    available = Counter({source.domain: kept})
    for other in params.texts.sources:
        available[other.domain] += _available(other, params, withdrawn, cache)
    share = even_shares(available, params.texts.count)[source.domain]
    others = tuple(other.name for other in params.texts.sources)
    sharing = tuple(other.name for other in params.texts.sources if other.domain == source.domain)
    return Draw(min(kept, share), params.texts.count, len(available), others, sharing)


def _available(source: TextSource, params: Params, withdrawn: Collection[str], cache: Path) -> int:
    """Texts of a source that pass, near-duplicates not looked for."""
    most = params.texts.count
    if source.kind not in FILE_KINDS:
        return most
    alone = {"sources": [source], "near_duplicate_similarity": 1.0}
    try:
        with overheard():
            return int(ingest(params.texts.model_copy(update=alone), {}, params.seed, cache, withdrawn)[2]["out"])
    except NoTextLeft:
        return 0
    except UserError:  # a run stops at it; what is added now is not at fault
        return most
