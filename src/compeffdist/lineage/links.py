"""The links of a lineage, checked one by one: each holds, is broken, or cannot be looked at on this machine."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from compeffdist.errors import one_line

Status = Literal["PASS", "FAIL", "SKIP"]
OF_ARTEFACTS = {"bytes", "records"}
"""Checks of which each link is about one artefact."""
NAMED = 3
"""Of several broken things, those that are named."""


@dataclass(frozen=True)
class Link:
    """What one check found."""

    check: str
    """Kind of check: `bytes`, `chain`, `records`, `parents`, …"""
    subject: str
    """The artefact, object, store, model or version that was checked."""
    status: Status
    detail: str
    """What was checked, or what is wrong and what to do."""

    def __str__(self) -> str:
        return f"{self.status}  {self.check:<9} {self.subject}  {self.detail}"


@dataclass(frozen=True)
class Audit:
    """Every link of a lineage."""

    links: tuple[Link, ...]
    absent: str = ""
    """What to do where no file of records is on this machine: then a line for each of them says nothing."""
    gone: frozenset[str] = frozenset()
    """The artefacts that are not here then."""

    @property
    def passed(self) -> bool:
        """Whether no link is broken. What this machine does not have (SKIP) is not held against it."""
        return not self.failures

    @property
    def failures(self) -> list[Link]:
        return [link for link in self.links if link.status == "FAIL"]

    def summary(self) -> str:
        """One line for people."""
        counts = Counter(link.status for link in self.links)
        verdict = "PASS" if self.passed else "FAIL"
        return (
            f"audit {verdict}: {counts['PASS']} links hold, {counts['FAIL']} are broken, "
            f"{counts['SKIP']} cannot be looked at on this machine"
        )

    def lines(self, failures: bool = False) -> list[str]:
        """For people: a line a link, or a broken one, and the summary. Where no file of records is here one line says
        so in place of those that follow from it."""
        if self.absent:
            apart = [link for link in self.failures if link.check not in OF_ARTEFACTS or link.subject not in self.gone]
            return [self.absent, *map(str, apart), self.summary()]
        return [*map(str, self.failures if failures else self.links), self.summary()]

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {"passed": self.passed, "links": [asdict(link) for link in self.links]}


def judged(check: str, subject: str, problems: Sequence[str], holds: str, remedy: str = "") -> Link:
    """A link that is broken if there are problems; the first few of them are named."""
    if not problems:
        return Link(check, subject, "PASS", holds)
    return Link(check, subject, "FAIL", f"{several(problems)}{f'; {remedy}' if remedy else ''}")


def several(problems: Iterable[str]) -> str:
    """`a; b; c and 4 more`."""
    found = list(problems)
    named = "; ".join(one_line(problem, 200) for problem in found[:NAMED])
    return named if len(found) <= NAMED else f"{named} and {len(found) - NAMED} more"
