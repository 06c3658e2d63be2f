"""Asking the teacher: look up first, buy what is missing, keep every answer at once.

An answer is looked for in the store, then in the records of `runtime.recorded`, and only then is an engine started and
are the teacher's weights needed. A recorded answer is not copied into the store: what is withdrawn has one place less
to go from. Missing requests are put in the order of their prompts, so that those sharing an instruction follow one
another and the engine's prefix cache pays. What asking takes is counted in the ledger beside the store, and held to
`runtime.budget` before requests go out (`spending`).
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from compeffdist.errors import UserError, one_line
from compeffdist.files import home_path
from compeffdist.models import ModelIdentity, cache_folder, obtain_folder, read_identity
from compeffdist.params import Params, RuntimeParams, TeacherParams
from compeffdist.progress import Progress
from compeffdist.running import STAGE
from compeffdist.teacher.engine import Engine, EngineOpener, open_engine
from compeffdist.teacher.recorded import open_records
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import Budget, Ledger
from compeffdist.teacher.store import ResponseStore, StoredAnswer

FAILURE_SHARE = 0.5
"""Share of failed requests above which the run stops: the fault is then not with single requests."""

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
SOURCES = ("store", "recorded", "bought")
"""Where an answer came from."""

Weights = Callable[[], Path | None]
"""Gives the folder of a teacher's weights, fetched if need be; None for a model behind an API. Called when an answer
has to be bought, and not before."""


@dataclass(frozen=True)
class Asked:
    """What came of one request."""

    answer_id: str
    """Key in the response store and in records."""
    answer: Answer | None
    reason: str
    """Why there is no answer; empty where there is one."""


class Use(NamedTuple):
    """What an answer took, without the answer: of a million, a tenth of the memory."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    kind: str
    """`Answer.kind`."""


class Teacher(Protocol):
    """Whoever answers requests: what the stages know of it."""

    identity: ModelIdentity
    """The model whose answers these are."""

    def ask(self, requests: Sequence[Request], label: str) -> list[Asked]:
        """One result per request, in the order given; `label` names the work in progress and errors."""
        ...


