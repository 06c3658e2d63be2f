"""What the teacher's answers took, kept beside the response store, and how much more may be bought.

Every reply counts, also one that holds no answer: a filter, a refusal and thoughts cut short are paid for all the same.
The ledger is a file of its own, `STORE.spent`, so that forgetting an answer does not undo that it was bought. It is
written, to the disk, before the answer is kept, so that no answer is kept that was not counted, whatever ends the run.

A budget is looked at before requests go out, with the most that each can take. What is left is spent in parts: as many
requests as cannot exceed it together, then, since most take far less, as many again of what is left then.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from compeffdist.errors import UserError
from compeffdist.files import home_path
from compeffdist.params import Price, Prices, RuntimeParams, read_prices
from compeffdist.processes import ProcessId, process_id, run_process
from compeffdist.teacher.requests import Request
from compeffdist.teacher.sqlite_file import BUSY_SECONDS, guarded, looked_into, open_for_writing, transaction
from compeffdist.teacher.store import WHAT as STORE

WHAT = "ledger of spending"
VERSION = 1
"""Of the ledger's table."""
HOUR = 3600.0
FRAME_TOKENS = 64
"""Of a chat template, around system prompt and question."""
EARLIER = "earlier"
"""The run of answers that the store held before there was a ledger."""
BOOT = Path("/proc/sys/kernel/random/boot_id")

_TABLE = """
CREATE TABLE IF NOT EXISTS spent (
    day TEXT NOT NULL,
    run TEXT NOT NULL,
    stage TEXT NOT NULL,
    model TEXT NOT NULL,
    engine TEXT NOT NULL,
    answers INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (day, run, stage, model, engine)
) STRICT
"""
_KEYS = ("day", "run", "stage", "model", "engine")
COUNTS = ("answers", "failures", "calls", "prompt_tokens", "cached_tokens", "completion_tokens", "seconds")
_ADD = (
    f"INSERT INTO spent ({', '.join((*_KEYS, *COUNTS))}) VALUES ({', '.join('?' * 12)}) "
    f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in COUNTS)}"
)
_BEFORE_THERE_WAS_A_LEDGER = """
SELECT substr(created_at, 1, 10), teacher_id, engine, count(*), sum(answer ->> '$.prompt_tokens'),
    sum(answer ->> '$.cached_tokens'), sum(answer ->> '$.completion_tokens')
FROM answers WHERE request != '' GROUP BY 1, 2, 3
"""
"""An answer without its question was imported, not bought."""


@dataclass(frozen=True)
class Spent:
    """Calls of a model, and the tokens of their replies."""

    calls: int = 0
    """Requests that had a reply: weighing labels takes several for one answer."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompt's that came from a cache."""
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Of prompts and replies."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Meter:
    """Counts what an engine's calls took; the engine adds each reply, whoever pays reads what came since."""

    def __init__(self) -> None:
        self.total = self.read = Spent()

    def count(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int, calls: int = 1) -> None:
        """Add a reply, or several."""
        self.total += Spent(calls, prompt_tokens, cached_tokens, completion_tokens)

    def since(self) -> Spent:
        """What came since this was asked last."""
        new, self.read = self.total - self.read, self.total
        return new


def prompt_at_most(request: Request) -> int:
    """The most tokens that a request's prompt, as it is sent, can have: no token is shorter than a byte."""
    return len(f"{request.system}{request.prompt}{request.schema}".encode()) + FRAME_TOKENS


def passes_at_most(request: Request, passes: int) -> Spent:
    """The most that labels take which are weighed in so many passes: each reads the prompt and a part of a label."""
    longest = max(len(label.encode()) for label in request.labels)
    return Spent(passes, passes * (prompt_at_most(request) + longest), 0, passes)


def generation_at_most(request: Request, room: int = 0) -> Spent:
    """The most that a generated answer takes; `room`: tokens that are allowed beside those of the answer."""
    return Spent(1, prompt_at_most(request), 0, request.max_tokens + room)


