"""Results: every system's intervals on one axis, confusions, and labels as they are said against the gold ones."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from compeffdist.evaluation.cells import interval_cell
from compeffdist.evaluation.table import SYSTEMS, difference_cell, priors_line
from compeffdist.house_style import cells, table
from compeffdist.records import Prediction
from compeffdist.svg import (
    BAD,
    BASE,
    COLOURS,
    FONT,
    GOOD,
    INK,
    LINE,
    MARKERS,
    PAPER,
    Chart,
    left_out,
    plain_axis,
    short,
)

MOST_LABELS = 12
"""Labels of a task that are told apart; the others are one."""
MOST_ROWS = 40
"""Tasks in a chart, or labels."""
OTHERS = "others"
STYLE = """
.confusions{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:0 1rem}
.confusions .scroll{margin:0}
.confusion table{width:auto}.confusion caption{text-align:left;color:var(--quiet);font-size:.9rem;padding-top:.5rem}
.confusion td{text-align:center;min-width:2.6rem;padding:.3rem .25rem;border:1px solid var(--paper);
font-variant-numeric:tabular-nums;background:color-mix(in srgb,#2f7fd6 calc(var(--share)*1%),var(--soft))}
.confusion th{font-size:.82rem}.confusion tbody th{padding:.3rem .6rem .3rem 0;vertical-align:middle;border:0}
.confusion thead th{padding:.3rem .25rem;text-align:center;border:0}.confusion thead td{background:none}
.confusion td.right{font-weight:700}
"""
STEPS = 10
STYLE += "".join(f".confusion .s{step}{{--share:{step * 7}}}" for step in range(STEPS + 1)) + "\n"


def results(evaluation: Mapping[str, Any], seed: int) -> Iterator[str]:
    """Charts and table of macro-F1, as HTML; `seed` is that of sample and training."""
    yield "<h2 id='results'>Results</h2>"
    yield f'<div class="charts">{scores_chart(evaluation)}{gains_chart(evaluation)}</div>'
    yield left_out(len(evaluation["tasks"]) - MOST_ROWS, "tasks")
    columns = [*SYSTEMS, "student - base", "student - teacher"]
    tasks = evaluation["tasks"]
    rows = sum(task["rows"] for task in tasks.values())
    scored = [("mean", rows, evaluation["mean"]), *((name, task["rows"], task) for name, task in tasks.items())]
    lines = (cells([name, f"{count:,}", *_scores(scores)]) for name, count, scores in scored)
    yield table(["task", "rows", *columns], lines, "macro-F1 of every system and task", 1)
    yield (
        f'<p class="quiet">One draw of sample and training, with seed {seed}. Intervals are over rows: how far another '
        "seed's student may be from this one, several runs tell (<code>compeffdist experiments</code>).</p>"
    )
    if priors := priors_line(evaluation):
        yield f'<p class="quiet">{escape(priors)}</p>'


def _scores(scores: Mapping[str, Any]) -> list[str]:
    return [
        *(interval_cell(scores["macro_f1"][system]) for system in SYSTEMS),
        *(difference_cell(scores[f"student_minus_{other}"]) for other in ("base", "teacher")),
    ]


def _shown(evaluation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What a chart has a row of, and how it is called there; short names may be alike."""
    tasks = list(evaluation["tasks"].items())[:MOST_ROWS]
    return [("mean of all", evaluation["mean"]), *((short(name, 16), task) for name, task in tasks)]


def scores_chart(evaluation: Mapping[str, Any]) -> str:
    """Macro-F1 of every system and task with its interval, as an HTML figure."""
    shown = _shown(evaluation)
    with Chart(56 + 36 * len(shown)) as chart:
        axes = chart.axes(left=92, top=28)
        for at, system in zip((0.26, 0.0, -0.26), SYSTEMS, strict=True):
            places = [-row + at for row in range(len(shown))]
            intervals = [scores["macro_f1"][system] for _, scores in shown]
            low, high = ([100 * i[end] for i in intervals] for end in ("low", "high"))
            axes.hlines(places, low, high, color=COLOURS[system], linewidth=2.4)
            axes.plot([100 * i["estimate"] for i in intervals], places, label=system, **_mark(system))
        _rows(axes, shown)
        axes.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.4, 1.0), handletextpad=0.2)
        return chart.figure("scores", "Macro-F1 x 100", "Each mark with its interval; further right is better.")


