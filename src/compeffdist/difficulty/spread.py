"""Batches of scoring passes computed by several replicas of the model, which Ray holds (`executor`).

    stage          plans batches, keeps what comes back as scores are kept (`shards`), and then makes its own pass,
                   which finds every batch there
      replica 1 …  load the student as the stage did, and do to a batch what the scorer does, by the scorer's function

So what is computed, how it is kept, and that a killed run resumes, is what it is without Ray. Batches of one beginning
are handed out as one share, so that whoever computes them reads it once. At most two shares a replica are on their way:
one is computed while the other waits. A replica that dies loses its shares to the others, and another takes its place.
"""

import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

# public, they would be other code, and kept scores would not be taken any more
from compeffdist.difficulty.scorer import _check_vocabulary, _score_batch, _unscorable
from compeffdist.difficulty.shards import RowFigures, ScoreShards, batch_key
from compeffdist.environment import quiet
from compeffdist.errors import UserError, one_line
from compeffdist.executor.session import ray_session, replica_options
from compeffdist.files import hash_file
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.progress import Progress
from compeffdist.student.batching import TokenRow, plan_batches
from compeffdist.student.head import PrefixReader, SplitModel, split_model
from compeffdist.student.loading import load_student

SHARE_BATCHES = 16
"""Batches of one share at most: more of one beginning are several, so that nobody is left with much at the end."""
AT_ONCE = 2
"""Shares that a replica has been given."""
MOST_LOSSES = 3
"""Replicas that may die of one share: then it is what ends them."""


@dataclass(frozen=True)
class Source:
    """What a model was loaded from, for others to load it."""

    folder: Path
    base: Path | None = None
    dtype: str = "auto"

    def absolute(self) -> Self:
        """By paths that lead there from any folder."""
        return replace(self, folder=self.folder.absolute(), base=self.base and self.base.absolute())

    def files(self) -> dict[str, str]:
        """SHA-256 by path of everything that it is loaded from."""
        folders = [folder for folder in (self.folder, self.base) if folder is not None]
        paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
        return {str(path): hash_file(path) for path in paths}


@dataclass(frozen=True)
class Settings:
    """What decides a row's figures beside its tokens, and where the model is."""

    top_p: float
    workspace_bytes: int
    device: str
    """Of torch, without its number: each replica has devices of its own."""
    dtype: str
    code: dict[str, str]
    threads: int
    """As sums run in another order by another number of them."""


@dataclass(frozen=True)
class Share:
    """Batches of one beginning."""

    keys: list[str]
    batches: list[list[TokenRow]]
    prefix: int
    """Tokens that the rows of each share."""


Figures = list[RowFigures | None]


class Replica:
    """A model in a process that Ray placed. Made with what `Settings` and `Source` say."""

    def __init__(self, source: Source, settings: Settings) -> None:
        quiet()
        import torch

        torch.set_num_threads(settings.threads)
        self.source, self.settings = source, settings
        try:
            self.model, _ = load_student(source.folder, settings.device, source.dtype, source.base)
            self.parts = split_model(self.model)
            self.why = ""
        except UserError as error:
            self.why = str(error)
            return
        self.prefix = PrefixReader(self.parts)

    def differs(self, files: dict[str, str] | None) -> str:
        """Why its figures would not be those of who asks, whose model is made of `files`; empty if they would."""
        from compeffdist.difficulty.passes import code_versions

        if self.why:
            return self.why
        if files is not None and self.source.files() != files:
            return f"{self.source.folder}: is another model there"
        own = {"device": self.model.device.type, "dtype": str(self.model.dtype), "code": code_versions()}
        wanted = {name: getattr(self.settings, name) for name in own}
        return "; ".join(f"{name}: {own[name]}, here {wanted[name]}" for name in own if own[name] != wanted[name])

    def score(self, share: Share) -> list[Figures]:
        """Figures of each batch."""
        import torch

        top_p, workspace = self.settings.top_p, self.settings.workspace_bytes
        with torch.inference_mode():
            return [
                _score_batch(self.parts, self.prefix, rows, share.prefix, top_p, workspace) for rows in share.batches
            ]


