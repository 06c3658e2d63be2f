"""From sources to texts: normalise, filter, deduplicate, decontaminate, draw. Every row is kept or rejected by name.

The rules run from cheap to dear, and contaminated texts go before near-duplicates are looked for, so that
none of them can take a clean text's place. Which texts are kept depends on their contents and the seed, not
on the order of the rows.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.params import TextsParams
from compeffdist.records import Reject, Text, content_id
from compeffdist.seeds import stage_seed
from compeffdist.texts.decontaminate import contaminated
from compeffdist.texts.draw import draw_evenly
from compeffdist.texts.duplicates import near_duplicates
from compeffdist.texts.language import looks_english
from compeffdist.texts.normalise import normalise, truncate
from compeffdist.texts.sources import RawText, read_source

STAGE = "ingest_texts"


class NoTextLeft(UserError):
    """Every row of the sources was rejected."""

    def __init__(self, reasons: Counter[str]) -> None:
        """`reasons`: reason -> rows."""
        self.reasons = reasons
        reason, count = reasons.most_common(1)[0]
        super().__init__(f"no text is left of {reasons.total()} rows; {count} were rejected as {reason}")


def ingest(
    params: TextsParams, evaluation_texts: Mapping[str, str], seed: int, cache: Path, withdrawn: Collection[str] = ()
) -> tuple[list[Text], list[Reject], dict[str, Any]]:
    """The user texts of a run, the rejected rows, and the counts of both. Texts and rejects are sorted by id.

    Args:
        evaluation_texts: row id -> text of every row that evaluation will use.
        cache: folder for packages and datasets.
        withdrawn: ids of texts that were taken back; a row that holds one is rejected under its place in the source,
            so that no artefact names the text.

    Returns:
        Texts; one Reject for every other row, with `<source>:<row>` first in its detail; and counts for the metrics.

    Raises:
        NoTextLeft: there is none.
        UserError: as `read_source`.
    """
    intake = _Intake(params, withdrawn)
    for source in params.sources:
        for raw in read_source(source, cache):
            intake.add(raw)
    intake.drop(contaminated(intake.texts(), evaluation_texts, params.contamination_overlap), "contaminated")
    if params.near_duplicate_similarity < 1.0:
        intake.drop(near_duplicates(intake.texts(), params.near_duplicate_similarity), "near_duplicate")
    domains = {key: text.domain for key, text in intake.kept.items()}
    drawn = set(draw_evenly(domains, params.count, stage_seed(seed, STAGE)))
    intake.drop({key: "" for key in domains if key not in drawn}, "not_drawn")
    if not intake.kept:
        raise NoTextLeft(Counter(reject.reason for _, reject in intake.rejects))
    return intake.result()


def whole_ids(params: TextsParams, cache: Path, text_id: str, source_name: str) -> list[str]:
    """Ids of the whole contents of the rows of a source that became a text by being cut: what a withdrawal must name
    for it to hold when `texts.max_characters` changes. Raises UserError as `read_source`."""
    found: dict[str, None] = {}
    for source in (source for source in params.sources if source.name == source_name):
        for raw in read_source(source, cache):
            content = normalise(raw.text)
            if len(content) > params.max_characters and _id(truncate(content, params.max_characters)) == text_id:
                found[_id(content)] = None
    return list(found)


def _id(content: str) -> str:
    return content_id(Text.PREFIX, {"text": content})


class _Intake:
    """The rows read so far: texts kept, by id, and rejects. Every row of a source is in one of the two."""

    def __init__(self, params: TextsParams, withdrawn: Collection[str]) -> None:
        self.params, self.withdrawn = params, withdrawn
        self.order = {source.name: place for place, source in enumerate(params.sources)}
        self.kept: dict[str, Text] = {}
        self.rejects: list[tuple[str, Reject]] = []
        """With the name of the source."""
        self.read: Counter[str] = Counter()
        self.truncated: Counter[str] = Counter()

    def texts(self) -> dict[str, str]:
        return {key: text.text for key, text in self.kept.items()}

    def add(self, raw: RawText) -> None:
        """Normalise a row; keep it, or reject it for what it is or for being an exact duplicate."""
        self.read[raw.source] += 1
        content = normalise(raw.text)
        is_withdrawn = bool(self.withdrawn) and _id(content) in self.withdrawn  # whole, whatever it would be cut to
        reason = "withdrawn" if is_withdrawn else raw.fault or self._unfit(content)
        if reason == "too_long" and self.params.too_long == "truncate":
            content = truncate(content, self.params.max_characters)
            reason = self._unfit(content)
            self.truncated[raw.source] += not reason
        text = Text(text=content, domain=raw.domain, source=raw.source, source_row=raw.row, licence=raw.licence)
        if not reason and text.id in self.withdrawn:
            reason = "withdrawn"
        if reason:
            where = f"{raw.source}:{raw.row}"
            self._reject(raw.source, where, reason, where)
        else:
            self._keep_one(text)

    def drop(self, dropped: Mapping[str, str], reason: str) -> None:
        """Reject kept texts, by id; the values are added to the rejects' detail."""
        for key, detail in dropped.items():
            text = self.kept.pop(key)
            where = f"{text.source}:{text.source_row}"
            self._reject(text.source, key, reason, f"{where} {detail}".rstrip())

    def result(self) -> tuple[list[Text], list[Reject], dict[str, Any]]:
        texts = sorted(self.kept.values(), key=lambda text: text.id)
        rejects = sorted((reject for _, reject in self.rejects), key=lambda reject: reject.id)
        if self.read.total() != len(texts) + len(rejects):
            raise AssertionError(f"{self.read.total()} rows read, {len(texts)} kept, {len(rejects)} rejected")
        return texts, rejects, self._metrics()

    def _unfit(self, content: str) -> str:
        if not content:
            return "empty"
        if len(content) < self.params.min_characters:
            return "too_short"
        if self.params.language == "en" and not looks_english(content):
            return "not_english"
        return "too_long" if len(content) > self.params.max_characters else ""

    def _keep_one(self, text: Text) -> None:
        """Of rows with the same text, keep that of the source named first, there the first row or smallest id."""
        former = self.kept.get(text.id)
        if former is not None and self._precedence(former) < self._precedence(text):
            text, former = former, text
        self.kept[text.id] = text
        if former is not None:
            where, kept = f"{former.source}:{former.source_row}", f"{text.source}:{text.source_row}"
            self._reject(former.source, former.id, "duplicate", f"{where} of {kept}")

    def _precedence(self, text: Text) -> tuple[int, int, str]:
        # by length first: row numbers are strings, and 9 stands before 10
        return self.order[text.source], len(text.source_row), text.source_row

    def _reject(self, source: str, record_id: str, reason: str, detail: str) -> None:
        reject = Reject(stage=STAGE, record_id=record_id, reason=reason, detail=detail)
        self.rejects.append((source, reject))

    def _metrics(self) -> dict[str, Any]:
        reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for source, reject in self.rejects:
            reasons[source][reject.reason] += 1
        out = Counter(text.source for text in self.kept.values())
        total = sum(reasons.values(), Counter())
        return {
            "in": self.read.total(),
            "out": out.total(),
            "rejected": total.total(),
            "requested": self.params.count,
            "truncated": self.truncated.total(),
            "domains": dict(sorted(Counter(text.domain for text in self.kept.values()).items())),
            "reasons": dict(sorted(total.items())),
            "sources": {
                name: {
                    "in": self.read[name],
                    "out": out[name],
                    "rejected": reasons[name].total(),
                    "truncated": self.truncated[name],
                    "reasons": dict(sorted(reasons[name].items())),
                }
                for name in self.order
            },
        }


def source_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What became of each source's rows, for people."""
    for name, counts in metrics["sources"].items():
        yield f"texts: {name}: {counts['out']:,} of {counts['in']:,} rows; left out: {left_out(counts['reasons'])}"


def left_out(reasons: Mapping[str, int]) -> str:
    """How many rows each reason left out, the most first, for people."""
    told = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {reason}" for reason, count in told) or "none"
