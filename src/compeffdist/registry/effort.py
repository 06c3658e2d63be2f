"""What a request would take, told before any work: its tokens, counted, and its seconds, estimated by this machine's
speed.

Speed is measured by a few passes of two sizes each, under a second on two slow cores for a 135M student. Time is taken
to grow by the batch and by the token in it, which two sizes are enough to fit. It is the speed of that moment: since a
machine that was busy then would be held to be slow for good, it is measured anew before a request is refused by it.
Free answers are counted at their longest, and beginnings that rows share as if each row read its own, which makes
tokens and seconds high; batches of labels as if each were full to the last token, which makes seconds low.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compeffdist.formatting import encode_prompt
from compeffdist.params import ServingParams
from compeffdist.registry.bounds import TooLarge
from compeffdist.student.decoding import answer_batches
from compeffdist.student.prediction import label_logprobs, label_trie

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FEW, MANY = 8, 96
"""Words of the prompts that reading is timed with."""
STEPS, ROWS = 4, 4
"""Tokens written, and rows of the larger batch, when writing is timed."""
TIMES = 2
"""How often each is timed; the fastest counts, for the first passes of a process are slow."""
AGAIN = 60.0
"""Seconds after which a measurement is no longer what a request is refused by."""


@dataclass(frozen=True)
class Cost:
    """Seconds that grow by a straight line."""

    fixed: float
    each: float

    @classmethod
    def through(cls, few: tuple[float, float], many: tuple[float, float]) -> "Cost":
        """The line through two measurements (size, seconds), neither part below 0."""
        each = max(0.0, (many[1] - few[1]) / (many[0] - few[0]))
        return cls(max(0.0, few[1] - each * few[0]), each)


@dataclass(frozen=True)
class Speed:
    """Of a model on this machine."""

    reading: Cost
    """Of a batch, by its tokens."""
    writing: Cost
    """Of a step, by the rows that get a token in it."""


def measure_speed(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", system: str) -> Speed:
    """Time a few passes of two sizes."""

    def read(words: int) -> tuple[float, float]:
        prompt = " ".join(["day"] * words)
        size = len(encode_prompt(tokenizer, system, prompt))
        return size, _fastest(lambda: label_logprobs(model, tokenizer, [prompt], ["a", "b"], system=system))

    def write(rows: int) -> tuple[float, float]:
        return rows, _fastest(lambda: _steps(model, encode_prompt(tokenizer, system, "day"), rows)) / STEPS

    return Speed(Cost.through(read(FEW), read(MANY)), Cost.through(write(1), write(ROWS)))


def _fastest(work: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _steps(model: Any, prompt: Sequence[int], rows: int) -> None:
    """Write exactly STEPS tokens behind copies of a prompt."""
    import torch
    from transformers import GenerationConfig

    ids = torch.tensor([list(prompt)] * rows, device=model.device)
    exact = GenerationConfig(max_new_tokens=STEPS, min_new_tokens=STEPS, do_sample=False, pad_token_id=0)
    with torch.inference_mode():
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=exact)


class Effort:
    """The tokens of one request, counted as its prompts are named. Raises TooLarge as soon as they are too many."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", system: str, bounds: ServingParams) -> None:
        self.tokenizer, self.system, self.bounds = tokenizer, system, bounds
        self.tokens = 0
        self._read: list[int] = []
        """Tokens of each group of prompts that is read together."""
        self._written: tuple[list[int], int] = ([], 0)
        """Tokens of prompts that are answered freely, and the most tokens of an answer."""

    def weigh(self, prompts: Iterable[str], labels: Sequence[str]) -> None:
        """Count prompts whose labels are weighed."""
        paths = [len(branch.path) for branch in label_trie(self.tokenizer, labels).branches]
        counted = (len(paths) * length + sum(paths) for length in self._lengths(prompts))
        self._read.append(sum(self._added(counted)))

    def answer(self, prompts: Iterable[str], longest: int) -> None:
        """Count prompts that are answered freely, in at most `longest` tokens each."""
        lengths = [counted - longest for counted in self._added(length + longest for length in self._lengths(prompts))]
        self._written = (lengths, longest)
        self._read.append(sum(lengths))

    def _lengths(self, prompts: Iterable[str]) -> Iterator[int]:
        return (len(encode_prompt(self.tokenizer, self.system, prompt)) for prompt in prompts)

    def _added(self, counted: Iterable[int]) -> Iterator[int]:
        for tokens in counted:
            self.tokens += tokens
            if self.tokens > self.bounds.tokens:
                said = f"more than {self.bounds.tokens} tokens read and written (serving.tokens)"
                raise TooLarge(f"a request of {said}: send fewer rows, or shorter ones")
            yield tokens

    def seconds(self, speed: Speed, token_budget: int) -> float:
        """About how long it would take, in batches of `token_budget` tokens."""
        passes = sum(-(-tokens // token_budget) for tokens in self._read)
        reading = passes * speed.reading.fixed + sum(self._read) * speed.reading.each
        lengths, longest = self._written
        sizes = [len(batch) for batch in answer_batches(lengths, longest, token_budget)]
        return reading + longest * sum(speed.writing.fixed + size * speed.writing.each for size in sizes)

    def expect_time(self, speed: Speed, token_budget: int) -> None:
        """Raises TooLarge if it would take too long, by estimate."""
        if (seconds := self.seconds(speed, token_budget)) > self.bounds.seconds:
            said = f"about {seconds:.0f} s on this machine, at most {self.bounds.seconds:g} (serving.seconds)"
            raise TooLarge(f"a request of {self.tokens} tokens read and written, {said}: send fewer rows")


class Speedometer:
    """How fast this machine is, as it was last measured. Raises what `measure` does."""

    def __init__(self, measure: Callable[[], Speed], clock: Callable[[], float] = time.monotonic) -> None:
        self._measure, self._clock = measure, clock
        self._speed: Speed | None = None
        self._since = 0.0

    def speed(self) -> Speed:
        """Measured when it is first asked for."""
        return self._speed or self._anew()

    def expect_time(self, effort: Effort, token_budget: int) -> None:
        """Raises TooLarge if a request would take too long, by a measurement of the last minute; nothing is measured
        where it may take any time."""
        if math.isinf(effort.bounds.seconds):
            return
        try:
            effort.expect_time(self.speed(), token_budget)
        except TooLarge:
            if self._clock() - self._since < AGAIN:
                raise
            effort.expect_time(self._anew(), token_budget)

    def _anew(self) -> Speed:
        self._speed = self._measure()
        self._since = self._clock()
        return self._speed