class Spread:
    """Has replicas compute batches of passes. Use as a context: the replicas, which are started when there is something
    to compute, end with it."""

    def __init__(
        self,
        shards: ScoreShards,
        model: Any,
        source: Source,
        params: DifficultyParams,
        runtime: RuntimeParams,
        code: dict[str, str],
    ) -> None:
        """
        Args:
            shards: the scorer's, where what is computed is kept.
            model: what `source` was loaded to in this process.
            code: versions of what computes a score, as they are here.
        """
        self.shards, self.model, self.source, self.params, self.runtime = shards, model, source, params, runtime
        self.code = code
        self._opened = ExitStack()
        self._work: Work | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._opened.__exit__(*raised)

    def fill(self, passes: Sequence[Sequence[TokenRow]]) -> None:
        """Have those batches of passes computed and kept that are not kept yet.

        Raises:
            UserError: as `ray_session` and `score_rows` do; a replica has another model, device, precision or code than
                this process, or a batch ended several.
        """
        budget = self.runtime.token_budget
        shares = _shares(passes, self.params.max_length, budget, split_model(self.model), self.shards)
        first = next(shares, None)
        if first is None:
            return
        total = sum(map(len, passes))
        self._work = self._work or self._start()
        with Progress("difficulty, by replicas", total) as progress:
            self._work.run(chain([first], shares), progress)
            progress.skip(total - progress.done)
        self.shards.write()

    def _start(self) -> "Work":
        import torch

        settings = Settings(
            top_p=self.params.top_p,
            workspace_bytes=self.runtime.scoring_workspace_mib << 20,
            device=self.model.device.type,
            dtype=str(self.model.dtype),
            code=self.code,
            threads=torch.get_num_threads(),
        )
        ray = self._opened.enter_context(ray_session(self.runtime))
        return Work(ray, self.source.absolute(), settings, self.runtime, self.shards)


def _shares(
    passes: Sequence[Sequence[TokenRow]], max_length: int, token_budget: int, parts: SplitModel, shards: ScoreShards
) -> Iterator[Share]:
    """What is not kept yet, in the order of the scorer's plan."""
    for rows in passes:
        scorable = [row for row in rows if _unscorable(row, max_length) is None]
        _check_vocabulary(scorable, parts.vocabulary)
        begins: list[int] = []
        waiting: Share | None = None
        for batch in plan_batches(scorable, token_budget, share=parts.reuses_prefixes):
            chosen = [scorable[index] for index in batch.rows]
            key = batch_key(chosen, batch.prefix)
            if key in shards.batches:
                continue
            beginning = list(chosen[0].prompt_ids[: batch.prefix])
            if waiting and (beginning != begins or not batch.prefix or len(waiting.batches) == SHARE_BATCHES):
                yield waiting
                waiting = None
            waiting = waiting or Share([], [], batch.prefix)
            begins = beginning
            waiting.keys.append(key)
            waiting.batches.append(chosen)
        if waiting:
            yield waiting


