"""The attributes in two dimensions: near ones mean alike, a line ties each to the exemplar of its perspective."""

import colorsys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from compeffdist.house_style import cells, table
from compeffdist.records import Perspective
from compeffdist.report.run import Run
from compeffdist.svg import BASE, INK, PAPER, STUDENT, Chart, left_out, plain_axis, short, type_name

MOST_PERSPECTIVES, MOST_MEMBERS, MOST_TASKS = 60, 12, 8
"""Shown in the table."""
MOST_NAMES = 16
"""Perspectives named on the map."""
GOLDEN = 0.618034
"""Turn of the hue from one perspective to the next: neighbours in rank are far apart in colour."""
STYLE = """
.beside{display:grid;gap:.5rem 2rem}@media (min-width:62rem){.beside{grid-template-columns:3fr 2fr}}
.map{min-width:0}.map svg{max-width:44rem}.map [data-mark]{cursor:pointer}
.map svg.lit [data-mark]:not(.near){opacity:.18}
.map output{display:block;min-height:2.9em;max-width:44rem}
.map figcaption,.map output{max-width:44rem}
"""


def perspectives(run: Run) -> Iterator[str]:
    """Map, tasks by type, and table of the perspectives, as HTML."""
    yield "<h2 id='perspectives'>Perspectives and their tasks</h2>"
    yield f'<div class="beside">{_map(run) if run.places else ""}{_types_chart(run)}</div>'
    tasks: defaultdict[str, list[str]] = defaultdict(list)
    for instruction in run.instructions:
        tasks[instruction.perspective_id].append(instruction.task_name)
    shown = ranked(run.perspectives)[:MOST_PERSPECTIVES]
    heads = ["perspective", "attributes (counts)", "coherence over mentions", "over members", "tasks"]
    rows = (cells([p.head, members(p), *_coherences(p), _some(tasks[p.id], MOST_TASKS)], 5) for p in shown)
    told = f"{len(shown):,} perspectives with their attributes and tasks"
    yield f"<details><summary>{told}</summary>{table(heads, rows, 'perspectives')}"
    yield f"{left_out(len(run.perspectives) - len(shown), 'perspectives')}</details>"
    if own := tasks.get(""):
        yield f"<p>Asked by the user, of no perspective: {escape(_some(own, 5 * MOST_TASKS))}</p>"


def ranked(found: Sequence[Perspective]) -> list[Perspective]:
    """Those of most mentions first."""
    return sorted(found, key=lambda p: (-p.total_count, p.id))


def members(perspective: Perspective) -> str:
    """Names with their counts, bounded."""
    named = zip(perspective.member_names, perspective.member_counts, strict=True)
    return _some([f"{name} ({count})" for name, count in named], MOST_MEMBERS, ", ")


def _some(names: Sequence[str], most: int, between: str = "; ") -> str:
    more = [f"{len(names) - most:,} more"] if len(names) > most else []
    return between.join([*names[:most], *more])


def _coherences(perspective: Perspective) -> list[str]:
    return [f"{perspective.coherence:.2f}", f"{perspective.member_coherence or 0.0:.2f}"]


