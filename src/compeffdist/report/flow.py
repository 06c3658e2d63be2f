"""Records through the stages: what came in, what went on, what was left out and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from compeffdist.house_style import table
from compeffdist.report.run import Run
from compeffdist.svg import INK, QUIET, STUDENT, WARM, Chart, short

SHADES = (1.0, 0.72, 0.5, 0.34, 0.22)
"""Of the reasons, most frequent first; those after them share the last."""
ROW, BAR, FULL = 58, 15, 344
CHARACTER = 5.8
"""Width of a small letter at the size reasons are written in, more or less."""
NOT_KEPT, UNSURE = "not drawn by the sampler", "below the confidence floor"


@dataclass(frozen=True)
class Step:
    """What one stage let through."""

    stage: str
    what: str
    """What is counted, from what to what."""
    into: int
    out: int
    reasons: Mapping[str, int]


def steps(run: Run) -> list[Step]:
    """Those of the stages that can leave something out, in their order; a stage that had nothing to do is none."""
    before = (
        ("ingest_texts", "rows of the sources to texts", "texts"),
        ("enumerate_attributes", "names to attributes", "vocabulary"),
        ("generate_tasks", "tasks written to tasks", "records"),
        ("write_demonstrations", "demonstrations written to demonstrations", "records"),
        ("collect_responses", "pairs asked to checked answers", "records"),
        ("score_difficulty", "answers to scored ones", "records"),
        ("predict_difficulty", "pairs to those with a predicted difficulty", "records"),
    )
    found = [step for one in before for step in _step(run, *one)]
    kept = sum(draw.kept for draw in run.draws)
    unsure = sum(draw.rank == 0 for draw in run.draws)
    left = {NOT_KEPT: len(run.draws) - kept - unsure, UNSURE: unsure}
    reasons = {reason: count for reason, count in left.items() if count}
    found.append(Step("sample_triplets", "scored or predicted to drawn", len(run.draws), kept, reasons))
    for stage, what in (("collect_sampled", "drawn to answered"), ("train_student", "answered to trained on")):
        found += _step(run, stage, what, "records")
    return found


def _step(run: Run, stage: str, what: str, of: str) -> Iterator[Step]:
    account = run.account(stage, of)
    if account and account["in"]:
        yield Step(stage, what, account["in"], account["out"], account["reasons"])


def flow(run: Run) -> Iterator[str]:
    """Chart and table, as HTML."""
    yield "<h2 id='records'>What became of every record</h2>"
    yield f'<div class="charts">{_chart([step for step in steps(run) if step.into])}<div>{_accounts(run)}</div></div>'


def _chart(found: list[Step]) -> str:
    from matplotlib.patches import Polygon, Rectangle

    with Chart(14 + ROW * len(found)) as chart:
        axes = chart.axes(left=8, top=2, bottom=2)
        axes.set_axis_off()
        axes.set_xlim(0, FULL)
        axes.set_ylim(ROW * len(found) + 10, 0)
        for number, step in enumerate(found):
            top = ROW * number + 16
            axes.text(0, top - 4, f"{step.stage}: {step.what}", color=QUIET, fontsize=10)
            on = max(FULL * step.out / step.into, 1.0)
            axes.add_patch(Rectangle((0, top), on, BAR, facecolor=STUDENT, linewidth=0))
            left, place = on, 0
            for place, (_, count) in enumerate(_ranked(step.reasons)):
                wide = (FULL - on) * count / max(sum(step.reasons.values()), 1)
                shade = SHADES[min(place, len(SHADES) - 1)]
                axes.add_patch(Rectangle((left, top), wide, BAR, facecolor=WARM, alpha=shade, linewidth=0))
                left += wide
            if number + 1 < len(found):  # what goes on is the whole of what comes next, if in another unit
                foot, head = top + BAR, ROW * (number + 1) + 2
                axes.add_patch(Polygon([(0, foot), (on, foot), (on, head), (0, head)], facecolor=STUDENT, alpha=0.13))
            told = f"{step.into:,} → {step.out:,}" if step.out < step.into else f"{step.into:,}, all of them"
            axes.text(3, top + BAR + 11, told, color=INK, fontsize=10, fontweight="bold")
            reasons = _fitting(step.reasons, FULL - 12 - CHARACTER * 1.1 * len(told))
            axes.text(FULL, top + BAR + 11, reasons, color=QUIET, fontsize=9, ha="right")
        return chart.figure(
            "flow",
            "Through the stages",
            "Of what came into each stage, the blue part went on; the others were left out, commonest reason first.",
        )


def _fitting(reasons: Mapping[str, int], width: float) -> str:
    """As many reasons as there is room for."""
    parts: list[str] = []
    ranked = _ranked(reasons)
    for place, (reason, count) in enumerate(ranked):
        said = f"{short(reason.replace('_', ' '))} {count:,}"
        rest = f" · {len(ranked) - place - 1} more" if place + 1 < len(ranked) else ""
        if CHARACTER * 0.9 * len(" · ".join([*parts, said]) + rest) > width:
            return " · ".join(
                [*parts, f"{len(ranked) - place} more reasons" if not parts else f"{len(ranked) - place} more"]
            )
        parts.append(said)
    return " · ".join(parts)


def _ranked(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(reasons.items(), key=lambda item: (-item[1], item[0]))


def _accounts(run: Run) -> str:
    accounts = {stage: run.account(stage) for stage in run.metrics}
    lines = []
    for stage, account in accounts.items():
        if account and account["in"]:  # in mode direct nothing is predicted
            figures = "".join(f'<td class="number">{account[key]:,}</td>' for key in ("in", "out", "rejected"))
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in _ranked(account["reasons"]))
            lines.append(
                f'<tr><th scope="row">{escape(stage)}</th>{figures}<td class="wide">{escape(reasons)}</td></tr>'
            )
    return table(["stage", "in", "out", "rejected", "reasons"], lines, "records in, out and rejected by stage")


def gates(run: Run, linked: bool = True) -> Iterator[str]:
    """The gates with what holds and what does not, as HTML; `linked`: whether their pages lie beside this one."""
    yield "<h2 id='gates'>Gates</h2>"
    rows = []
    for name, report in run.gates.items():
        failed = [finding["name"] for finding in report["expectations"] if not finding["passed"]]
        unlike = "warned" if report["action"] == "warn" else "failed"
        state, mark = ("held", "passed") if report["passed"] else ("failed", unlike)
        held = f"{len(report['expectations']) - len(failed)} of {len(report['expectations'])}"
        link = f'<a href="gates/{escape(name)}.html">{escape(name)}</a>' if linked else escape(name)
        rows.append(
            f'<tr class="{state}"><th scope="row">{link}</th><td class="mark">{mark}</td><td>{held}</td>'
            f"<td>{escape(', '.join(failed))}</td></tr>"
        )
    yield table(["gate", "verdict", "expectations that hold", "that do not"], rows, "gates")
