"""Figures as SENTIBENCH's authors compute them, quirks included: `compeffdist evaluate --benchmark --parity official`.

Source: `fsa.py`, `icl_multifaced.py`, `utils.py` and `parse_utils/` of HITSZ-HLT/Sentiment-Distillation at the commit
of `benchmarks/sources/sentibench.yaml`. Followed is how answers are counted; what is asked, and the form of an answer,
stay this project's. docs/benchmark.md says for each quirk what is done without the option, and why.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from compeffdist.benchmark.rows import OPINION_PARTS, BenchmarkRow
from compeffdist.benchmark.tasks import BenchmarkTask, OfficialScript
from compeffdist.benchmark.tuples import Parts, RowCounts, f1, read_items
from compeffdist.errors import UserError
from compeffdist.params import ABSENT

DIGITS = 4
"""That the figure of each run is rounded to before the mean over seeds is taken (`utils.save_result`)."""
MOST_OF_A_CUT_ANSWER = 3
"""Tuples, where a script bounds them; which three it takes is chance there, here they are the first."""

Span = tuple[int, int]
Graph = tuple[frozenset[int], frozenset[int], frozenset[int], str]
"""Tokens of holder, target and expression, and the polarity as the source spells it."""
NOWHERE = frozenset({-1})
"""For an absent holder or target, and one that lies at no token: all of these overlap."""


def check_official(task: BenchmarkTask, rows: Sequence[BenchmarkRow]) -> None:
    """Raises UserError if a task's figures cannot be computed as the authors compute them."""
    if not task.labels and task.official is None:
        raise UserError(f"--parity official: task {task.name} does not say how its official script counts (official)")
    if task.metric == "sentiment_graph_f1" and (bare := next((row for row in rows if row.opinions is None), None)):
        raise UserError(f"--parity official: row {bare.id} has no `opinions`, whose places the official figure needs")


def official_metric(task: BenchmarkTask, own: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A task's metric of summed counts as the scripts have it, given ours. Macro-F1 and graph F1 differ by rounding."""
    import numpy as np

    metric = _micro_f1 if task.metric == "micro_f1" else own
    return lambda sums: np.round(metric(sums), DIGITS)


def _micro_f1(counts: Any) -> Any:
    """As `tuples.f1`, but nothing predicted is a precision of 1, and nothing to be found a recall of 1."""
    import numpy as np

    found, predicted, reached, gold = np.moveaxis(np.asarray(counts, dtype=float), -1, 0)
    found, reached = np.where(predicted, found, 1), np.where(gold, reached, 1)
    whole = np.stack([found, np.maximum(predicted, 1), reached, np.maximum(gold, 1)], axis=-1)
    return f1(whole)


def official_counts(task: BenchmarkTask, row: BenchmarkRow, answer: str) -> RowCounts:
    """What a row adds to the counts, as `exact_counts` and `graph_counts`. The row is one that `check_official` let
    pass."""
    assert task.official is not None
    predicted, wrong = official_tuples(answer, task, task.official)
    if task.metric == "sentiment_graph_f1":
        return _graph_counts(row, predicted, wrong)
    stripped = [tuple(part.strip() for part in parts) for parts in predicted]
    gold = [tuple(parts) for parts in row.gold] if isinstance(row.gold, list) else []
    # by membership: a tuple that stands twice is found twice
    found, reached = sum(one in gold for one in stripped), sum(one in stripped for one in gold)
    return found, len(stripped) + wrong, reached, len(gold)


def official_tuples(answer: str, task: BenchmarkTask, script: OfficialScript) -> tuple[list[Parts], int]:
    """The tuples of an answer, and how many more count as predicted and wrong. Whether a tuple's words stand in the
    text and its values in the sets is not looked at: what is not gold is wrong either way."""
    items, cut = read_items(answer)
    if items is None or (cut and script.cut == "nothing"):
        return [], 0
    read = [_parts(item, task) for item in items]
    if script.repeated == "once" or cut:
        read = list(dict.fromkeys(read))
    if cut and script.cut == "three":
        read = read[:MOST_OF_A_CUT_ANSWER]
    whole = [parts for parts in read if parts is not None]
    if len(whole) == len(read) or script.malformed == "dropped":
        return whole, 0
    return ([], 0) if script.malformed == "loses_the_row" else (whole, len(read) - len(whole))


def _parts(item: Any, task: BenchmarkTask) -> Parts | None:
    names = [part.name for part in task.fields]
    if not isinstance(item, dict) or sorted(item) != sorted(names):
        return None
    parts = tuple(item[name] for name in names)
    return parts if all(isinstance(part, str) for part in parts) else None


# ---------------------------------------------------------------- sentiment graphs


def _graph_counts(row: BenchmarkRow, predicted: Sequence[Parts], wrong: int) -> RowCounts:
    tokens = list(_tokens(row.text))
    said = [_predicted(parts, row.text, tokens) for parts in predicted]
    gold = [_gold(opinion, tokens) for opinion in row.opinions or ()]
    return (
        sum(_weight(one, gold) for one in said),
        len(said) + wrong,
        sum(_weight(one, said) for one in gold),
        len(gold),
    )


def _tokens(text: str) -> Iterator[Span]:
    """What stands between single spaces; between two of them an empty token, but none before the first character."""
    start = 0
    for piece in text.split(" "):
        end = start + len(piece)
        if end and (piece or end < len(text)):
            yield start, end
        start = end + 1


def _covered(spans: Sequence[Span], tokens: Sequence[Span]) -> frozenset[int]:
    """Numbers of the tokens of spans. A span that begins inside a token has none; one that ends inside a token goes on
    to the end of the text."""
    covered = set()
    for begin, end in spans:
        inside = False
        for number, (first, last) in enumerate(tokens):
            inside = inside or first == begin
            if inside:
                covered.add(number)
            inside = inside and last != end
    return frozenset(covered)


def _predicted(parts: Parts, text: str, tokens: Sequence[Span]) -> Graph:
    """A predicted tuple, each piece where it first stands. Pieces are parted at the letters AND, in a holder never."""
    holder, target, expression, polarity = parts
    pieces = [[] if holder == ABSENT else [holder]]
    pieces += [[piece.strip() for piece in part.split("AND")] for part in (target, expression)]
    spans = [[(start, start + len(one)) for one in part if (start := text.find(one)) >= 0] for part in pieces]
    holders, targets, expressions = (_covered(part, tokens) for part in spans)
    return holders or NOWHERE, targets or NOWHERE, expressions, polarity.capitalize()


def _gold(opinion: Mapping[str, Any], tokens: Sequence[Span]) -> Graph:
    """A gold tuple, its parts where the annotators marked them."""
    spans = [[_span(place) for place in opinion[part][1]] for part in OPINION_PARTS]
    holders, targets, expressions = (_covered(part, tokens) for part in spans)
    return holders or NOWHERE, targets or NOWHERE, expressions, opinion["Polarity"]


def _span(place: str) -> Span:
    begin, _, end = place.partition(":")
    return int(begin), int(end)


def _weight(one: Graph, others: Sequence[Graph]) -> float:
    """0 if no other tuple of its polarity overlaps in all three parts; else its best overlap with any, whatever the
    polarity."""
    met: list[tuple[float, bool]] = []
    for other in others:
        shared = zip(one[:3], other[:3], strict=True)
        shares = [len(mine & theirs) / len(mine) if mine else 0.0 for mine, theirs in shared]
        if all(shares):
            met.append((sum(shares) / len(shares), other[3] == one[3]))
    return max(weight for weight, _ in met) if any(same for _, same in met) else 0.0
