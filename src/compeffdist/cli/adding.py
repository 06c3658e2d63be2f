"""What `add-source` and `add-task` say in the same words."""

from typing import TYPE_CHECKING

from compeffdist.errors import one_line

if TYPE_CHECKING:
    from compeffdist.adding.places import Place
    from compeffdist.adding.table import Table

SHOWN_COLUMNS = 30
LONG_NAME = 60
"""Characters from which on the name of a column looks like a text."""


def table_lines(table: "Table") -> list[str]:
    """What the file is, its columns, and what is odd about it."""
    lines = [f"{table.path}: {table.described()}"]
    for column in list(table.columns.values())[:SHOWN_COLUMNS]:
        told = f"{column.filled:,} filled"
        if column.texts:
            told += f", {column.mean:.0f} characters on average"
        if not column.various:
            told += f", {len(column.counts)} different"
        elif column.unlike:
            told += ", all different"
        twice = "  (more than one column has this name: it is not read)" if column.name in table.twice else ""
        lines.append(f"  {one_line(column.name, 40) or '(no name)'}: {told}{twice}")
    if len(table.columns) > SHOWN_COLUMNS:
        lines.append(f"  and {len(table.columns) - SHOWN_COLUMNS} more")
    if any(len(name) > LONG_NAME for name in table.columns) and table.kind == "csv":
        lines.append("  a column's name looks like a text: has the file no header? its first line is taken for one")
    if table.too_large:
        lines.append(f"  {table.too_large:,} lines are too large to be read")
    return [*lines, *(one_line(note, 300) for note in table.notes)]


def written_lines(place: "Place", list_name: str, entry: str, dry: bool) -> list[str]:
    """What was done, or would be."""
    lines = []
    if place.is_new:
        lines.append(f"{'would be copied' if dry else 'copied'} to {place.location}")
    lines += [f"params.yaml: {'would be added' if dry else 'added'} to {list_name}:", entry]
    return lines if dry else [*lines, "next: compeffdist plan"]