@dataclass(frozen=True)
class Spending:
    """What was spent by one model in one stage of one run on one day."""

    day: str
    """In UTC, ISO 8601."""
    run: str
    """One `dvc repro` or command; EARLIER for what the store held before there was a ledger."""
    stage: str
    """Or the command that asked; empty where it is not known."""
    model: str
    """Content id of the teacher."""
    engine: str
    answers: int
    failures: int
    calls: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float
    """Of asking, with as many requests in flight as there were."""

    @property
    def spent(self) -> Spent:
        """Calls and tokens alone."""
        return Spent(self.calls, self.prompt_tokens, self.cached_tokens, self.completion_tokens)


def ledger_path(store: Path) -> Path:
    """The ledger beside a response store."""
    return Path(f"{store}.spent")


def this_run() -> str:
    """The run that this process belongs to: the topmost `dvc` or `make` above it, told apart from all others."""
    process = process_id(run_process())
    return run_of(process) if process else f"{_boot()}.{os.getpid()}"


def run_of(process: ProcessId) -> str:
    """The run that a topmost `dvc` or `make` is, as the ledger names it."""
    return f"{_boot()}.{process.pid}.{process.started}"


def _boot() -> str:
    return BOOT.read_text(encoding="ascii")[:8] if BOOT.exists() else ""


class Ledger:
    """Adds up what is spent, in an SQLite file made on first use, with what the store of its name held before.

    Raises:
        UserError: from every method, if the file cannot be read or written, or is held by another process for longer
            than a minute.
    """

    def __init__(self, store: Path) -> None:
        self.path, self.run = ledger_path(store), this_run()
        self.connection = open_for_writing(self.path, WHAT, lambda connection: self._begin(connection, store))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; everything added is in it."""
        self.connection.close()

    def add(
        self,
        stage: str,
        model: str,
        engine: str,
        spent: Spent,
        answers: int = 0,
        failures: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """Add to what the same model took in the same stage, run and day."""
        row = (today(), self.run, stage, model, engine, answers, failures, *astuple(spent), seconds)
        with guarded(self.path, WHAT):
            self.connection.execute(_ADD, row)

    def rows(self) -> list["Spending"]:
        """Everything that was ever spent."""
        with guarded(self.path, WHAT):
            return _rows(self.connection)

    def _begin(self, connection: sqlite3.Connection, store: Path) -> None:
        with transaction(connection):
            new = not _version(connection, self.path)
            connection.execute(_TABLE)
            connection.execute(f"PRAGMA user_version={VERSION}")
            if new and store.exists():
                connection.executemany(_ADD, map(astuple, _held(store)))


def spendings(store: Path, patience: float = BUSY_SECONDS) -> list[Spending]:
    """Everything spent through a store, in order; from the store itself where there is no ledger yet. Nothing is
    written. Raises UserError if either cannot be read; it waits `patience` seconds for one that is held."""
    path = ledger_path(store)
    if not path.exists():
        return list(_held(store, patience)) if store.exists() else []
    with looked_into(path, WHAT, patience) as connection:
        return _rows(connection) if _version(connection, path) else []


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Of a ledger; 0 of one without a table. Raises UserError on one that a newer version wrote."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise UserError(f"{path}: written by a newer version of compeffdist; update this checkout")
    return found


def _rows(connection: sqlite3.Connection) -> list[Spending]:
    query = f"SELECT {', '.join((*_KEYS, *COUNTS))} FROM spent ORDER BY {', '.join(_KEYS)}"
    return [Spending(*row) for row in connection.execute(query)]


def _held(store: Path, patience: float = BUSY_SECONDS) -> Iterator[Spending]:
    """What the answers in a store took, each one's call counted as one."""
    with looked_into(store, STORE, patience) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone():
            return
        for day, model, engine, count, prompt, cached, completion in connection.execute(_BEFORE_THERE_WAS_A_LEDGER):
            yield Spending(day, EARLIER, "", model, engine, count, 0, count, prompt, cached, completion, 0.0)


def today() -> str:
    """The day by which spending is counted."""
    return datetime.now(UTC).date().isoformat()


