"""What memory and disk the stages of a plan need, each and in all, and what that is told by.

`measured`: it took so much when it ran last with these settings. `estimated`: by the sizes of the models, the params
and what the stage does with them. `unknown`: neither can be said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from compeffdist.costs.amounts import GIB, NOTHING, UNKNOWN, Amount, largest
from compeffdist.costs.disk import ROLES, Filled, disk_of
from compeffdist.costs.memory import STUDENT_LOADING, model_memory, server_memory
from compeffdist.costs.plan import FEWEST_MEASURED, Planned, last_run
from compeffdist.costs.shapes import recorded_teacher, shape_of
from compeffdist.files import home_path
from compeffdist.lineage.repository import LOCK, Lock
from compeffdist.params import Params
from compeffdist.peaks import last_took
from compeffdist.teacher.store import answer_count

ANSWER_BYTES = 2000
"""That an answer takes in the response store with its question, where it has none yet to tell by."""
ASKER = 0.25 * GIB
"""What a process holds that asks a server, which holds far more."""


@dataclass(frozen=True)
class Need:
    """Of one stage that will run, or may."""

    stage: str
    memory: Amount
    """Resident at the peak, a teacher's server that runs beside it included; `dvc` itself (0.1 GiB) is not."""
    without_teacher: Amount
    """The same if no answer has to be bought after all."""
    disk: Filled


def needs(planned: Sequence[Planned], params: Params, status: Mapping[str, Any]) -> list[Need]:
    """What each stage of a plan needs, in their order.

    Args:
        status: what `plan.stale` says.

    Raises:
        UserError: an artefact, the store or a record cannot be read.
    """
    shapes = {role: shape_of(role, params) for role in ROLES}
    last, before, recorded = last_run(), _made_before(status), recorded_teacher(params) is not None
    each, serves, fetched = _bytes_of_an_answer(params), False, False
    found = []
    for one in planned:
        name = one.stage.name
        buys = one.asking is not None and one.asking.to_buy > 0
        fetches = not fetched and (buys if recorded else name == "resolve_models")
        fetched = fetched or fetches
        serves = buys or (serves and name not in STUDENT_LOADING)
        took = last_took(one.stage, params)
        bought = Amount(one.asking.to_buy * each.bytes, each.basis) if one.asking is not None and buys else NOTHING
        disk = disk_of(
            name,
            params,
            shapes,
            last,
            made=took.made if took is not None else before.get(name),
            bought=bought,
            fetches_teacher=fetches,
        )
        if took is not None:
            memory = Amount(took.memory, "measured")
        else:
            memory = model_memory(name, params, shapes["student"], shapes["embedder"])
        alone = memory
        if serves and (params.teacher.engine == "vllm" or (buys and took is None)):
            server = server_memory(params, shapes["teacher"])
            if memory == UNKNOWN and one.asking is not None and server.bytes:
                memory = Amount.estimated(ASKER)
            memory += server
        found.append(Need(name, memory, alone, disk))
    return found


def most(found: Sequence[Need]) -> tuple[Amount, Amount]:
    """Memory and disk at the peak of the whole run, in which stages follow each other and what they keep adds up."""
    before = accumulate((need.disk.kept for need in found), initial=NOTHING)
    return largest(need.memory for need in found), largest(
        kept + need.disk.at_most for kept, need in zip(before, found, strict=False)
    )


def _bytes_of_an_answer(params: Params) -> Amount:
    """In the response store, by those that are there."""
    store = home_path(params.runtime.store)
    count = answer_count(store) if store.exists() else 0
    size = store.stat().st_size / count if count >= FEWEST_MEASURED else ANSWER_BYTES
    return Amount.estimated(size)


def _made_before(status: Mapping[str, Any]) -> dict[str, int]:
    """Stage -> bytes of its outs in the run that dvc.lock is of, where no param of it changed since."""
    path = Path(LOCK)
    if not path.exists() or _params_changed(status.get("resolve_models")):
        return {}
    lock = Lock(path.read_text(encoding="utf-8"), (LOCK,))
    sizes = {name: [out.size for out in stage.outs] for name, stage in lock.stages.items()}
    return {
        name: sum(size or 0 for size in found)
        for name, found in sizes.items()
        if None not in found and not _params_changed(status.get(name))
    }


def _params_changed(entry: Any) -> bool:
    return any(
        isinstance(part, dict) and "params.yaml" in part.get("changed deps", {})
        for part in (entry if isinstance(entry, list) else [])
    )
