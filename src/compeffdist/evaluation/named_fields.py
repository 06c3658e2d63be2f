"""Whether the user's files have the fields that params name, before a run: a misspelt one is else found as it begins.

They are read by the reader that ingestion and evaluation have, up to the row in which the last of the fields is: of CSV
and Parquet the header tells, and of JSON Lines, whose rows may lack fields, mostly the first row.
"""

from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from compeffdist.evaluation.rows import task_fields
from compeffdist.params import FILE_KINDS, EvaluationTask, Params, TextSource
from compeffdist.texts.sources import source_fields
from compeffdist.texts.tables import no_column, read_rows


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
        UserError: no row has a field that is read (names its key in params and the fields of the first row); as
            `read_rows`, of the rows looked at.
    """
    wanted = source_fields(rows) if isinstance(rows, TextSource) else task_fields(rows)
    missing, first = set(wanted), list[str]()
    with redirect_stderr(StringIO()):  # what a run says of the file's encoding, it says itself
        for row in read_rows(Path(rows.location), rows.kind, wanted):
            missing -= row.fields.keys()
            first = first or sorted(row.fields)
            if not missing:
                return
    if first:  # else there are no rows, or none that can be read, which is for the run to reject
        field = next(name for name in wanted if name in missing)
        raise no_column(rows.location, field, wanted[field], first)
