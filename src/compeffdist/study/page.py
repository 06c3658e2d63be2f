"""The page of a study: distribution, correlations, deciles with real rows, agreement, human judgement."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from compeffdist import svg
from compeffdist.house_style import cells, document, table
from compeffdist.measures.ranking import RANKING_ALL, RANKING_EXCLUDING_ZERO
from compeffdist.measures.registry import MEASURES, RANKING
from compeffdist.records import Triplet
from compeffdist.study.charts import density, histogram
from compeffdist.study.findings import Study
from compeffdist.study.labels import Judgement
from compeffdist.study.measures import RATES, Agreement, Scores, largest_tie

STYLE = """
.text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;margin:.2rem 0;padding-left:.6rem}
.prompt{border-left:3px solid var(--line);color:var(--quiet)}.response{border-left:3px solid #2f7fd6;font-weight:600}
.ids{font:12px/1.4 ui-monospace,monospace;color:var(--quiet);margin:0}
.note{color:var(--quiet);max-width:48rem}h3{font-size:1rem;margin-bottom:.2rem}
"""
CHARTED = [name for name, measure in MEASURES.items() if measure.high is None]
"""Measures without an upper end: a chart tells more of them than a correlation."""
LONGEST_SHOWN = 1200
"""Characters of a prompt, its end, where the text stands; a demonstration or two may be cut off before."""


def render(study: Study) -> str:
    """The page as HTML."""
    title = f"Difficulty of {len(study.scores)} triplets"
    body = [f"<h1>{title}</h1>", *_distribution(study.scores), *_measures(study)]
    if study.agreements:
        body += _agreements(study.scores.name, study.agreements)
    if study.judgements:
        body += _judgements(study.judgements)
    return document(title, [*body, *_deciles(study)], svg.STYLE + STYLE)


def _distribution(scores: Scores) -> list[str]:
    other = [variant for variant in (RANKING_EXCLUDING_ZERO, RANKING_ALL) if variant.name in scores.measures]
    charts = [
        histogram(scores.ranking, "ranking score"),
        *(histogram(scores.measures[variant.name], variant.title) for variant in other),
    ]
    return ["<h2>Distribution</h2>", f'<div class="charts">{"".join(charts)}</div>']


def _measures(study: Study) -> list[str]:
    scores = study.scores
    charts = (
        density(scores.ranking, scores.measures[key], "ranking score", MEASURES[key].title, MEASURES[key].logarithmic)
        for key in CHARTED
        if key in scores.measures
    )
    rows = (
        cells([MEASURES[key].title, str(found["rows"]), _number(found["spearman"]), _number(found["kendall"])])
        for key, found in study.correlations.items()
    )
    return [
        "<h2>Against other measures</h2>",
        f'<div class="charts">{"".join(charts)}</div>',
        table(
            ["ranking score and", "rows", "Spearman", "Kendall tau-b"], rows, "ranking score against other measures", 1
        ),
    ]


def _agreements(first: str, agreements: Sequence[Agreement]) -> list[str]:
    rows = []
    for found in agreements:
        correlations = [_number(found.spearman), _number(found.kendall)]
        kept = [_share(found.overlap.get(f"{rate:g}")) for rate in RATES]
        rows.append(cells([found.run, str(found.rows), str(found.missing), *correlations, *kept]))
    heads = ["run", "triplets", "in one only", "Spearman", "Kendall tau-b", *(f"kept at {rate:g}" for rate in RATES)]
    return [
        "<h2>Agreement between runs</h2>",
        f'<p class="note">Each run against {escape(first)}. The last columns: of the hardest rows per instruction by '
        "the one, the share that is among the hardest by the other; by chance it would be the rate.</p>",
        table(heads, rows, "agreement between runs", 1),
    ]


def _judgements(judgements: Sequence[Judgement]) -> list[str]:
    names = {RANKING: "ranking score"} | {name: measure.title for name, measure in MEASURES.items()}
    rows = (
        cells([names[found.measure], str(found.labelled), _number(found.spearman), _interval(found)])
        for found in judgements
    )
    return [
        "<h2>Against human judgement</h2>",
        f'<p class="note">{judgements[0].labelled} rows were labelled from 1, easiest, to 5. Intervals are percentile '
        "bootstrap, 95%.</p>",
        table(["measure", "labelled rows", "Spearman", "interval"], rows, "measures against human judgement", 1),
    ]


def _deciles(study: Study) -> list[str]:
    charted = [key for key in CHARTED if key in study.scores.measures]
    heads = ["decile", "rows", "score", *(f"median {MEASURES[key].title}" for key in charted)]
    rows = []
    for figures in study.deciles:
        span = f"{figures['lowest']:.3f} to {figures['highest']:.3f}"
        medians = [_number(figures["median"].get(key)) for key in charted]
        rows.append(cells([str(figures["decile"]), str(figures["rows"]), span, *medians]))
    score, tied = largest_tie(study.scores)
    body = [
        "<h2>What each decile looks like</h2>",
        '<p class="note">1 is the easiest tenth. The rows were drawn by seed, not picked. The response is the '
        f"teacher's. {tied} of {len(study.scores)} rows score {score:.3g}, more than any other score; the order among "
        "rows that tie is by id.</p>",
        table(heads, rows, "deciles", 1),
    ]
    for figures, examples in zip(study.deciles, study.examples, strict=True):
        body.append(f"<h3>Decile {figures['decile']}</h3>")
        body += (_example(triplet, score) for triplet, score in examples)
    return body


def _example(triplet: Triplet, score: float) -> str:
    prompt = triplet.prompt
    shown = prompt if len(prompt) <= LONGEST_SHOWN else f"…{prompt[-LONGEST_SHOWN:]}"
    return (
        f"<p>{score:.3f}, {escape(triplet.task_type)}: {escape(triplet.task_name)}</p>"
        f'<p class="ids">{escape(triplet.id)} of {escape(triplet.text_id)}</p>'  # a purge finds the page by them
        f'<div class="text prompt">{escape(shown)}</div><div class="text response">{escape(triplet.response)}</div>'
    )


def summary_lines(study: Study) -> Iterable[str]:
    """What a command prints."""
    score, tied = largest_tie(study.scores)
    yield f"{len(study.scores)} triplets in {study.scores.name}; {tied} of them tie at {score:.3g}"
    for key, found in study.correlations.items():
        yield f"  Spearman with {MEASURES[key].title}: {_number(found['spearman'])}"
    for run in study.agreements:
        kept = ", ".join(f"{_share(share)} at {rate}" for rate, share in run.overlap.items())
        yield f"  {run.run}: Spearman {_number(run.spearman)} over {run.rows} triplets; kept by both: {kept}"
    for judged in study.judgements[:1]:
        yield f"  human labels, {judged.labelled} rows: Spearman {_number(judged.spearman)}, 95% {_interval(judged)}"


def _interval(found: Judgement) -> str:
    return f"{_number(found.low)} to {_number(found.high)}"


def _number(value: Any) -> str:
    return "undefined" if value is None else f"{value:.3g}" if abs(value) >= 10 else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.0%}"
