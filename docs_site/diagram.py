"""A `flowchart` of mermaid as an SVG from top to bottom, so that no library has to be fetched to draw it.

Reads what docs/ use of the language: lines of nodes joined by `-->`, a node a name, or `name{{words}}` for a hexagon.
"""

import itertools
import re
from html import escape

NODE = re.compile(r"(\w+)(?:\{\{(.*?)\}\})?$")
WIDE, HIGH, ACROSS, DOWN = 190, 28, 230, 46
"""Size of a box, and from one to the next, in pixels."""


def _read(source: str) -> tuple[dict[str, str | None], list[tuple[str, str]]]:
    """Names of nodes with the words of hexagons, and edges. Raises ValueError on what is not read."""
    kind, *lines = [line.strip() for line in source.strip().splitlines() if line.strip()]
    if not kind.startswith("flowchart"):
        raise ValueError(f"only a flowchart is drawn, not {kind!r}")
    words: dict[str, str | None] = {}
    edges: list[tuple[str, str]] = []
    for line in lines:
        names = []
        for part in line.split("-->"):
            node = NODE.match(part.strip())
            if not node:
                raise ValueError(f"{part.strip()!r} is no node")
            words[node[1]] = node[2] or words.get(node[1])
            names.append(node[1])
        edges += itertools.pairwise(names)
    return words, edges


def _rows(names: list[str], edges: list[tuple[str, str]]) -> dict[str, int]:
    """How far down each node is: below all that lead to it."""
    row = dict.fromkeys(names, 0)
    for _ in names:
        for start, end in edges:
            row[end] = max(row[end], row[start] + 1)
    return row


def places(names: list[str], edges: list[tuple[str, str]]) -> dict[str, tuple[int, int]]:
    """Column and row of each node: the longest way down is the first column, and no node stands in the way of an edge,
    which leaves its node downwards and turns right above the one it leads to."""
    row, taken, place = _rows(names, edges), set[tuple[int, int]](), dict[str, tuple[int, int]]()
    ahead = {name: _reach(name, edges) for name in names}
    for name in sorted(names, key=lambda name: (row[name], -ahead[name])):
        last = max((row[end] - 1 for start, end in edges if start == name), default=row[name])
        rows = range(row[name], last + 1)
        column = next(number for number in itertools.count() if not any((number, step) in taken for step in rows))
        taken |= {(column, step) for step in rows}
        place[name] = (column, row[name])
    return place


def picture(source: str) -> str:
    """The diagram as an `svg` element. Raises ValueError on what is no flowchart of the kind above."""
    words, edges = _read(source)
    place = places(list(words), edges)
    width = 10 + WIDE + ACROSS * max(column for column, _ in place.values())
    height = 10 + HIGH + DOWN * max(row for _, row in place.values())
    corner = {name: (5 + column * ACROSS, 5 + row * DOWN) for name, (column, row) in place.items()}
    drawn = [_edge(corner[start], corner[end]) for start, end in edges]
    drawn += [_node(name, words[name], *corner[name]) for name in words]
    return (
        f'<svg class="diagram" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        'aria-label="Stages in their order">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z"/></marker></defs>{"".join(drawn)}</svg>'
    )


def _reach(name: str, edges: list[tuple[str, str]]) -> int:
    return max((1 + _reach(end, edges) for start, end in edges if start == name), default=0)


def _edge(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x, y), (to_x, to_y) = start, end
    x, to_x = x + WIDE // 2, to_x + WIDE // 2
    turn = to_y - (DOWN - HIGH) // 2
    way = f"M{x} {y + HIGH} V{turn} H{to_x} V{to_y}"
    return f'<path class="edge" d="{way}" marker-end="url(#tip)"/>'


def _node(name: str, words: str | None, x: int, y: int) -> str:
    if words is None:
        shape = f'<rect x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="4"/>'
    else:
        middle, right = y + HIGH // 2, x + WIDE
        points = [
            (x, middle),
            (x + 12, y),
            (right - 12, y),
            (right, middle),
            (right - 12, y + HIGH),
            (x + 12, y + HIGH),
        ]
        shape = f'<polygon class="gate" points="{" ".join(f"{a},{b}" for a, b in points)}"/>'
    return f'{shape}<text x="{x + WIDE // 2}" y="{y + HIGH // 2 + 4}">{escape(words or name)}</text>'