def gains_chart(evaluation: Mapping[str, Any]) -> str:
    """What the student gained over its base on every task, as an HTML figure."""
    shown = _shown(evaluation)
    with Chart(56 + 36 * len(shown)) as chart:
        axes = chart.axes(left=92, top=28)
        axes.axvline(0, color=INK, linewidth=1)
        for row, (_, scores) in enumerate(shown):
            gain = {key: 100 * value for key, value in scores["student_minus_base"].items()}
            colour = GOOD if gain["low"] > 0 else BAD if gain["high"] < 0 else BASE
            axes.hlines(-row, gain["low"], gain["high"], color=colour, linewidth=2.6)
            axes.plot([gain["estimate"]], [-row], "o", color=colour, markersize=6)
            axes.annotate(
                f"{gain['estimate']:+.1f}", (gain["estimate"], -row), (0, 5), textcoords="offset points", ha="center"
            )
        _rows(axes, shown)
        return chart.figure(
            "gains",
            "The student's gain over its base, in points",
            "Green: better beyond chance. Grey: not told apart. Red: worse beyond chance.",
        )


def _rows(axes: Any, shown: Sequence[tuple[str, Any]]) -> None:
    axes.set_yticks([-row for row in range(len(shown))], [name for name, _ in shown])
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(-len(shown) + 0.45, 0.55)
    axes.axhline(-0.5, color=LINE, linewidth=1)
    plain_axis(axes)
    axes.tick_params(axis="y", labelsize=FONT)


def answers(evaluation: Mapping[str, Any], predictions: Sequence[Prediction]) -> Iterator[str]:
    """Which labels are said for which, by system: confusions as tables, shares as a chart."""
    yield "<h2 id='errors'>Where they err</h2>"
    yield _shares(evaluation)
    yield (
        "<p>Rows are the gold label, columns what was said; the darker, the more of the row's texts. In bold, what is "
        "right.</p>"
    )
    counts = answers_by_gold(predictions)
    for name, task in list(evaluation["tasks"].items())[:MOST_ROWS]:
        labels = _labels(task)
        found = {system: counts[name, system] for system in SYSTEMS if (name, system) in counts}
        body = "".join(_confusion(system, pairs, labels) for system, pairs in found.items())
        if body:
            yield f'<h3>{escape(name)}</h3><div class="confusions">{body}</div>'
    yield left_out(len(evaluation["tasks"]) - MOST_ROWS, "tasks")


def answers_by_gold(predictions: Sequence[Prediction]) -> dict[tuple[str, str], Counter[tuple[str, str]]]:
    """(task, system) -> how often for a gold label what was said, (gold, said) -> count."""
    counts: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for one in predictions:
        counts.setdefault((one.task, one.system), Counter())[one.gold, one.predicted] += 1
    return counts


def _labels(task: Mapping[str, Any]) -> list[str]:
    """The most frequent right labels, in the task's order; then OTHERS if there are more."""
    gold = task["gold"]
    if len(gold) <= MOST_LABELS:
        return list(gold)
    most = set(sorted(gold, key=lambda label: (-gold[label], label))[: MOST_LABELS - 1])
    return [*(label for label in gold if label in most), OTHERS]


