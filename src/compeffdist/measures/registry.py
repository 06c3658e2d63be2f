"""The difficulty measures there are. To add one: a module with its `Measure`, and a line here.

From here a measure gets its column in data/scored.parquet and in what `compeffdist score` writes, its word in
`sampling.metric`, its correlation in metrics/score_difficulty.json, its place on the study's page and its range in the
gate `difficulty`. It needs no new scoring pass: what the passes saw is kept (`difficulty/shards.py`).
"""

from collections.abc import Mapping
from typing import Any

from compeffdist.measures.label_ranks import LABEL_RANK, LABEL_SURPRISE
from compeffdist.measures.measure import Measure
from compeffdist.measures.perplexity import IFD, PERPLEXITY
from compeffdist.measures.rank_surprisal import RANK_SURPRISAL_RATIO
from compeffdist.measures.ranking import MISS_RATE, NUCLEUS_MISS_RATE, RANKING_ALL, RANKING_EXCLUDING_ZERO, TOKENS

MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        RANKING_EXCLUDING_ZERO,
        RANKING_ALL,
        PERPLEXITY,
        TOKENS,
        MISS_RATE,
        NUCLEUS_MISS_RATE,
        IFD,
        LABEL_RANK,
        LABEL_SURPRISE,
        RANK_SURPRISAL_RATIO,
    )
}
"""By name, in the order of their columns."""
COLUMNS: Mapping[str, Any] = {name: measure.column for name, measure in MEASURES.items()}
"""Name -> type of the columns of a file of scored triplets."""
RANKING, RANDOM = "ranking", "random"
METRICS = (RANKING, RANDOM, *MEASURES)
"""What rows can be ranked by: the variant of the ranking score that `difficulty.exclude_zero` chose, a control, and
every measure."""
