"""Difficulty and what is kept by it."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from compeffdist.measures.registry import METRICS
from compeffdist.params.sections import PositiveInt, Section, one_of


class ProxyParams(Section):
    """Difficulty predicted before the teacher is asked (method section 9; docs/method.md says when it pays)."""

    rows: PositiveInt = 5000
    """Pairs that are asked and scored whatever comes, evenly over instructions: the proxy learns from them, and the
    warm-up draws from them. The others are asked only if the sampler keeps them."""


class DifficultyParams(Section):
    """Ranking-based difficulty (method section 9; official rank_score_compute.py)."""

    mode: Literal["direct", "proxy"] = "direct"
    """`direct` asks the teacher for every pair and scores the answers. `proxy` does so for a part of them, predicts the
    difficulty of the others from instruction and text, and asks the teacher only for those of them that are kept."""
    proxy: ProxyParams = ProxyParams()
    top_p: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    exclude_zero: bool = True
    """Average only tokens that are not the scorer's first choice, as the official code does."""
    max_length: PositiveInt = 2048
    """Rows longer than this many tokens are rejected, never scored."""
    ifd: bool = False
    """Also compute instruction-following difficulty, perplexity of the response given the prompt over that without
    it: a second pass over the responses. Needed for `sampling.metric: ifd`."""
    label_ranks: bool = False
    """Also rank labels whose first tokens do not tell them apart among those of their instruction (a scale to 10,
    labels that begin alike): a pass for each further branching. Where first tokens do, `label_rank` costs nothing."""


class SamplingParams(Section):
    """Difficulty-prioritised sampling (official difficulty_prioritized_sampling.py)."""

    method: Literal["soft", "hard", "random"] = "soft"
    """`soft`: by the family F, independently. `hard`: the hardest. `random`: all alike."""
    scope: Literal["instruction", "answer", "global"] = "instruction"
    """What rows are ranked among: those of the same instruction; `answer`: where it has labels, those of them that were
    answered alike, so that every label is kept at the same rate; or all. A label that the student rarely says is hard
    in every text, and under `instruction` is kept too often. Paper: instruction."""
    metric: Annotated[str, one_of(METRICS)] = "ranking"
    """What rows are ranked by. `ranking` is the variant of the ranking score that difficulty.exclude_zero chose;
    `random` a control: any order at all; else a measure of `measures/registry.py`, which also says which of its ends
    is the harder. `label_rank` and `label_surprise` are the place of a label among those of its instruction, and 1 less
    its probability among them; rows that have none, such as generated answers, keep `ranking`, so that these cannot be
    ranked under scope `global`."""
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Expected share kept. Paper: 0.5."""
    own_rate: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """The same of the rows of the user's own tasks (`tasks.own`) and the seed task, which are what the student is for;
    1 keeps them all. null: as `rate`. In mode proxy the teacher is asked for what is kept."""
    peak: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Of `soft`: where in the difficulty order, 0 easiest to 1 hardest, inclusion is surest (`a`). Paper: 1."""
