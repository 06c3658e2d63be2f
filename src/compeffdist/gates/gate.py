"""What a gate is: a module that says what it lets through, what it reads row by row, and what it expects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from compeffdist.artefact_kinds import Artefact, Records
from compeffdist.columns import read_columns
from compeffdist.gates.expected import Bound, Expectation, Rule
from compeffdist.gates.figures import Figures, expect_figures
from compeffdist.gates.outcome import Distribution
from compeffdist.gates.tables import Table
from compeffdist.given import Given
from compeffdist.params.gates import GateParams
from compeffdist.record_streams import shared_values
from compeffdist.records import R

T = TypeVar("T")
Rows = Mapping[Records[Any], Sequence[Rule]]


@dataclass(frozen=True)
class Inputs:
    """What a gate sees: its tables, seen[TRIPLETS]; other inputs of its stage, seen.read(TEXTS), or of one with many
    rows some columns, seen.columns(PAIRS, "id"); and its params."""

    given: Given
    tables: Mapping[str, Table[Any]]

    def __getitem__(self, artefact: Records[R]) -> Table[R]:
        """One of the tables in the gate's `rows`."""
        return self.tables[artefact]

    def read(self, artefact: Artefact[T]) -> T:
        """What another input holds, read once. Raises UserError if it is missing or broken."""
        if artefact not in self._read:
            self._read[artefact] = self.given[artefact]
        return self._read[artefact]

    def columns(self, artefact: Records[Any], *names: str) -> list[Sequence[Any]]:
        """Columns of another input in Parquet, which may have a million rows; each row's id is checked as by `read`.
        Raises UserError as that does."""
        if missing := [name for name in names if (artefact, name) not in self._columns]:
            table = read_columns(self.given.path(artefact), artefact.kind, missing, columns=artefact.columns)
            for name in missing:
                self._columns[artefact, name] = [one for part in table[name].chunks for one in shared_values(part)]
        return [self._columns[artefact, name] for name in names]

    def figures(self, artefact: Artefact[Any], needed: type[Figures]) -> Any:
        """What a JSON input holds. Raises UserError as `read`, or if it lacks figures that are needed."""
        return expect_figures(artefact, self.read(artefact), needed, f"gate {self.given.stage.gate}")

    @cached_property
    def _read(self) -> dict[str, Any]:
        return {}

    @cached_property
    def _columns(self) -> dict[tuple[str, str], Sequence[Any]]:
        return {}

    @property
    def params(self) -> GateParams:
        """The gate's own."""
        return getattr(self.given.params.gates, self.given.stage.gate)

    def most(self, key: str) -> Bound:
        """At most what a param of the gate says; null there: reported only."""
        return Bound(high=getattr(self.params, key), param=self.param(key))

    def least(self, key: str, above: bool = False) -> Bound:
        """At least that, or above it."""
        return Bound(low=getattr(self.params, key), above=above, param=self.param(key))

    def param(self, key: str) -> str:
        """The full name of a param of the gate."""
        return f"gates.{self.given.stage.gate}.{key}"


class Gate(Protocol):
    """A module of this folder, NAME.py for the stage check_NAME."""

    GUARDS: Sequence[Artefact[Any]]
    """The artefacts let through, whose hashes make the gate pass."""

    def rows(self, given: Given, /) -> Rows:
        """What is judged row by row: artefacts, and what is expected of them beyond the rules of every table."""

    def expectations(self, seen: Inputs, /) -> Sequence[Expectation]:
        """What must hold beyond single rows; asked only if every row has its fields."""

    def distributions(self, seen: Inputs, /) -> Sequence[Distribution]:
        """For the page; likewise."""
