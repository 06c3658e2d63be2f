"""How much disk a stage will fill: what it leaves, and what it needs for a while besides.

What it leaves are its outs, once in the working folder and once in DVC's cache (where the file system can link copies
they take less), the answers it buys, models and texts that are fetched, and the registered version. For a while there
are checkpoints, two while one takes the other's place, and MLflow's own copy. Outs of a stage that ran with the same
params are as large as they were then, by the note of that run (`peaks`) or by dvc.lock; of others only folders of
weights are told, by the parameters. MLflow's database and kept scores, some MB, are left out.
"""

from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from math import ceil

from compeffdist.costs.amounts import NOTHING, UNKNOWN, Amount, total
from compeffdist.costs.expected import LastRun, expected_pairs, expected_questions
from compeffdist.costs.memory import TRAININGS, adapter_parameters, training_of
from compeffdist.costs.shapes import Shape
from compeffdist.models import cache_folder, parse_reference
from compeffdist.packages import kept_members
from compeffdist.params import FineTuningParams, Params
from compeffdist.texts.corpora import CORPORA
from compeffdist.tracking_uri import database

ROLES = ("teacher", "student", "embedder")
"""In the order in which `resolve_models` fetches them."""


@dataclass(frozen=True)
class Filled:
    """Of one stage."""

    kept: Amount
    """That stays."""
    while_it_runs: Amount
    """That goes again."""

    @property
    def at_most(self) -> Amount:
        return self.kept + self.while_it_runs


def disk_of(
    stage: str,
    params: Params,
    shapes: Mapping[str, Shape | None],
    last: LastRun,
    *,
    made: int | None,
    bought: Amount,
    fetches_teacher: bool,
) -> Filled:
    """What a stage fills.

    Args:
        made: bytes of its outs when it ran with the same params; None if that is not known.
        bought: by which the response store grows.
        fetches_teacher: whether it is the first that buys of a teacher whose weights are needed.
    """
    student = shapes["student"]
    outs = Amount(made, "measured") if made is not None else UNKNOWN
    brief = NOTHING
    if stage in TRAININGS and student is not None:
        settings = training_of(stage, params)
        if made is None and (size := _student_bytes(student, settings)) is not None:
            outs = Amount.estimated(size)
        one, at_once = _checkpoints(student, settings, params, _rows(stage, params, last))
        # all but the last are gone when the student is written, that one when DVC copies it
        most = max(at_once * one.bytes, one.bytes + outs.bytes)
        brief = Amount(max(0.0, most - 2 * outs.bytes), one.basis)
    outs += outs  # in the working folder, and in DVC's cache
    if stage == "register_student" and database() is not None:
        size = _student_bytes(student, params.training) if student is not None else None
        if student is not None and params.training.method == "lora":
            size = None if size is None else size + student.stored
        version = UNKNOWN if size is None else Amount.estimated(size)
        outs, brief = (outs if made is not None else NOTHING) + version, version
    return Filled(total([outs, bought, _fetched(stage, params, shapes, fetches_teacher)]), brief)


def _fetched(stage: str, params: Params, shapes: Mapping[str, Shape | None], fetches_teacher: bool) -> Amount:
    """What a stage downloads and keeps; how large a GGUF is before it is converted is not known."""
    if stage == "ingest_texts":
        return _texts(params)
    roles = [role for role in ROLES if role != "teacher"] if stage == "resolve_models" else []
    return total(_weights(role, params, shapes[role]) for role in (*roles, *(["teacher"] if fetches_teacher else [])))


def _weights(role: str, params: Params, shape: Shape | None) -> Amount:
    references = [parse_reference(text) for text in getattr(params.models, role).reference]
    if (shape is not None and shape.here) or references[0].scheme == "api":
        return NOTHING
    if all(reference.is_gguf for reference in references) or shape is None:
        return Amount(shape.stored if shape is not None else 0.0, "unknown")
    return NOTHING if references[0].scheme == "path" else Amount.estimated(shape.stored)


def _texts(params: Params) -> Amount:
    """Nothing where every package is in the cache."""
    named = [source.location for source in params.texts.sources if source.kind == "package"]
    named += [task.location for task in params.evaluation.tasks if not task.is_file]
    if any(source.kind == "huggingface" for source in params.texts.sources):
        return UNKNOWN
    cache = cache_folder(params.runtime.cache)
    with redirect_stderr(StringIO()):  # what is altered there is told when it is fetched again
        for name in named:
            corpus = CORPORA.get(name)
            source = corpus is not None and corpus.source_distribution
            if corpus is None or not kept_members(corpus.package, corpus.archive, cache, source_distribution=source):
                return UNKNOWN
    return NOTHING


def _student_bytes(student: Shape, settings: FineTuningParams) -> float | None:
    """Of the weights that a training writes; None of an adapter whose base is not here."""
    if settings.method == "lora":
        return 4 * adapter_parameters(student.layers, settings.lora_rank) if student.layers is not None else None
    return student.stored if settings.saved_dtype == "base" else 4 * student.parameters


def _rows(stage: str, params: Params, last: LastRun) -> float:
    """About how many rows a training has."""
    if stage == "warm_up_student":
        return min(params.warm_up.rows, expected_questions("collect_responses", params, last))
    own = params.sampling.rate if params.sampling.own_rate is None else params.sampling.own_rate
    return params.pairing.pairs * params.sampling.rate + (expected_pairs(params) - params.pairing.pairs) * own


def _checkpoints(student: Shape, settings: FineTuningParams, params: Params, rows: float) -> tuple[Amount, int]:
    """Bytes of a checkpoint, 12 a trained parameter and 4 more for an average of weights, and how many there are at
    once."""
    every = params.runtime.checkpoint_steps
    steps = ceil(rows / (settings.batch_size * settings.gradient_accumulation)) * settings.epochs
    if not every or steps <= every:
        return NOTHING, 0
    trained: float | None = student.parameters
    if settings.method == "lora":
        trained = adapter_parameters(student.layers, settings.lora_rank) if student.layers is not None else None
    if trained is None:
        return UNKNOWN, 1
    return Amount.estimated(trained * (16 if settings.average_last else 12)), 2 if steps > 2 * every else 1
