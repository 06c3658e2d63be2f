"""Rows of the exported data set: triplets joined by id with what they were made from and how they were chosen.

Columns of Arrow all the way: of 100,000 triplets the joins are lookups of ids, and nothing becomes an object a row.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from compeffdist.artefacts import CLUSTERS, INSTRUCTIONS, PAIRS, SAMPLED, SCORED, TEXTS, TRAINING, TRIPLETS
from compeffdist.errors import UserError
from compeffdist.measures.registry import MEASURES, RANKING
from compeffdist.publishing.finished import FinishedRun

if TYPE_CHECKING:
    import pyarrow as pa

TRAINING_ROWS, SCORED_ROWS = "training", "scored"
"""The configurations of the data set."""
READ = (TEXTS, CLUSTERS, INSTRUCTIONS, PAIRS, TRIPLETS, SCORED, SAMPLED, TRAINING)
"""The artefacts that rows are joined from."""

_TRIPLET = {
    "id": "of the row: a hash of what it is, the ids of instruction, text and teacher among them",
    "prompt": "the user message: the instruction with the text in place",
    "response": "the teacher's answer, parsed and checked: what a student is to write",
    "task_name": "the task that the instruction states",
    "task_type": "closed_classification, open_classification, scoring, extraction, structured or analysis",
    "labels": "what could be answered, where the teacher weighed each label; else empty",
    "probabilities": "of labels, calibrated as the response was; else empty",
    "monitored": "the teacher's answer on this text to the one question asked of all texts",
}
_TEXT = {
    "text": "the user's text, normalised and cut",
    "text_id": "of the text: a hash of it",
    "domain": "the group of texts that the draw was balanced over",
    "source": "where the text is from, see the sources",
    "source_row": "its row there: the source's own id of it, or its number",
    "licence": "of the source, as the run was told",
}
_PARENTS = {
    "instruction_id": "of the instruction: task and demonstrations",
    "task_id": "of the task",
    "perspective_id": "of the cluster of attributes that the task was written for; empty for a user's own task",
    "perspective": "the attribute that most texts name of that cluster",
    "pair_id": "of instruction and text",
    "pairing": "how the two met: random, matched or own",
    "teacher_id": "of the teacher: a hash of its weights and settings",
    "decoding_id": "of how it was asked",
    "answer_id": "of its raw answer in the response store",
}
_DRAW = {
    "difficulty": "what the sampler ranked the row by, larger is harder",
    "rank": "in its group, easiest first; 0: the teacher was too unsure, not to be drawn",
    "group_size": "rows in that group; 0 where there is no rank",
    "inclusion_probability": "with which the sampler kept it",
    "kept": "whether it did",
}
_SCORE = {
    "score_id": "of the scores: of the row under the warmed-up student",
    RANKING: "ranking score: how far down a warmed-up student ranks the response's tokens, 0 to 1",
    **{name: f"difficulty measure: {measure.title}" for name, measure in MEASURES.items()},
}
COLUMNS: Mapping[str, str] = _TRIPLET | _TEXT | _PARENTS | _DRAW | _SCORE
"""Name -> what it holds, in the order of the columns. What a row has no value of is null."""


def rows_of(run: FinishedRun, config: str) -> "pa.Table":
    """The rows of one configuration: those the student was trained on, or all triplets there are with scores. Raises
    UserError if an artefact is not here, or there are no rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    tables: dict[str, pa.Table] = {path: _table(run, path) for path in READ}
    if config == TRAINING_ROWS:
        triplets = tables[TRAINING]
        wanted = pa.array(run.trained_rows(), pa.string())
        triplets = triplets.filter(pc.is_in(triplets["id"], value_set=wanted))
    else:
        triplets = tables[TRIPLETS]
        triplets = triplets.filter(pc.is_in(triplets["id"], value_set=tables[SCORED]["triplet_id"]))
    if not len(triplets):
        raise UserError(f"the run has no {config} rows: nothing to export")

    def beside(
        path: str, names: Mapping[str, str], own: str, key: str = "id", among: "pa.Table" = None
    ) -> dict[str, object]:
        """Columns, new name -> name, of the records of `path` whose `key` is the column `own` of ours."""
        other, ours = tables[path], (triplets if among is None else among)[own]
        places = pc.index_in(ours, value_set=other[key])
        return {new: other[name].combine_chunks().take(places) for new, name in names.items()}

    def same(names: Iterable[str]) -> dict[str, str]:
        return {name: name for name in names}

    texts = beside(TEXTS, same(name for name in _TEXT if name != "text_id"), "text_id")
    made_for = beside(INSTRUCTIONS, same(["task_id", "perspective_id"]), "instruction_id")
    head = beside(CLUSTERS, {"perspective": "member_names"}, "perspective_id", among=pa.table(made_for))["perspective"]
    found = {
        **{name: triplets[name] for name in (*_TRIPLET, *_PARENTS, "text_id") if name in triplets.column_names},
        **texts,
        **made_for,
        "perspective": pc.list_element(head, 0),
        **beside(PAIRS, {"pairing": "method"}, "pair_id"),
        **beside(SAMPLED, same(_DRAW), "pair_id", "pair_id"),
        **beside(SCORED, {name: "id" if name == "score_id" else name for name in _SCORE}, "id", "triplet_id"),
    }
    return pa.table({name: found[name] for name in COLUMNS})


def _table(run: FinishedRun, path: str) -> "pa.Table":
    run.file(path)
    table = run.snapshot.table(path)
    if table is None:
        raise UserError(f"{path}: another version of this code wrote it: run: dvc repro, then commit")
    return table.whole


def stated_licences(rows: Mapping[str, "pa.Table"]) -> list[tuple[str, str]]:
    """(source, licence) of the texts that some rows are on, sorted."""
    pairs = (zip(table["source"].to_pylist(), table["licence"].to_pylist(), strict=True) for table in rows.values())
    return sorted({pair for found in pairs for pair in found})