@dataclass
class Work:
    """Shares that are handed out to replicas until all are done, of one block of rows after another."""

    ray: Any
    source: Source
    settings: Settings
    runtime: RuntimeParams
    shards: ScoreShards
    progress: Progress = field(init=False)
    shares: Iterator[Share] = field(init=False)
    """Those that nobody has been given."""
    back: deque[Share] = field(default_factory=deque)
    """Those to be given before these: of replicas that died."""
    flying: dict[Any, tuple[Any, Share | None]] = field(default_factory=dict)
    """What is awaited: of which replica, and for what share; none while it loads its model."""
    ready: list[Any] = field(default_factory=list)
    """Replicas that have loaded their model."""
    losses: Counter[str] = field(default_factory=Counter)
    """By a share's first key."""
    started: int = 0
    """Replicas, those that died among them."""
    files: dict[str, str] | None = field(init=False)
    """What replicas must have been loaded from."""

    def __post_init__(self) -> None:
        # on this machine the files are the same
        self.files = self.source.files() if self.runtime.ray_address else None

    def run(self, shares: Iterator[Share], progress: Progress) -> None:
        """Have all shares done. Raises UserError as `Spread.fill`."""
        self.shares, self.progress = shares, progress
        if not self.started:
            for _ in range(self.runtime.replicas):
                self._start()
        for one in self.ready:
            self._give(one)
        while any(share for _, share in self.flying.values()) or self._more():
            done, _ = self.ray.wait([*self.flying], timeout=self._patience())
            if not done:
                raise UserError(
                    f"runtime.executor ray: no replica was ready within runtime.engine_start_seconds "
                    f"({self.runtime.engine_start_seconds}): is there room for what one wants "
                    "(runtime.replica_resources)?"
                )
            self._take(done[0])

    def _patience(self) -> float | None:
        """Replicas that load are waited for so long, those at work as long as it takes."""
        at_work = any(share for _, share in self.flying.values())
        return None if at_work else float(self.runtime.engine_start_seconds)

    def _more(self) -> bool:
        if not self.back and (share := next(self.shares, None)):
            self.back.append(share)
        return bool(self.back)

    def _start(self) -> None:
        self.started += 1
        actor = self.ray.remote(Replica).options(**replica_options(self.ray, self.runtime))
        replica = actor.remote(self.source, self.settings)
        self.flying[replica.differs.remote(self.files)] = (replica, None)

    def _give(self, replica: Any) -> None:
        has = sum(one is replica for one, _ in self.flying.values())
        while has < AT_ONCE and self._more():
            share = self.back.popleft()
            self.flying[replica.score.remote(share)] = (replica, share)
            has += 1

    def _take(self, told: Any) -> None:
        """What a replica tells: that it is ready, a share's figures, or by its death nothing."""
        replica, share = self.flying.pop(told)
        try:
            said = self.ray.get(told)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, UserError) else error from None
        except self.ray.exceptions.RayError as error:  # it died, or its node with what it had
            self._lost(replica, share, error)
            return
        if share is None:
            if said:
                raise UserError(f"runtime.executor ray: a replica would score otherwise: {one_line(said, 400)}")
            self.ready.append(replica)
        else:
            for key, rows, figures in zip(share.keys, share.batches, said, strict=True):
                self.shards.put(key, figures)
                self.progress.advance(len(rows), sum(row.width for row in rows))
        self._give(replica)

    def _lost(self, replica: Any, share: Share | None, error: Exception) -> None:
        """Have others do what a replica was doing that died, the first of it being `share`."""
        print("a replica that scores died; what it had is computed by others", file=sys.stderr)
        self.ready = [one for one in self.ready if one is not replica]
        waiting = [told for told, (one, _) in self.flying.items() if one is replica]
        lost = [share, *(self.flying.pop(told)[1] for told in waiting)]
        self.back.extendleft(one for one in reversed(lost) if one is not None)
        with suppress(Exception):  # it is dead, or nearly
            self.ray.kill(replica)
        if share is not None:
            self._blame(share, error)
        if self.started < self.runtime.replicas * (MOST_LOSSES + 1):
            self._start()
        for one in self.ready:
            self._give(one)
        if not self.flying:
            raise UserError(f"runtime.executor ray: {self.started} replicas died, the last: {one_line(error, 300)}")

    def _blame(self, share: Share, error: Exception) -> None:
        """Raises UserError if too many replicas died of a share."""
        self.losses[share.keys[0]] += 1
        if self.losses[share.keys[0]] >= MOST_LOSSES:
            raise UserError(
                f"runtime.executor ray: {MOST_LOSSES} replicas died of the batch with {share.batches[0][0].id}: "
                f"{one_line(error, 200)}; perhaps for want of memory: set a smaller runtime.token_budget"
            )
