"""Whether the user's files have the fields that params name, before a run: a misspelt one is else found as it begins.

They are read by the reader that ingestion and evaluation have: of CSV and Parquet the header tells, of JSON Lines the
first row, but for the texts of a source, which single rows may lack.
"""

from contextlib import redirect_stderr
from io import StringIO
from itertools import islice
from pathlib import Path

from compeffdist.evaluation.rows import task_fields
from compeffdist.params import FILE_KINDS, EvaluationTask, Params, TextSource
from compeffdist.texts.sources import source_fields
from compeffdist.texts.tables import no_column, read_rows

MOST_LOOKED_AT = 10_000
"""Rows of JSON Lines among which one has to have a text."""


def check_named_fields(params: Params) -> None:
    """Look at every file of texts or labelled rows that params name. Raises UserError as `check_fields`, of the first
    at fault."""
    for source in params.texts.sources:
        if source.kind in FILE_KINDS:
            check_fields(source)
    for task in params.evaluation.tasks:
        if task.is_file:
            check_fields(task)


def check_fields(rows: TextSource | EvaluationTask) -> None:
    """Look at a file that is a source or a task.

    Raises:
        UserError: the rows lack a field that is read (names its key in params and the fields of the first row); as
            `read_rows`, of the rows looked at.
    """
    wanted = source_fields(rows) if isinstance(rows, TextSource) else task_fields(rows)
    may_lack = {rows.text_field} if isinstance(rows, TextSource) else set[str]()
    missing, first = set(wanted), list[str]()
    with redirect_stderr(StringIO()):  # what a run says of the file's encoding, it says itself
        for row in islice(read_rows(Path(rows.location), rows.kind, wanted), MOST_LOOKED_AT):
            missing -= row.fields.keys()
            first = first or sorted(row.fields)
            if not missing:
                return
            if first and missing - may_lack:
                break
    if first:  # else there are no rows, or none that can be read, which is for the run to reject
        field = next(name for name in wanted if name in (missing - may_lack or missing))
        raise no_column(rows.location, field, wanted[field], first)