def _confusion(system: str, pairs: Counter[tuple[str, str]], labels: Sequence[str]) -> str:
    folded: Counter[tuple[str, str]] = Counter()
    for (gold, said), count in pairs.items():
        folded[gold if gold in labels else OTHERS, said if said in labels else OTHERS] += count
    right = sum(count for (gold, said), count in pairs.items() if gold == said)
    lines = []
    for gold in labels:
        of = max(sum(folded[gold, said] for said in labels), 1)
        marks = (
            f'<td class="s{round(STEPS * folded[gold, said] / of)}{" right" if gold == said else ""}">'
            f"{folded[gold, said]}</td>"
            for said in labels
        )
        lines.append(f'<tr><th scope="row">{escape(short(gold))}</th>{"".join(marks)}</tr>')
    heads = "".join(f'<th scope="col">{escape(short(label))}</th>' for label in labels)
    caption = f"{system}: {right} of {sum(pairs.values())} right"
    return (
        f'<div class="scroll confusion" role="region" tabindex="0" aria-label="{escape(caption)}"><table><caption>'
        f"{escape(caption)}</caption><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _shares(evaluation: Mapping[str, Any]) -> str:
    """Of each label the share of rows it is right for, and the shares that each system says it for: two charts, so that
    a wide screen has no empty half."""
    rows = [
        (task, label, [100 * one.get(label, 0) / max(figures["rows"], 1) for one in _said(figures)])
        for task, figures in evaluation["tasks"].items()
        for label in figures["gold"]
    ]
    every = len(rows)
    if every > MOST_ROWS:  # those that are furthest off
        rows.sort(key=lambda row: -max(abs(share - row[2][0]) for share in row[2]))
        rows = sorted(rows[:MOST_ROWS], key=lambda row: row[0])
    tasks = list(dict.fromkeys(row[0] for row in rows))
    half = min(range(1, len(tasks) + 1), key=lambda n: abs(len(rows) - 2 * sum(row[0] in tasks[:n] for row in rows)))
    end = max([share for row in rows for share in row[2]], default=0) * 1.04
    charts = (
        _shares_chart(f"shares{number}", [row for row in rows if row[0] in part], end)
        for number, part in enumerate((tasks[:half], tasks[half:]))
        if part
    )
    some = f" {every - len(rows):,} labels that are nearest to right are left out." if every > len(rows) else ""
    return (
        f'<div class="charts">{"".join(charts)}</div>'
        f'<p class="quiet">The upright line is how often a label is gold, the right one: '
        f"a system that says it too often stands to the right of the line.{some}</p>"
    )


def _said(figures: Mapping[str, Any]) -> list[Mapping[str, int]]:
    return [figures["gold"], *(figures["answers"][system] for system in SYSTEMS)]


def _shares_chart(name: str, rows: Sequence[tuple[str, str, list[float]]], end: float) -> str:
    with Chart(56 + 21 * len(rows) + 33 * len({row[0] for row in rows})) as chart:
        axes, place, before, ticks = chart.axes(left=118, top=28), 0.0, "", []
        for task, label, shares in rows:
            if task != before:
                place, before = place + 0.7, task
                across = axes.get_yaxis_transform()
                axes.text(-0.02, -place + 0.1, short(task, 18), transform=across, ha="right", fontweight="bold")
                place += 0.9
            axes.hlines(-place, min(shares), max(shares), color=LINE, linewidth=3)
            axes.plot([shares[0]] * 2, [-place - 0.36, -place + 0.36], color=INK, linewidth=2)
            for system, share in zip(SYSTEMS, shares[1:], strict=True):
                axes.plot([share], [-place], **_mark(system))
            ticks.append((-place, short(label, 20)))
            place += 1
        axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
        axes.set_ylim(-place + 0.2, -0.2)
        axes.set_xlim(0, end)
        plain_axis(axes)
        axes.plot([], [], "|", color=INK, markersize=10, markeredgewidth=2, label="gold")
        for system in SYSTEMS:
            axes.plot([], [], label=system, **_mark(system))
        axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.3, 1.0), handletextpad=0.1, columnspacing=1.0)
        tasks = ", ".join(dict.fromkeys(row[0] for row in rows))
        return chart.figure(name, "How often each label is said", f"In % of the rows of {tasks}.")


def _mark(system: str) -> dict[str, Any]:
    """How a system's estimate is drawn."""
    hollow = {"markerfacecolor": PAPER} if system == "base" else {}
    return {"marker": MARKERS[system], "linestyle": "", "color": COLOURS[system], "markersize": 5.5, **hollow}
