"""Everything that is looked at, in the order in which a run would need it."""

from collections.abc import Iterator
from functools import partial

from compeffdist.doctor import inputs, machine, places
from compeffdist.doctor.finding import Finding, found
from compeffdist.doctor.online import online
from compeffdist.errors import UserError
from compeffdist.models import cache_folder
from compeffdist.params import Params, load_params


def look(ask_network: bool) -> Iterator[Finding]:
    """The findings. What cannot be looked at for want of params is left out: their own fault stands first."""
    yield from found("python", machine.python)
    for name in ("memory", "cores", "gpu"):
        yield from found(name, getattr(machine, name))
    params: Params | None = None
    try:
        params = load_params()
        yield Finding("params", "ok", f"params.yaml: profile {params.profile}")
    except UserError as error:
        yield Finding("params", "fault", str(error), "mend params.yaml")
    if params is not None:
        yield from _named(params)
    yield from found("git", places.git)
    yield from found("dvc", places.dvc)
    yield from found("mlflow", places.mlflow)
    if ask_network and params is not None:
        yield from found("network", partial(online, params))


def _named(params: Params) -> Iterator[Finding]:
    cache = cache_folder(params.runtime.cache)
    yield from found("disk", lambda: machine.disk(inputs.writable_folders(params, cache)))
    yield from found("processes", lambda: machine.processes(params.runtime))
    yield from found("executor", lambda: machine.executor(params.runtime))
    yield from found("compiler", lambda: machine.compiler(params.teacher.engine))
    yield from found("domain", lambda: inputs.domain(params))
    yield from found("teacher", lambda: inputs.teacher(params))
    yield from found("models", lambda: inputs.models(params, cache))
    yield from found("texts", lambda: inputs.texts(params, cache))
    yield from found("store", lambda: places.store(params))
