"""Which column of a table is the text, which its id, which the label: by names that people use, else by what is in it.

What is guessed is always shown with the reason, and an option says otherwise.
"""

from collections.abc import Sequence

from compeffdist.adding.table import Column, Table
from compeffdist.errors import UserError, one_line
from compeffdist.label_spelling import folded

TEXTS = (
    *("text", "texts", "full_text", "review_text", "comment_text", "comment", "comments", "review", "reviews"),
    *("body", "content", "message", "tweet", "post", "sentence", "feedback", "verbatim", "utterance", "description"),
    *("answer", "response", "headline", "title"),
)
"""Names of columns of texts, the likelier first."""
LABELS = (
    *("label", "labels", "gold", "gold_label", "sentiment", "polarity", "emotion", "feeling", "stance", "class"),
    *("category", "rating", "stars", "score", "annotation", "target", "y"),
)
MOST_LABELS = 20
LABEL_CHARACTERS = 60


def text_column(table: Table) -> tuple[Column, str]:
    """The column of texts, and why it is. Raises UserError if none looks like texts, or it is the only one and its name
    looks like one of them: then the file has no header."""
    if len(table.columns) == 1 and table.named_by_a_text:
        name = one_line(repr(table.named_by_a_text[0]), 60)
        raise UserError(
            f"{table.path}: has no header, as it seems: its first line looks like a text ({name}); put a line with the "
            "column's name, such as text, above it, or, if it is the name, say so with --text-field"
        )
    texts = [column for column in table.usable() if column.is_prose]
    if named := _by_name(texts, TEXTS):
        return named, "by its name"
    if texts:
        return max(texts, key=lambda column: column.mean), "its texts are the longest"
    there = one_line(", ".join(table.columns), 300)
    again = f"; {', '.join(map(repr, table.twice))} stands more than once: rename one" if table.twice else ""
    raise UserError(
        f"{table.path}: no column looks like texts of several words; name it with --text-field (there are: {there})"
        f"{again}"
    )


def id_column(table: Table, text: str) -> Column | None:
    """The column of the rows' own ids: named like one, a value in each row and no two the same; none if there is
    none."""
    ids = [
        column
        for column in table.usable()
        if column.unlike and column.filled == table.rows and column.name != text and _is_id(column.name)
    ]
    return min(ids, key=lambda column: folded(column.name) != "id", default=None)


def label_column(table: Table, text: str) -> tuple[Column, str]:
    """The column of labels, and why it is. Raises UserError if none, or more than one, looks like labels."""
    found = [column for column in table.usable() if column.name != text and _holds_labels(column)]
    if named := _by_name(found, LABELS):
        return named, "by its name"
    if len(found) == 1:
        return found[0], "the only one with 2 to 20 values that come again"
    told = ", ".join(f"{column.name} ({len(column.counts)} values)" for column in found)
    several = f"{len(found)} columns may be labels: {told}" if found else "no column has 2 to 20 values that come again"
    raise UserError(f"{table.path}: {one_line(several, 300)}; name it with --label-field")


def _by_name(columns: Sequence[Column], wanted: Sequence[str]) -> Column | None:
    by_name = {folded(column.name).replace(" ", "_").replace("-", "_"): column for column in reversed(columns)}
    return next((by_name[name] for name in wanted if name in by_name), None)


def _is_id(name: str) -> bool:
    return folded(name) in ("id", "uuid", "guid", "key") or name.endswith(("_id", "Id", "ID", "-id", " id"))


def _holds_labels(column: Column) -> bool:
    values = [value for value in column.counts if value]
    longest = max(map(len, values), default=0)
    return 2 <= len(values) <= MOST_LABELS and column.filled >= 2 * len(values) and longest <= LABEL_CHARACTERS
