"""The first lines of the page: is the student better, is it a candidate for promotion, and why."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from compeffdist.evaluation.table import SYSTEMS, difference_cell
from compeffdist.gates.outcome import LAST
from compeffdist.report.run import TOKENS, Run

BETTER = "is better than"
CANDIDATE, NO_CANDIDATE = "is a candidate for promotion", "is no candidate for promotion"
WARNED = "is a candidate with a warning"
"""Its tag `gates` is not `passed`: it is promoted with an override alone."""
STYLE = """
.verdict{font-size:clamp(1.2rem,1rem + 1.2vw,1.6rem);font-weight:600;margin:.2rem 0 .6rem;max-width:58rem;
text-wrap:pretty}
.run{color:var(--quiet);font-weight:400;font-size:.95rem;margin:0}
.good{color:var(--good)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(7rem,1fr));gap:.6rem;margin:1.25rem 0;padding:0;
list-style:none}
.tiles li{background:var(--soft);border-radius:.5rem;padding:.6rem .8rem}
.tiles b{display:block;font-size:1.45rem;line-height:1.25;font-variant-numeric:tabular-nums}
.tiles span{color:var(--quiet);font-size:.87rem}
"""


def opening(run: Run) -> Iterator[str]:
    """Heading, reasons and the figures that people ask for first, as HTML."""
    better, candidate = _better(run.evaluation), _candidate(run)
    profile, kind = run.registration["tags"]["profile"], "good" if candidate == CANDIDATE else "bad"
    yield f'<p class="run">CompEffDist, the {escape(profile)} run</p>'
    joined = "and" if candidate == (CANDIDATE if better == BETTER else NO_CANDIDATE) else "but"
    yield (
        f'<h1 class="verdict">The student {better} its base {joined} <span class="{kind}">{candidate}</span>: '
        f"{escape(_why(run))}.</h1>"
    )
    yield f"<p>{escape(_standing(run))}</p>"
    yield from _tiles(run)


def _better(evaluation: Mapping[str, Any]) -> str:
    gain = evaluation["mean"]["student_minus_base"]
    if gain["low"] > 0:
        return BETTER
    return "is worse than" if gain["high"] < 0 else "is not shown to be better than"


def _candidate(run: Run) -> str:
    """What the registry and the gates know of it; `compeffdist promote` looks at more."""
    if not run.registration["alias"]:
        return NO_CANDIDATE
    return CANDIDATE if all(report["passed"] for report in run.gates.values()) else WARNED


def _why(run: Run) -> str:
    """Scores first; then what the gates say."""
    mean, tasks = run.evaluation["mean"], run.evaluation["tasks"]
    student, base = (100 * mean["macro_f1"][system]["estimate"] for system in ("student", "base"))
    worse = [name for name, task in tasks.items() if _family(task)["high"] < 0]
    parts = [
        f"macro-F1 {student:.1f} against {base:.1f}, a gain of {difference_cell(mean['student_minus_base'])}",
        f"worse beyond chance on {', '.join(worse)}" if worse else f"on none of {len(tasks)} tasks worse beyond chance",
    ]
    return "; ".join([*parts, *_gates(run.gates)])


def _family(task: Mapping[str, Any]) -> Mapping[str, float]:
    """The interval that all tasks hold at once, where there is one."""
    found: Mapping[str, float] = task.get("student_minus_base_family", task["student_minus_base"])
    return found


def _gates(gates: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    failed = {name: report for name, report in gates.items() if not report["passed"]}
    if not failed:
        yield f"all {len(gates)} gates passed"
    # the last gate decides on the alias
    for name in sorted(failed, key=lambda name: name != LAST):
        said = ", ".join(finding["name"] for finding in failed[name]["expectations"] if not finding["passed"])
        yield f"gate {name} {'warned of' if failed[name]['action'] == 'warn' else 'failed on'} {said}"


def _standing(run: Run) -> str:
    registered, behind = run.registration, run.evaluation["mean"]["student_minus_teacher"]
    percent = f"{100 * run.evaluation['confidence']:g}%"
    alias = f"with the alias {registered['alias']}" if registered["alias"] else "without the alias candidate"
    return (
        f"It is {_distance(behind)}. It is registered as "
        f"{registered['model_name']} version {registered['version']}, {alias}. Figures in brackets are {percent} "
        "intervals."
    )


def _distance(interval: Mapping[str, float]) -> str:
    """Of the student from its teacher, in the direction it is found in."""
    sign, where = (-100, "behind") if interval["estimate"] <= 0 else (100, "ahead of")
    points, *ends = (round(sign * interval[end], 1) + 0.0 for end in ("estimate", "low", "high"))  # never -0.0
    low, high = sorted(ends)
    return f"{points:.1f} points {where} its teacher [{low:.1f} to {high:.1f}]"


def _tiles(run: Run) -> Iterator[str]:
    scores = run.evaluation["mean"]["macro_f1"]
    answers = [usage["answers"] for usage in run.asking.values()]
    tokens = sum(one[key] for one in answers for key in TOKENS)
    tiles = {
        **{f"{system}, macro-F1": f"{100 * scores[system]['estimate']:.1f}" for system in reversed(SYSTEMS)},
        "training rows": f"{run.account('train_student')['out']:,}",
        "teacher's answers": f"{sum(one['used'] for one in answers):,}",
        "tokens for them": f"{tokens / 1e6:,.1f} M" if tokens >= 1e5 else f"{tokens:,}",
    }
    items = "".join(f"<li><b>{value}</b><span>{escape(name)}</span></li>" for name, value in tiles.items())
    yield f'<ul class="tiles">{items}</ul>'
