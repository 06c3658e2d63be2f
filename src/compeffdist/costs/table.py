"""Rows of cells as aligned lines."""

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """A line a row; the first `left` columns begin where they begin, the others end where they end."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            _padded(cell, width, n < left) for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _padded(cell: str, width: int, left: bool) -> str:
    return cell.ljust(width) if left else cell.rjust(width)