def cost_of(row: Spending, prices: Prices, teacher: str | None) -> float | None:
    """What a row of the ledger cost; None if it is not known.

    By the price of its engine or, if it is of the model `teacher` (a content id; None: any), that of `teacher`; by
    tokens, or by the hour where there is no price of tokens.
    """
    entry = prices.entry(row.engine, *(["teacher"] if teacher in (None, row.model) else []))
    if entry is None:
        return None
    price = prices.prices[entry]
    by_tokens = price.of_tokens(row.prompt_tokens, row.completion_tokens)
    if by_tokens is not None or price.hour is None:
        return by_tokens
    return row.seconds / HOUR * price.hour if row.seconds else None


Amounts = dict[str, float]
"""Calls, tokens and money."""


class Budget:
    """What may be bought: `runtime.budget`, held against the ledger each time it is asked.

    Raises:
        UserError: money is bounded, and there is no price of the teacher's tokens, or the file of prices is at fault.
    """

    def __init__(self, runtime: RuntimeParams, engine: str, teacher: str, ledger: Ledger) -> None:
        both = {"run": runtime.budget.run, "total": runtime.budget.total}
        self.bounds = {f"{of}.{name}": bound for of, limits in both.items() for name, bound in limits.bounds().items()}
        """By param below `runtime.budget`."""
        self.ledger, self.teacher = ledger, teacher
        self.prices: Prices | None = None
        self.price: Price | None = None
        if any(key.endswith("money") for key in self.bounds):
            self.prices, self.price = _prices_of_tokens(runtime, engine)

    def affordable(self, costs: Sequence[Spent]) -> int:
        """How many of these, from the first on, cannot exceed together what is left."""
        spent = self._spent()
        for count, cost in enumerate(costs):
            spent = self._with(spent, cost)
            if self._exceeded(spent):
                return count
        return len(costs)

    def refusal(self, cost: Spent) -> str:
        """Why something of this cost is not bought, for people."""
        spent = self._spent()
        key = self._exceeded(self._with(spent, cost))
        of, _, name = key.partition(".")
        so_far, needed = spent[of][name], self._amounts(cost)[name]
        return (
            f"runtime.budget.{key} is {self.bounds[key]:,.10g}: {so_far:,.10g} spent, the next may take {needed:,.10g}"
        )

    def _spent(self) -> dict[str, Amounts]:
        rows = self.ledger.rows()
        return {"run": self._sum(row for row in rows if row.run == self.ledger.run), "total": self._sum(rows)}

    def _sum(self, rows: Iterable[Spending]) -> Amounts:
        """Rows that have no price count as nothing."""
        amounts = {"calls": 0.0, "tokens": 0.0, "money": 0.0}
        for row in rows:
            amounts["calls"] += row.calls
            amounts["tokens"] += row.spent.tokens
            amounts["money"] += (cost_of(row, self.prices, self.teacher) if self.prices else None) or 0.0
        return amounts

    def _with(self, spent: Mapping[str, Amounts], cost: Spent) -> dict[str, Amounts]:
        more = self._amounts(cost)
        return {of: {name: amount + more[name] for name, amount in so_far.items()} for of, so_far in spent.items()}

    def _amounts(self, cost: Spent) -> Amounts:
        money = self.price.of_tokens(cost.prompt_tokens, cost.completion_tokens) if self.price else None
        return {"calls": cost.calls, "tokens": cost.tokens, "money": money or 0.0}

    def _exceeded(self, spent: Mapping[str, Amounts]) -> str:
        """The first bound that would be exceeded; empty if none."""
        for key, bound in self.bounds.items():
            of, _, name = key.partition(".")
            if spent[of][name] > bound:
                return key
        return ""


def _prices_of_tokens(runtime: RuntimeParams, engine: str) -> tuple[Prices, Price]:
    if runtime.prices is None:
        raise UserError("runtime.budget: money is bounded, and runtime.prices names no file of prices")
    prices = read_prices(home_path(runtime.prices))
    entry = prices.entry(engine, "teacher")
    if entry is None or prices.prices[entry].prompt_tokens is None:
        raise UserError(
            f"{runtime.prices}: has no prompt_tokens and answer_tokens of {engine} or teacher, and runtime.budget "
            "bounds money: what a request may take is known by its tokens"
        )
    return prices, prices.prices[entry]
