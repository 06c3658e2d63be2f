"""What happened to the champion: the ledger, verified, and whether the registry agrees."""

from dataclasses import asdict, dataclass
from typing import Any

from compeffdist.errors import UserError, one_line
from compeffdist.evaluation.table import difference_cell
from compeffdist.ledger import PROMOTIONS, Entry, Ledger
from compeffdist.params import Params
from compeffdist.promotion.alias_state import AliasState, read_alias_state
from compeffdist.promotion.mutex import Holder, Notify, current_holder, promotion_mutex
from compeffdist.promotion.promote import Outcome, finish_unfinished
from compeffdist.registry.tracking import open_registry, store_errors
from compeffdist.tracking_uri import CHAMPION


@dataclass(frozen=True)
class History:
    """The ledger and what the registry says to it."""

    entries: list[Entry]
    """All of the file's, those of other registries included."""
    state: AliasState | None
    """None if the registry could not be asked."""
    problem: str
    """Why the ledger may not be the whole story, in a line; empty if it is."""
    under_way: str = ""
    """Who is promoting now, and the key of the lock; empty if nobody is."""

    def to_row(self) -> dict[str, Any]:
        """As `--json` prints it."""
        state = self.state
        return {
            "champion": state.champion if state else None,
            "former_champion": state.former if state else None,
            "registry": state.registry_id if state else "",
            "problem": self.problem,
            "under_way": self.under_way,
            "entries": [asdict(entry) for entry in self.entries],
        }


def read_history(params: Params, notify: Notify = print) -> History:
    """Read and verify the ledger, ask the registry, and finish what a process that died left undone. Raises UserError
    if the ledger is broken."""
    ledger = Ledger(PROMOTIONS)
    ledger.entries()  # a broken one is said first, and whatever the registry has to say
    try:
        state, holder = _standing(ledger, params.registry.model_name, notify)
    except UserError as error:
        return History(ledger.entries(), None, f"what the registry says is not known: {error}")
    under_way = f"{holder.line()}, lock {holder.key}" if holder else ""
    return History(ledger.entries(), state, state.fault(), under_way)


def _standing(ledger: Ledger, model_name: str, notify: Notify) -> tuple[AliasState, Holder | None]:
    client = open_registry()  # reading a history is no reason to make a store
    with store_errors():
        state = read_alias_state(client, ledger, model_name)
        holder = current_holder(client, model_name)
        # what a promotion under way has written it will carry out itself
        if state.unfinished() is None or (holder and not holder.here):
            return state, holder
    try:
        with store_errors(), promotion_mutex(client, model_name, notify):
            return finish_unfinished(client, ledger, model_name, notify), None
    except UserError as error:  # a registry that may only be read
        notify(f"what entry {ledger.entries()[-1].number} says is not carried out to the end: {error}")
        return state, holder


def history_lines(history: History) -> list[str]:
    """The ledger as people read it: a line an entry, figures and reasons indented below."""
    registry = history.state.registry_id if history.state else ""
    lines = [line for entry in history.entries for line in _entry_lines(entry, registry)]
    if not lines:
        lines = [f"no promotions yet ({PROMOTIONS})"]
    if history.state and history.state.champion:
        lines.append(f"{CHAMPION} of {history.state.model_name}: version {history.state.champion}")
    if history.under_way:
        lines.append(f"under way: {one_line(history.under_way)}")
    return lines


def _entry_lines(entry: Entry, registry: str) -> list[str]:
    body = entry.body
    versions = f"{body['from'] or '-'} -> {body['to']}"
    elsewhere = f"  ({body['model']} of another registry)" if registry and body["registry"] != registry else ""
    lines = [f"{entry.number:>3}  {entry.at}  {entry.action:<8}  {versions:<10}  {one_line(entry.who, 80)}{elsewhere}"]
    if body.get("figures"):
        lines += [f"       {line}" for line in figure_lines(body["figures"])]
    if body.get("reason"):
        lines.append(f"       reason: {one_line(body['reason'])}")
    if body["override"]:
        lines.append(f"       overridden: {one_line(body['override'])}")
    return lines + [f"         {one_line(failed)}" for failed in body["failed"]]


def figure_lines(figures: dict[str, Any]) -> list[str]:
    """Mean and tasks of a comparison, in points of macro-F1."""
    percent = round(100 * figures["confidence"])
    tasks = "; ".join(f"{one_line(name, 40)} {difference_cell(task)}" for name, task in figures["tasks"].items())
    return [
        f"mean macro-F1 {difference_cell(figures['mean'])} over the {figures['against']}, on {figures['rows']} rows "
        f"({percent}% intervals)",
        tasks,
    ]


def outcome_lines(outcome: Outcome) -> list[str]:
    """What became of a promotion or rollback, as people read it."""
    figures = figure_lines(outcome.comparison) if outcome.comparison else []
    if outcome.entry is None:
        refused = f"refused: version {outcome.version} of {outcome.model_name} does not become {CHAMPION}"
        return [*figures, refused, *(f"  {reason}" for reason in outcome.reasons)]
    before = f", before it version {outcome.before}" if outcome.before else ""
    overridden = [f"  overridden: {reason}" for reason in outcome.reasons]
    return [
        *figures,
        f"version {outcome.version} of {outcome.model_name} is {CHAMPION}{before}",
        *overridden,
        f"recorded as entry {outcome.entry.number} of {PROMOTIONS}: commit it",
    ]
