"""Charts as inline SVG: no library, no script, the same size however many rows."""

from collections.abc import Sequence
from html import escape

import numpy as np

from compeffdist.arrays import Floats

WIDTH, HEIGHT = 330, 220
LEFT, BOTTOM, TOP = 56, 34, 8
CELLS = 30
BINS = 20
COLOUR = "#4a7ab5"


def histogram(values: Floats, label: str) -> str:
    """Shares of values in equal bins of [0, 1]."""
    counts = np.histogram(values, bins=BINS, range=(0.0, 1.0))[0]
    shares = counts / max(counts.sum(), 1)
    top = float(shares.max()) or 1.0
    wide, high = (WIDTH - LEFT) / BINS, HEIGHT - TOP - BOTTOM
    bars = [
        _rect(LEFT + place * wide, TOP + high * (1 - share / top), wide - 1, high * share / top, 1.0, f"{share:.1%}")
        for place, share in enumerate(shares.tolist())
    ]
    return _chart(bars, label, "share of rows", ("0", "1"), ("0", f"{top:.0%}"), f"Histogram of {label}")


def density(x: Floats, y: Floats, x_label: str, y_label: str, log: bool = False) -> str:
    """How many rows lie where, as a grid of cells: the darker the more, on a logarithmic scale. With `log`, `y` is laid
    out by its logarithm, unless a value is 0 or below."""
    there = np.isfinite(x) & np.isfinite(y)
    x, y = x[there], y[there]
    log = log and bool((y > 0).all())
    laid = np.log(y) if log else y
    edges = [_edges(x), _edges(laid)]
    counts = np.histogram2d(x, laid, bins=CELLS, range=edges)[0]
    darkest = np.log1p(counts.max())
    wide, high = (WIDTH - LEFT) / CELLS, (HEIGHT - TOP - BOTTOM) / CELLS
    cells = []
    for column, row in np.argwhere(counts > 0):
        left, top, count = LEFT + column * wide, TOP + (CELLS - 1 - row) * high, counts[column, row]
        opacity = 0.15 + 0.85 * float(np.log1p(count) / darkest)
        cells.append(_rect(left, top, wide, high, opacity, f"{int(count)} rows"))
    ends = np.exp(edges[1]) if log else edges[1]
    scale = " (log scale)" if log else ""
    x_ends, y_ends = ([f"{edge:.3g}" for edge in side] for side in (edges[0], ends))
    return _chart(cells, x_label, y_label + scale, x_ends, y_ends, f"{y_label} against {x_label}")


def _edges(values: Floats) -> Floats:
    low, high = float(values.min()), float(values.max())
    return np.array([low, high if high > low else low + 1.0])


def _rect(x: float, y: float, width: float, height: float, opacity: float, title: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{COLOUR}" '
        f'fill-opacity="{opacity:.2f}"><title>{escape(title)}</title></rect>'
    )


def _chart(marks: Sequence[str], x: str, y: str, x_ends: Sequence[str], y_ends: Sequence[str], title: str) -> str:
    right, floor = WIDTH, HEIGHT - BOTTOM
    middle = TOP + (floor - TOP) / 2
    texts = [
        (LEFT, floor + 14, "start", x_ends[0], ""),
        (right, floor + 14, "end", x_ends[1], ""),
        ((LEFT + right) / 2, floor + 28, "middle", x, ""),
        (LEFT - 4, floor, "end", y_ends[0], ""),
        (LEFT - 4, TOP + 9, "end", y_ends[1], ""),
        (10, middle, "middle", y, f' transform="rotate(-90 10 {middle:.0f})"'),
    ]
    labels = [
        f'<text x="{left:.0f}" y="{top:.0f}" text-anchor="{anchor}"{turn}>{escape(text)}</text>'
        for left, top, anchor, text, turn in texts
    ]
    axes = f'<path d="M{LEFT} {TOP}V{floor}H{right}" fill="none" stroke="#999"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" font-size="11" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{axes}{"".join(marks)}{"".join(labels)}</svg>'
    )
