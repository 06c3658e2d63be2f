"""The training rows of a run as a data set that `datasets.load_dataset` opens: Parquet, a card, Croissant."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from compeffdist.artefacts import EMBEDDER, rejects_of
from compeffdist.canonical import indented_json
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.snapshot import TRAINED_BY
from compeffdist.publishing.croissant import FILE, croissant
from compeffdist.publishing.dataset_card import dataset_card
from compeffdist.publishing.dataset_rows import READ, SCORED_ROWS, TRAINING_ROWS, rows_of, stated_licences
from compeffdist.publishing.finished import FinishedRun, open_run
from compeffdist.publishing.licences import is_unknown, refuse_unfit
from compeffdist.publishing.writing import Export, export_folder, refuse_folder

CARD = "README.md"
KIND = "dataset"
ROW_GROUP = 10_000
"""Rows that a reader who pages through them takes at a time."""


def export_dataset(
    target: Path,
    repository: Repository,
    *,
    every_row: bool = False,
    allow_unknown_licence: bool = False,
    despite_licence: Collection[str] = (),
    url: str = "",
    creator: str = "",
    force: bool = False,
) -> Export:
    """Write the data set of the run in the working folder.

    Args:
        every_row: beside the training rows, all triplets that were scored, as a configuration of their own.
        url: where the data set will be found.
        creator: who publishes it.

    Raises:
        UserError: as `open_run`, `refuse_folder`, `rows_of` and `refuse_unfit`.
    """
    import pyarrow.parquet as pq

    refuse_folder(target, KIND, force)
    run = open_run(repository, (*READ, rejects_of(TRAINED_BY), EMBEDDER))
    rows = {config: rows_of(run, config) for config in (TRAINING_ROWS, *([SCORED_ROWS] if every_row else []))}
    licences = stated_licences(rows)
    refuse_unfit(licences, allow_unknown_licence, despite_licence)
    files = {config: f"{config}/train-00000-of-00001.parquet" for config in rows}
    with export_folder(target, KIND, run, force) as folder:
        for config, table in rows.items():
            (folder / files[config]).parent.mkdir()
            pq.write_table(table, folder / files[config], compression="zstd", row_group_size=ROW_GROUP)
        described = croissant(run, rows, files, folder, {"url": url, "creator": creator})
        (folder / FILE).write_text(indented_json(described), encoding="utf-8")
        (folder / CARD).write_text(dataset_card(run, rows, files), encoding="utf-8")
    missing = [name for name, given in (("url", url), ("creator", creator)) if not given]
    return Export(
        KIND,
        target,
        run.commit,
        {config: len(table) for config, table in rows.items()},
        tuple(_notes(run, licences, missing)),
    )


def _notes(run: FinishedRun, licences: Iterable[tuple[str, str]], missing: Sequence[str]) -> Iterator[str]:
    unknown = [source for source, licence in licences if is_unknown(licence)]
    if unknown:
        yield f"the licence of {', '.join(unknown)} is unknown, and called so"
    if is_unknown(run.identities["teacher"].licence):
        yield "the licence of the teacher is unknown, and called so"
    if missing:
        options = ", ".join(f"--{name}" for name in missing)
        yield f"{FILE} says nothing of {' and '.join(missing)}, which its format wants of what is published: {options}"