def colour(rank: int) -> str:
    """Of a perspective by its rank: light enough for dark paper, dark enough for white."""
    red, green, blue = colorsys.hls_to_rgb(rank * GOLDEN % 1.0, 0.5, 0.5)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _map(run: Run) -> str:
    found = ranked(run.perspectives)
    points = [
        (rank, p, name, count, run.places[one])
        for rank, p in enumerate(found)
        for one, name, count in zip(p.member_ids, p.member_names, p.member_counts, strict=True)
        if one in run.places
    ]
    points.sort(key=lambda point: -point[3])
    every = sum(len(p.member_ids) for p in found)
    exemplars = {point[0]: point[4] for point in points if point[1].exemplar == point[2]}
    with Chart(330) as chart:
        axes = chart.axes(left=4, right=4, top=4, bottom=4)
        axes.set_axis_off()
        ties = [
            ([place[0], exemplars[rank][0]], [place[1], exemplars[rank][1]], colour(rank))
            for rank, _, name, _, place in points
            if rank in exemplars and exemplars[rank] != place
        ]
        for x, y, tint in ties:
            axes.plot(x, y, color=tint, linewidth=1, alpha=0.55)
        x, y = ([point[4][axis] for point in points] for axis in (0, 1))
        marks = axes.scatter(
            x, y, [16 + 9 * min(point[3], 400) ** 0.5 for point in points],
            [colour(point[0]) if len(point[1].member_ids) > 1 else BASE for point in points],
            linewidths=0.8, edgecolors=PAPER,
        )  # fmt: skip
        marks.set_gid("attributes")
        _names(axes, points)
        titles = [f"{name} ({count:,}): perspective {p.head}: {members(p)}" for _, p, name, count, _ in points]
        largest = len(found) > MOST_PERSPECTIVES or any(len(p.member_ids) > MOST_MEMBERS for p in found)
        below = "lists the largest" if largest else "has them all"
        some = f" The {len(points):,} most frequent of {every:,} are shown." if every > len(points) else ""
        drawn = chart.figure(
            "map",
            "Attributes that the teacher named",
            "Near ones mean alike, by their embeddings; the larger, the more often named. Colour and lines are "
            "perspectives; grey ones stand alone. Hover, or press the arrow keys on the map, to see members; the table "
            f"below {below}.{some}",
            {"attributes": titles},
        )
    numbers = " ".join(str(point[0]) for point in points)
    drawn = drawn.replace("<svg ", f'<svg id="map" tabindex="0" data-perspectives="{numbers}" ', 1)
    return f'<div class="map">{drawn}<output for="map" aria-live="polite"></output></div>'


def _names(axes: Any, points: Sequence[Any]) -> None:
    """Name the largest perspectives where no other name is in the way."""
    box = axes.get_window_extent()
    to_units = axes.transData.transform
    taken: list[tuple[float, float, float, float]] = []
    named: set[int] = set()
    for rank, perspective, name, _, place in points:
        if len(named) == MOST_NAMES:
            return
        if rank in named or name != perspective.head:
            continue
        x, y = to_units(place)
        said = short(perspective.head, 18)
        wide, high = 5.6 * len(said), 11.0
        own = x - wide / 2, y + 6, x + wide / 2, y + 6 + high
        if own[0] < box.x0 or own[2] > box.x1 or own[3] > box.y1:
            continue
        if any(own[0] < b[2] and b[0] < own[2] and own[1] < b[3] and b[1] < own[3] for b in taken):
            continue
        taken.append(own)
        named.add(rank)
        axes.annotate(said, place, (0, 8), textcoords="offset points", ha="center", fontsize=10, color=INK)


def _types_chart(run: Run) -> str:
    counts: dict[str, int] = defaultdict(int)
    rows: dict[str, int] = defaultdict(int)
    types = {instruction.id: instruction.type for instruction in run.instructions}
    for kind in types.values():
        counts[kind] += 1
    for draw in run.draws:
        rows[types.get(draw.instruction_id, "unknown")] += draw.kept
    ordered: Mapping[str, int] = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    with Chart(40 + 34 * len(ordered)) as chart:
        axes = chart.axes(left=84, right=8)
        places = [-place for place in range(len(ordered))]
        axes.barh(places, list(ordered.values()), 0.55, color=STUDENT)
        for place, (kind, count) in zip(places, ordered.items(), strict=True):
            told = f"{count:,}, {rows[kind]:,} rows drawn"
            axes.annotate(told, (count, place), (4, 0), textcoords="offset points", va="center", fontsize=11)
        axes.set_yticks(places, [type_name(kind) for kind in ordered])
        axes.set_xlim(0, 1.75 * max(ordered.values(), default=1))
        axes.locator_params(axis="x", integer=True, nbins=5)
        plain_axis(axes)
        return chart.figure(
            "types", "Tasks by type", "Instructions of each type, and how many of their rows were drawn."
        )
