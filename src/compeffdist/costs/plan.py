"""What a `dvc repro` would do: which stages, why, and what they will ask the teacher.

Which stages are stale is DVC's to say (`dvc status`); what reads an out of one that runs, may run after it. Of a stage
that asks the teacher and whose inputs are up to date, every question is rebuilt and looked up, as the stage itself
would do it. Where inputs are made anew first, the number of questions follows from params (`expected`).
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from compeffdist.artefacts import TEACHER, metrics_of
from compeffdist.costs.expected import LastRun, expected_questions
from compeffdist.declaration import CODE, Stage, read_pipeline
from compeffdist.domain import domain_of
from compeffdist.errors import UserError, one_line
from compeffdist.exchange.questions import REPLAYS, RememberingTeacher
from compeffdist.files import home_path, read_json
from compeffdist.fingerprints import check_fingerprint
from compeffdist.given import given_to
from compeffdist.lineage.repository import LOCK, Lock
from compeffdist.models import read_identity
from compeffdist.params import Params, Prices
from compeffdist.teacher.conversation import Conversation
from compeffdist.teacher.known import KnownAnswers, known_answers
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import EARLIER, Spending, cost_of, spendings

IN_TURNS = ("generate_tasks", "write_demonstrations")
"""Stages whose later questions follow from their earlier answers."""
NOT_HERE = "not in cache"
MISSING = ("deleted", NOT_HERE)
"""How DVC calls an out that is not there."""
FEWEST_MEASURED = 3
"""Answers of a stage from which on its tokens are told by them alone."""


@dataclass(frozen=True)
class Asking:
    """What a stage will ask the teacher."""

    questions: int
    known: int | None
    """Of these in the store or a record; None where the questions themselves are not known yet."""
    exact: bool
    """Whether every question was rebuilt; else their number follows from params and the last run."""
    prompt_tokens: float | None
    """Of what is to be bought, at most all of them; None where nothing alike was ever asked."""
    completion_tokens: float | None
    seconds: float | None
    """By what asking took through this store; None where it was not measured."""
    unknown: tuple[Request, ...] = field(default=(), repr=False)
    """Questions that are known and have no answer."""

    @property
    def to_buy(self) -> int:
        """At most so many."""
        return self.questions - (self.known or 0)


@dataclass(frozen=True)
class Planned:
    """A stage that will run, or may."""

    stage: Stage
    why: str
    follows: bool
    """Whether only since an earlier one runs: it does not if that writes the same bytes."""
    asking: Asking | None
    """None of a stage that asks nothing."""


def plan(params: Params, status: Mapping[str, Any]) -> list[Planned]:
    """The stages that run, in their order.

    Args:
        status: what `stale` says.

    Raises:
        UserError: an artefact, the store or a record cannot be read.
    """
    planned: list[Planned] = []
    made = {out for stage in read_pipeline().values() for out in stage.outs}
    known, spent = known_answers(params.runtime), spendings(home_path(params.runtime.store))
    last = last_run()
    for stage in read_pipeline().values():
        # a gate lets through what it is given, so what stands behind it waits for what stands before it
        before = [one.stage for one in planned if any(stage.reads(out) for out in one.stage.outs)]
        why = _reason(status.get(stage.name), made)
        if not why and not before:
            if not status.get(stage.name):
                continue
            why = "its inputs changed"
        fresh = [one.name for one in before if not one.gate] or [one.name for one in before]
        asking = _asking(stage, params, known, spent, last, ready=not before) if stage.name in REPLAYS else None
        planned.append(Planned(stage, why or f"follows {', '.join(fresh)}", not why, asking))
    return planned


def stale() -> Mapping[str, Any]:
    """Stage -> what changed, as `dvc status` tells it. Raises UserError if DVC cannot say, or code.yaml, which it goes
    by, is not that of the code."""
    for stage in read_pipeline().values():
        check_fingerprint(stage)
    command = [sys.executable, "-m", "dvc", "status", "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        told = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")] or said
        raise UserError(f"dvc status: {one_line(told[-1], 300)}") from None
    return found if isinstance(found, dict) else {}


def totals(planned: Sequence[Planned]) -> Asking | None:
    """Everything that is asked, in one; what is not known of one stage is not known of all. None if nothing is."""
    asking = [one.asking for one in planned if one.asking is not None]
    if not asking:
        return None

    def whole(name: str) -> Any:
        values = [getattr(one, name) for one in asking]
        return None if any(value is None for value in values) else sum(values)

    exact = all(one.exact for one in asking)
    known = sum(one.known or 0 for one in asking)
    figures = [whole(name) for name in ("prompt_tokens", "completion_tokens", "seconds")]
    return Asking(sum(one.questions for one in asking), known, exact, *figures)


def at_hand(params: Params) -> int:
    """Answers in the store and the records, to whatever questions. Raises UserError if one cannot be read."""
    return len(known_answers(params.runtime).keys())


def over_budget(planned: Sequence[Planned], params: Params, prices: Prices | None) -> list[str]:
    """The bounds of `runtime.budget` that what is asked will exceed, told for people.

    What is not known of a stage counts as nothing: a bound that is not told here may be met all the same.
    """
    rows = spendings(home_path(params.runtime.store))
    asking = [(one.stage.name, one.asking) for one in planned if one.asking is not None]
    teacher = read_identity(Path(TEACHER)).id if Path(TEACHER).exists() else None
    needed = {
        "calls": sum(one.to_buy * _calls_each(stage, rows) for stage, one in asking),
        "tokens": sum((one.prompt_tokens or 0.0) + (one.completion_tokens or 0.0) for _, one in asking),
        "money": sum(money_of(one, prices, params.teacher.engine) or 0.0 for _, one in asking),
    }
    spent = {
        "calls": sum(row.calls for row in rows),
        "tokens": sum(row.spent.tokens for row in rows),
        "money": sum(cost_of(row, prices, teacher) or 0.0 for row in rows) if prices else 0.0,
    }
    told = []
    for of, limits in (("run", params.runtime.budget.run), ("total", params.runtime.budget.total)):
        for name, bound in limits.bounds().items():
            left = bound - (spent[name] if of == "total" else 0.0)
            if needed[name] > left:
                told.append(
                    f"runtime.budget.{of}.{name} leaves {max(left, 0.0):,.10g}, about {needed[name]:,.4g} needed"
                )
    return told


def money_of(asking: Asking, prices: Prices | None, engine: str) -> float | None:
    """What the answers to be bought of an engine cost, by tokens or by the hour; None if it is not known."""
    if prices is None or asking.prompt_tokens is None or asking.completion_tokens is None:
        return None
    tokens = 0, round(asking.prompt_tokens), 0, round(asking.completion_tokens)
    row = Spending("", "", "", "", engine, asking.to_buy, 0, *tokens, asking.seconds or 0.0)
    return cost_of(row, prices, None) if asking.to_buy else 0.0


def _calls_each(stage: str, rows: Sequence[Spending]) -> float:
    """Calls an answer of a stage took so far; 1 if it has none."""
    calls = sum(row.calls for row in rows if row.stage == stage)
    answers = sum(row.answers for row in rows if row.stage == stage)
    return max(1.0, calls / answers) if answers else 1.0


def last_run(root: Path = Path()) -> LastRun:
    """What metrics and lock of the checkout tell of the run they are of."""
    clusters = _metrics("cluster_attributes", root)
    perspectives = clusters.get("clusters") if isinstance(clusters.get("clusters"), int) else None
    path = root / LOCK
    lock = Lock(path.read_text(encoding="utf-8"), (LOCK,)) if path.exists() else None
    each = None
    asked = _asked_before("write_demonstrations", root)
    if lock is not None and perspectives and asked:
        per, calls = lock.param("tasks.per_perspective"), lock.param("demonstrations.calls")
        each = asked["questions"] / (perspectives * per * calls) if per and calls else None
    texts = _metrics("enumerate_attributes", root).get("records", {}).get("in")
    return LastRun(texts if isinstance(texts, int) else None, perspectives, each)


def _reason(entry: Any, made: Set[str]) -> str:
    """What DVC found changed of a stage, in a few words; empty if nothing but what earlier stages make anew."""
    told: list[str] = []
    gone = 0
    parts = entry if isinstance(entry, list) else []
    outs = [item for part in parts if isinstance(part, dict) for item in part.get("changed outs", {}).items()]
    # a fresh clone: what else changed makes no difference
    if outs and all(state == NOT_HERE and not Path(name).exists() for name, state in outs):
        return "its outs are not here"
    for part in parts:
        if not isinstance(part, dict):  # "changed command", "always changed"
            told.append(str(part))
            continue
        for name, state in part.get("changed deps", {}).items():
            if name == CODE:
                told.append("its code changed")
            elif isinstance(state, dict):
                told += [f"{key} {_said(how)}" for key, how in state.items()]
            elif name not in made and not made & {str(folder) for folder in PurePath(name).parents}:
                told.append(f"{name} {_said(state)}")
        for name, state in part.get("changed outs", {}).items():
            if state in MISSING:
                gone += 1
            else:
                told.append(f"{name} {_said(state)}")
    if gone and not told:
        told.append(f"{gone} of its outs {'is' if gone == 1 else 'are'} missing")
    return ", ".join(dict.fromkeys(told))


def _said(how: object) -> str:
    return {"modified": "changed", "deleted": "is missing", "new": "is new"}.get(str(how), str(how))


def _asking(
    stage: Stage,
    params: Params,
    known: KnownAnswers,
    spent: Sequence[Spending],
    last: LastRun,
    ready: bool,
) -> Asking:
    rebuilt = _rebuilt(stage, params, known) if ready else None
    expected = expected_questions(stage.name, params, last)
    if rebuilt is None:
        rate = _rate(stage.name, {}, {})
        return _priced(stage.name, expected, None, False, (), rate, spent)
    requests, answers, whole = rebuilt
    # what follows from an answer that is not there yet is not among the questions
    open_end = not whole or (stage.name in IN_TURNS and len(answers) < len(requests))
    questions = max(expected, len(requests)) if open_end else len(requests)
    unknown = tuple(request for key, request in requests.items() if key not in answers)
    rate = _rate(stage.name, requests, answers)
    return _priced(stage.name, questions, len(answers), not open_end, unknown, rate, spent)


def _rebuilt(
    stage: Stage, params: Params, known: KnownAnswers
) -> tuple[Mapping[str, Request], Mapping[str, Answer], bool] | None:
    """Questions and those of their answers that are known, by key, and whether these are all questions; None if an
    input is not there."""
    if not Path(TEACHER).exists():
        return None
    domain = domain_of(params)
    teacher = RememberingTeacher(read_identity(Path(TEACHER)), known)
    talk = Conversation(teacher, domain, params.teacher, params.seed, stage.name)
    try:
        REPLAYS[stage.name](given_to(stage, params), domain, talk)
    except UserError:  # an input is not there, or an answer without which it cannot go on
        return (teacher.questions, teacher.answers, False) if teacher.questions else None
    return teacher.questions, teacher.answers, True


Rate = tuple[float, float, bool]
"""Prompt tokens, completion tokens of one answer, and whether the first is of one byte of a question."""


def _rate(stage: str, requests: Mapping[str, Request], answers: Mapping[str, Answer]) -> Rate | None:
    """What an answer of a stage takes: by those that are known, else by those of the last run; None if there are
    none."""
    if len(answers) >= FEWEST_MEASURED:
        size = sum(_bytes(requests[key]) for key in answers)
        prompt = sum(answer.prompt_tokens for answer in answers.values())
        return prompt / size, sum(answer.completion_tokens for answer in answers.values()) / len(answers), True
    before = _asked_before(stage)
    if not before or not before["used"]:
        return None
    return before["prompt_tokens"] / before["used"], before["completion_tokens"] / before["used"], False


def _priced(
    stage: str,
    questions: int,
    known: int | None,
    exact: bool,
    unknown: tuple[Request, ...],
    rate: Rate | None,
    spent: Sequence[Spending],
) -> Asking:
    to_buy = questions - (known or 0)
    prompt = completion = None
    if not to_buy:
        prompt = completion = 0.0
    elif rate is not None:
        each, completion_each, of_bytes = rate
        mean = sum(map(_bytes, unknown)) / len(unknown) if of_bytes and unknown else None
        prompt = to_buy * each * (mean if mean is not None else 1.0)
        completion = to_buy * completion_each
    rows = [row for row in spent if row.run != EARLIER and row.stage == stage and row.answers]
    took = sum(row.seconds for row in rows)
    measured = took / sum(row.answers for row in rows) if took else None
    seconds = 0.0 if not to_buy else measured * to_buy if measured is not None else None
    return Asking(questions, known, exact, prompt, completion, seconds, unknown)


def _bytes(request: Request) -> int:
    return len(f"{request.system}{request.prompt}".encode())


def _metrics(stage: str, root: Path) -> dict[str, Any]:
    path = root / metrics_of(stage)
    value = read_json(path) if path.exists() else None
    return value if isinstance(value, dict) else {}


def _asked_before(stage: str, root: Path = Path()) -> dict[str, int] | None:
    """Questions, answers used and their tokens in the run that the metrics are of; None if they do not say."""
    answers = _metrics(stage, root).get("teacher", {}).get("answers")
    if not isinstance(answers, dict):
        return None
    try:
        counts = {name: int(answers[name]) for name in ("used", "missing", "prompt_tokens", "completion_tokens")}
    except (KeyError, TypeError, ValueError):
        return None
    return counts | {"questions": counts["used"] + counts["missing"]}
