"""The run's page: results, gates, cost, what became of every record, perspectives with their tasks, real rows.

Texts are hostile input and the page is for a browser: everything is escaped by `pages`, excerpts are bounded, and so
is the number of instructions shown.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from compeffdist.evaluation.table import SYSTEMS, difference_cell, priors_line, registration_line
from compeffdist.page_style import WITHIN_WINDOW
from compeffdist.pages import cells, document, table
from compeffdist.records import Draw, Instruction, Perspective, ScoredTriplet, Text, Triplet, by_id
from compeffdist.report.run import Run
from compeffdist.teacher.asking import SOURCES

EXCERPT = 200
"""Characters of a text or response shown."""
MOST_PERSPECTIVES, MOST_MEMBERS, MOST_INSTRUCTIONS = 60, 12, 40


def render(run: Run) -> str:
    """The page as HTML; the pages of the gates and of difficulty are linked, relative to `report/`."""
    title = f"CompEffDist: the {run.registration['tags']['profile']} run"
    return document(
        title,
        [
            f"<h1>{escape(title)}</h1>",
            f"<p>{escape(registration_line(run.registration))}</p>",
            *_models(run),
            *_results(run.evaluation),
            *_gates(run.gates),
            *_accounts(run),
            *_teacher(run),
            *_perspectives(run),
            *_rows(run),
        ],
        WITHIN_WINDOW,
    )


def _models(run: Run) -> Iterator[str]:
    rows = (
        [
            role,
            identity.reference,
            identity.licence,
            "unknown" if identity.parameters is None else f"{identity.parameters / 1e6:,.0f} M",
        ]
        for role, identity in run.models.items()
    )
    yield table(["model", "reference", "licence", "parameters"], (cells(row, 3) for row in rows))


def _results(evaluation: Mapping[str, Any]) -> Iterator[str]:
    percent = f"{100 * evaluation['confidence']:g}% interval"
    yield "<h2>Results: macro-F1 x 100</h2>"
    columns = [*SYSTEMS, "student - base", "student - teacher"]
    heads = ["task", "rows", *(f"{column} [{percent}]" for column in columns)]
    tasks = evaluation["tasks"]
    rows = sum(task["rows"] for task in tasks.values())
    scored = [*((name, task["rows"], task) for name, task in tasks.items()), ("mean", rows, evaluation["mean"])]
    yield table(heads, (cells([name, str(count), *_scores(scores)]) for name, count, scores in scored))
    if priors := priors_line(evaluation):
        yield f'<p class="quiet">{escape(priors)}</p>'


def _scores(scores: Mapping[str, Any]) -> list[str]:
    intervals = [scores["macro_f1"][system] for system in SYSTEMS]
    return [
        *(f"{100 * i['estimate']:.1f} [{100 * i['low']:.1f}, {100 * i['high']:.1f}]" for i in intervals),
        *(difference_cell(scores[f"student_minus_{other}"]) for other in ("base", "teacher")),
    ]


def _gates(gates: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "<h2>Gates</h2>"
    rows = []
    for name, report in gates.items():
        failed = [finding["name"] for finding in report["expectations"] if not finding["passed"]]
        unlike = "warned" if report["action"] == "warn" else "failed"
        state, mark = ("held", "passed") if report["passed"] else ("failed", unlike)
        held = f"{len(report['expectations']) - len(failed)} of {len(report['expectations'])}"
        link = f'<a href="gates/{escape(name)}.html">{escape(name)}</a>'
        rows.append(
            f'<tr class="{state}"><td>{link}</td><td class="mark">{mark}</td><td>{held}</td>'
            f"<td>{escape(', '.join(failed))}</td></tr>"
        )
    yield table(["gate", "", "expectations that hold", "that do not"], rows)


def _accounts(run: Run) -> Iterator[str]:
    yield "<h2>What became of every record</h2>"
    accounts = [(stage, run.account(stage)) for stage in run.metrics]
    yield table(
        ["stage", "in", "out", "rejected", "reasons"],
        (
            _words([stage, *(f"{a[key]:,}" for key in ("in", "out", "rejected")), _reasons(a["reasons"])])
            for stage, a in accounts
            if a and a["in"]  # in mode direct nothing is predicted
        ),
    )


def _reasons(reasons: Mapping[str, int]) -> str:
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in ranked)


def _teacher(run: Run) -> Iterator[str]:
    yield "<h2>What the teacher's answers cost when they were bought</h2>"
    keys = ("used", "prompt_tokens", "cached_tokens", "completion_tokens")
    answers = {stage: usage["answers"] for stage, usage in run.asking.items()}
    yield table(["stage", "answers", *(key.replace("_", " ") for key in keys[1:])], _counts(answers, keys))
    yield "<p>Where this run had them from: the response store, records that others bought, or the teacher itself.</p>"
    yield table(["stage", *SOURCES], _counts({s: usage["this_run"] for s, usage in run.asking.items()}, SOURCES))
    if answers["collect_sampled"]["used"]:
        yield (
            '<p class="quiet">An answer that two stages use counts in both: collect_sampled asks texts '
            "the one question that collect_responses may have asked them already.</p>"
        )


def _counts(by_stage: Mapping[str, Mapping[str, int]], keys: Sequence[str]) -> Iterator[str]:
    """A row for each stage, and their sum."""
    total = {key: sum(counts[key] for counts in by_stage.values()) for key in keys}
    for stage, counts in {**by_stage, "all": total}.items():
        yield cells([stage, *(f"{counts[key]:,}" for key in keys)])


def _perspectives(run: Run) -> Iterator[str]:
    yield "<h2>Perspectives and their tasks</h2>"
    tasks: defaultdict[str, list[str]] = defaultdict(list)
    for instruction in run.instructions:
        tasks[instruction.perspective_id].append(instruction.task_name)
    shown = sorted(run.perspectives, key=lambda p: (-p.total_count, p.id))[:MOST_PERSPECTIVES]
    heads = ["perspective", "attributes (counts)", "coherence over mentions", "over members", "tasks"]
    yield table(heads, (_words([p.head, _members(p), *_coherences(p), "; ".join(tasks[p.id])]) for p in shown))
    yield _left_out(len(run.perspectives) - len(shown), "perspectives")
    if own := tasks.get(""):
        yield f"<p>Asked by the user, of no perspective: {escape('; '.join(own))}</p>"


def _coherences(perspective: Perspective) -> list[str]:
    return [f"{perspective.coherence:.2f}", f"{perspective.member_coherence or 0.0:.2f}"]


def _members(perspective: Perspective) -> str:
    members = list(zip(perspective.member_names, perspective.member_counts, strict=True))
    more = f", {len(members) - MOST_MEMBERS} more" if len(members) > MOST_MEMBERS else ""
    return ", ".join(f"{name} ({count})" for name, count in members[:MOST_MEMBERS]) + more


def _rows(run: Run) -> Iterator[str]:
    """Of each instruction, the hardest, the middle and the easiest scored triplet; of what was predicted, the count."""
    yield "<h2>Instructions, and rows from hard to easy</h2>"
    yield '<p>The distribution of difficulty, and more rows: <a href="difficulty.html">difficulty</a>.</p>'
    scored: defaultdict[str, list[ScoredTriplet]] = defaultdict(list)
    for score in sorted(run.scored, key=lambda score: (-score.ranking, score.triplet_id)):
        scored[score.instruction_id].append(score)
    draws: defaultdict[str, list[Draw]] = defaultdict(list)
    for draw in run.draws:
        draws[draw.instruction_id].append(draw)
    rows = _Rows(by_id(run.texts), by_id(run.triplets), {draw.triplet_id: draw for draw in run.draws})
    ranked = sorted(run.instructions, key=lambda i: (-len(scored[i.id]), i.id))
    for instruction in ranked[:MOST_INSTRUCTIONS]:
        yield from _instruction(instruction, draws[instruction.id], scored[instruction.id], rows)
    yield _left_out(len(ranked) - MOST_INSTRUCTIONS, "instructions")


@dataclass(frozen=True)
class _Rows:
    """What a scored triplet refers to, by id."""

    texts: Mapping[str, Text]
    triplets: Mapping[str, Triplet]
    draws: Mapping[str, Draw]

    def html(self, score: ScoredTriplet) -> str:
        """A row of the table."""
        draw, triplet = self.draws[score.triplet_id], self.triplets[score.triplet_id]
        figures = [f"{score.ranking:.3f}", f"{draw.inclusion_probability:.2f}", "kept" if draw.kept else "not kept"]
        # a purge finds the page by the text's id
        ids = f"{triplet.id} of {triplet.text_id}"
        return _words([*figures, _excerpt(self.texts[triplet.text_id].text), _excerpt(triplet.response), ids])


def _instruction(
    instruction: Instruction, draws: Sequence[Draw], scored: Sequence[ScoredTriplet], rows: _Rows
) -> Iterator[str]:
    kept, predicted = sum(draw.kept for draw in draws), len(draws) - len(scored)
    counts = [f"{len(draws)} rows", *([f"{predicted} of them predicted"] if predicted else []), f"{kept} kept"]
    yield f"<h3>{escape(instruction.task_name)} ({escape(instruction.type)}): {', '.join(counts)}</h3>"
    yield f'<p class="quiet">{escape(_excerpt(instruction.prompt))}</p>'
    chosen = dict.fromkeys([0, len(scored) // 2, len(scored) - 1] if scored else [])
    heads = ["difficulty", "chance to be kept", "", "text", "response", "ids, to trace"]
    yield table(heads, (rows.html(scored[place]) for place in chosen))


def _excerpt(text: str) -> str:
    folded = " ".join(text.split())
    return folded if len(folded) <= EXCERPT else folded[: EXCERPT - 1] + "…"


def _words(values: Sequence[str]) -> str:
    """A row of the table in which any cell may be long."""
    return cells(values, len(values))


def _left_out(count: int, what: str) -> str:
    return f'<p class="quiet">{count:,} more {what} are not shown.</p>' if count > 0 else ""