class BuyingTeacher:
    """A teacher with its response store, its records and, if something has to be bought, its engine, opened by
    `opener` or as `teacher.engine` names it. Use as a context manager."""

    def __init__(
        self,
        identity: ModelIdentity,
        teacher: TeacherParams,
        runtime: RuntimeParams,
        weights: Weights,
        opener: EngineOpener | None = None,
        paid_from: Path | None = None,
    ) -> None:
        """`paid_from`: the store whose ledger counts what is spent; None: that of `runtime`."""
        self.identity, self.teacher, self.runtime, self.weights = identity, teacher, runtime, weights
        self.opener = opener or open_engine
        self.paid_from = paid_from or home_path(runtime.store)
        self.ledger: Ledger | None = None
        self.records = open_records(runtime)
        self.store = ResponseStore(home_path(runtime.store))
        self.engine: Engine | None = None
        self.seconds = 0.0
        """Spent asking."""
        self.counted_until = 0.0
        self.counts: Counter[str] = Counter()
        self.used: dict[str, Use | None] = {}
        """What every distinct answer asked for took, by key; None where there is none."""
        self.spoilt: set[str] = set()
        """Keys of answers in the store that are not whole."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.engine is not None:
                self.engine.close()
        finally:
            if self.ledger is not None:
                self.ledger.close()
            self.store.close()

    def ask(self, requests: Sequence[Request], label: str) -> list[Asked]:
        """One result per request, in the order given; `label` names the work in progress and errors.

        Raises:
            UserError: if the engine or store cannot be used, more than half of the requests fail, or the budget does
                not allow for all. What was answered before is kept.
        """
        keys = [request.key(self.identity.id) for request in requests]
        wanted = dict(zip(keys, requests, strict=True))
        known = self._look_up(wanted)
        by_prompt = sorted((r.system, r.prompt, key) for key, r in wanted.items() if key not in known)
        missing = {key: wanted[key] for *_, key in by_prompt}
        reasons = self._buy(missing, label) if missing else {}
        if reasons:
            reason, count = min(Counter(reasons.values()).items(), key=lambda item: (-item[1], item[0]))
            told = (
                f"{label}: the teacher failed {len(reasons)} of {len(wanted)} requests; "
                f"most often ({count}): {one_line(reason, 300)}"
            )
            if len(reasons) > FAILURE_SHARE * len(wanted):
                raise UserError(told)
            print(f"{told}; dvc repro -f of this stage asks for them again", file=sys.stderr)
        # read back, not remembered: of two processes that bought the same answer, both use the one kept
        answers = known | self._kept(missing)
        self.used |= {key: _use(answers.get(key)) for key in wanted}
        return [Asked(key, answers.get(key), reasons.get(key, "")) for key in keys]

    def usage(self) -> dict[str, Any]:
        """Counts over all calls of `ask`, for a stage's metrics.

        `answers`: the distinct answers used, with the tokens they cost when they were bought, in whatever run, and
        how many were had in which way (`Answer.kind`). The same whenever the stage runs again.
        `this_run`: of the distinct requests, how many were answered from the `store`, how many were `recorded`,
        `bought` and `failures`; prompt, cached and completion tokens bought, engine starts, and seconds spent asking.
        """
        answers = [answer for answer in self.used.values() if answer is not None]
        used = {name: sum(getattr(answer, name) for answer in answers) for name in TOKENS}
        kinds = dict(sorted(Counter(answer.kind for answer in answers).items()))
        counts = {name: self.counts[name] for name in (*SOURCES, "failures", *TOKENS)}
        starts = self.engine.starts if self.engine else 0
        return {
            "answers": {"used": len(answers), "missing": len(self.used) - len(answers), **used, "kinds": kinds},
            "this_run": {**counts, "engine_starts": starts, "seconds": round(self.seconds, 1)},
        }

    def _look_up(self, wanted: Collection[str]) -> dict[str, Answer]:
        """What need not be bought."""
        known = self._kept(wanted)
        self.counts["store"] += len(known)
        for record in self.records:
            found = _ended(record.get_many(key for key in wanted if key not in known))
            self.counts["recorded"] += len(found)
            known |= found
        return known

    def _kept(self, keys: Collection[str]) -> dict[str, Answer]:
        """What the store has of whole answers. Others, which older versions kept, are bought again in their place."""
        found = self.store.get_many(keys)
        whole = _ended(found)
        self.spoilt |= found.keys() - whole.keys()
        return whole

    def _buy(self, missing: Mapping[str, Request], label: str) -> dict[str, str]:
        """Ask for all of `missing`, storing each answer as it comes; the reasons of failures, by key."""
        keys, reasons, self.counted_until = list(missing), dict[str, str](), time.monotonic()
        answered: set[str] = set()

        def keep(key: str, answer: Answer) -> None:
            self._store(key, missing[key], answer, label)
            answered.add(key)
            progress.advance(1, tokens=answer.prompt_tokens + answer.completion_tokens)

        def give_up(key: str, reason: str) -> None:
            reasons[key] = reason
            self.counts["failures"] += 1
            self._account(label, failures=1)
            progress.advance(1)

        if self.ledger is None:
            self.ledger = Ledger(self.paid_from)
        budget = Budget(self.runtime, self.teacher.engine, self.identity.id, self.ledger)
        if self.engine is None:
            self.engine = self.opener(self.identity, self.teacher, self.runtime, self.weights())
        try:
            with Progress(label, len(keys)) as progress:
                while left := keys[len(answered) + len(reasons) :]:
                    part = left[: self._affordable(budget, [missing[key] for key in left], len(keys), label)]
                    self.engine.answer(
                        [missing[key] for key in part],
                        lambda index, answer, part=part: keep(part[index], answer),  # type: ignore[misc]
                        lambda index, reason, part=part: give_up(part[index], reason),  # type: ignore[misc]
                    )
                    self._check_reported(part, answered, reasons)
        finally:
            self._account(label)
        return reasons

    def _affordable(self, budget: Budget, left: Sequence[Request], asked: int, label: str) -> int:
        """How many of these may be asked now. Raises UserError if not even the first may."""
        assert self.engine is not None
        if not budget.bounds:
            return len(left)
        costs = [self.engine.at_most(request) for request in left]
        if count := budget.affordable(costs):
            return count
        raise UserError(
            f"{label}: {budget.refusal(costs[0])}; {len(left)} of {asked} questions are not asked yet: what is "
            "answered is kept, so raise it in params.yaml and run again (compeffdist spend shows what was spent)"
        )

    def _check_reported(self, part: Sequence[str], answered: Set[str], reasons: Mapping[str, str]) -> None:
        """Raises RuntimeError, a defect of the engine, unless it has reported each of these once."""
        assert self.engine is not None
        if not all((key in answered) != (key in reasons) for key in part):
            raise RuntimeError(f"engine {self.engine.name} did not report each of {len(part)} requests once")

    def _store(self, key: str, request: Request, answer: Answer, label: str) -> None:
        engine = self.engine.name if self.engine else ""
        row = StoredAnswer(key, self.identity.id, request.to_json(), answer.to_json(), engine)
        try:
            self._account(label, answers=1)
        finally:  # an answer that is paid for is kept, whatever becomes of the count
            self.store.put_many([row], instead_of=self.spoilt & {key})
            self.spoilt.discard(key)
            self.counts.update({"bought": 1} | {name: getattr(answer, name) for name in TOKENS})

    def _account(self, label: str, answers: int = 0, failures: int = 0) -> None:
        """Write down what came since, under the stage that this is or the work that `label` names."""
        now = time.monotonic()
        seconds, self.counted_until = now - self.counted_until, now
        self.seconds += seconds
        if self.ledger is not None and self.engine is not None:
            new = self.engine.meter.since()
            stage = STAGE.get() or label
            self.ledger.add(stage, self.identity.id, self.engine.name, new, answers, failures, seconds)


def _use(answer: Answer | None) -> Use | None:
    if answer is None:
        return None
    return Use(answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens, answer.kind)


def _ended(answers: Mapping[str, Answer]) -> dict[str, Answer]:
    return {key: answer for key, answer in answers.items() if answer.ended}


def open_teacher(source: Path, params: Params) -> BuyingTeacher:
    """The teacher whose identity the stage resolve_models wrote to `source`. Its weights are fetched when an answer has
    to be bought. Raises UserError if the identity or a record is missing or broken."""
    identity = read_identity(source)
    return BuyingTeacher(identity, params.teacher, params.runtime, partial(teacher_weights, identity, params))


def teacher_weights(identity: ModelIdentity, params: Params) -> Path | None:
    """The folder that holds exactly the weights of an identity, fetched if need be; None behind an API. Raises
    UserError if they cannot be had, or what is fetched is another model."""
    if identity.served_name:
        return None
    return obtain_folder(identity, params.models.teacher, cache_folder(params.runtime.cache))


def release_engine() -> None:
    """Let go of the local server that the stages of this run share, if there is one: training and scoring need its
    memory."""
    from compeffdist.teacher.vllm_engine import ENGINES_FOLDER
    from compeffdist.teacher.vllm_supervisor import release_run

    release_run(ENGINES_FOLDER)
