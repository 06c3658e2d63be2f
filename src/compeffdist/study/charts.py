"""A study's charts: how values are spread, and one measure against another; the same size however many rows."""

import numpy as np

from compeffdist.arrays import Floats
from compeffdist.svg import STUDENT, Chart, plain_axis

HEIGHT, CELLS, BINS = 220, 30, 20
MOST_DECADES = 3
"""Of a logarithmic axis that has ticks between the powers of ten."""
FAINTEST = 0.15
"""Opacity of a cell with one row; the fullest is opaque."""


def histogram(values: Floats, label: str) -> str:
    """Shares of values in equal bins of [0, 1], as an HTML figure."""
    counts, edges = np.histogram(values, bins=BINS, range=(0.0, 1.0))
    with Chart(HEIGHT) as chart:
        axes = chart.axes(left=40)
        shares = 100 * counts / max(counts.sum(), 1)
        axes.bar(edges[:-1], shares, np.diff(edges) * 0.9, align="edge", color=STUDENT)
        axes.set_xlim(0.0, 1.0)
        plain_axis(axes, horizontal=False)
        return chart.figure(f"histogram of {label}", label[:1].upper() + label[1:], "In % of the rows.")


def density(x: Floats, y: Floats, x_label: str, y_label: str, log: bool = False) -> str:
    """How many rows lie where, as a grid of cells: the fuller the more, on a logarithmic scale; an HTML figure. With
    `log`, `y` is laid out by its logarithm, unless a value is 0 or below."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_rgba
    from matplotlib.ticker import LogLocator

    there = np.isfinite(x) & np.isfinite(y)
    x, y = x[there], y[there]
    log = log and bool((y > 0).all())
    laid = np.log(y) if log else y
    counts, across, up = np.histogram2d(x, laid, bins=CELLS, range=[_ends(x), _ends(laid)])
    up = np.exp(up) if log else up
    places = np.argwhere(counts > 0)
    corners = [
        [(across[i], up[j]), (across[i + 1], up[j]), (across[i + 1], up[j + 1]), (across[i], up[j + 1])]
        for i, j in places
    ]
    rows = counts[tuple(places.T)]
    opacities = FAINTEST + (1 - FAINTEST) * np.log1p(rows) / np.log1p(counts.max())
    with Chart(HEIGHT) as chart:
        axes = chart.axes(left=52, bottom=42)
        cells = PolyCollection(corners, facecolors=[to_rgba(STUDENT, one) for one in opacities], linewidths=0)
        cells.set_gid("cells")
        axes.add_collection(cells)
        axes.set_xlim(across[0], across[-1])
        if log:
            axes.set_yscale("log")
            few = up[-1] / up[0] < 10**MOST_DECADES
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        axes.set_ylim(up[0], up[-1])
        plain_axis(axes, horizontal=False)
        axes.set_xlabel(x_label)
        title = f"{y_label[:1].upper()}{y_label[1:]} against {x_label}"
        caption = f"The fuller the colour, the more rows.{f' The axis of {y_label} is logarithmic.' if log else ''}"
        return chart.figure(title, title, caption, {"cells": [f"{int(count)} rows" for count in rows]})


def _ends(values: Floats) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + 1.0
