"""An interval in a cell of a table for people. Apart from `table`, which the stages that evaluate reach."""

from collections.abc import Mapping


def interval_cell(interval: Mapping[str, float] | None, decimals: int = 1) -> str:
    """A share in points and its interval, e.g. `61.2 [57.9, 64.3]`; a dash where there is none."""
    if interval is None:
        return "-"
    estimate, low, high = (f"{100 * interval[key]:.{decimals}f}" for key in ("estimate", "low", "high"))
    return f"{estimate} [{low}, {high}]"
