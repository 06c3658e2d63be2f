"""A Ray cluster for as long as a block lasts: one that runs already is joined, or one of this machine alone is started.

One that is started here listens on 127.0.0.1, takes only who has its token, and ends with the block or with the process
that opened it, however that happens (`head`). In one that runs already nothing is started or ended but our replicas,
which end with this process.
"""

import importlib
import json
import logging
import math
import os
import secrets
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import compeffdist
from compeffdist.credentials import KEY_VARIABLE
from compeffdist.errors import UserError, one_line
from compeffdist.params import RuntimeParams

START_SECONDS = 180.0
"""How long Ray may take to be there: 6 to 20 on two cores."""
END_SECONDS = 120.0
"""For its head to end all others: ended itself, it would leave them."""
HERE_ALONE = {
    # the one switch that has Ray take the loopback address for this machine's
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
}
CPU, GPU = "CPU", "GPU"
TINY = 1e-9


@contextmanager
def ray_session(runtime: RuntimeParams) -> Iterator[Any]:
    """The library Ray, connected to the cluster at `runtime.ray_address` or to one of its own.

    Raises:
        UserError: Ray is not installed, cannot be started or joined, or has less than the replicas want.
    """
    if runtime.ray_address:
        with _joined(_library(), runtime.ray_address) as ray:
            yield ray
        return
    if sys.platform != "linux":
        raise UserError("runtime.executor ray: Ray is started here on Linux alone; set runtime.executor to local")
    wanted = HERE_ALONE | {"RAY_AUTH_TOKEN": _token()}
    if "ray" in sys.modules and any(os.environ.get(name) != value for name, value in wanted.items()):
        raise RuntimeError("Ray was imported before it could be told to stay on this machine, which it reads then")
    os.environ.update(wanted)
    library = _library()
    with _started(runtime) as address, _joined(library, address) as ray:
        _check_room(ray.cluster_resources(), runtime)
        yield ray


def replica_options(ray: Any, runtime: RuntimeParams) -> dict[str, Any]:
    """What Ray is told to reserve for a replica: `runtime.replica_resources`, or a CPU and, if it has any, a GPU."""
    wanted = _wanted(ray.cluster_resources(), runtime)
    return {"num_cpus": wanted.pop(CPU, 0), "num_gpus": wanted.pop(GPU, 0), "resources": wanted, "max_restarts": 0}


def _wanted(there: Mapping[str, float], runtime: RuntimeParams) -> dict[str, float]:
    return dict(runtime.replica_resources) or ({CPU: 1.0, GPU: 1.0} if there.get(GPU) else {CPU: 1.0})


def _check_room(there: Mapping[str, float], runtime: RuntimeParams) -> None:
    """Raises UserError if this machine has not what all replicas want. One that was joined may yet grow."""
    for name, each in _wanted(there, runtime).items():
        room = there.get(name, 0.0)
        if name == GPU and 0 < each < 1:  # a part is of one GPU
            room *= int(1 / each + TINY) * each
        if each * runtime.replicas > room + TINY:
            raise UserError(
                f"runtime.replicas: {runtime.replicas} want {each:g} {name} each, and this machine has "
                f"{there.get(name, 0.0):g}: have fewer, or less of it in runtime.replica_resources"
            )


def ray_version() -> str:
    """Of the package Ray, without loading it. Raises UserError if it is not installed."""
    try:
        return metadata.version("ray")
    except metadata.PackageNotFoundError:
        raise UserError(
            "runtime.executor is ray, which is not installed: pip install '.[ray]' in the checkout, or set it to local"
        ) from None


def _library() -> Any:
    ray_version()
    return importlib.import_module("ray")


@cache
def _token() -> str:
    """For every cluster that this process starts: Ray's library reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _joined(ray: Any, address: str) -> Iterator[Any]:
    try:
        ray.init(
            address=address,
            namespace=f"compeffdist-{secrets.token_hex(8)}",
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except Exception as error:  # of many types
        ray.shutdown()
        raise UserError(
            f"runtime.ray_address: {address} cannot be joined: {one_line(error, 300)}; is this machine a node of it, "
            "by the same Ray, and its token this one's (RAY_AUTH_TOKEN)?"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _started(runtime: RuntimeParams) -> Iterator[str]:
    """The address of a cluster of this machine, for this block."""
    # a replica's share of the cores is a matter of bookkeeping: that they exist keeps none of it from being placed
    cores = max(len(os.sched_getaffinity(0)), runtime.replicas * runtime.replica_resources.get(CPU, 1.0))
    source = str(Path(compeffdist.__file__).parents[1])
    paths = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    known = {name: value for name, value in os.environ.items() if not name.startswith((KEY_VARIABLE, "RAY_ADDRESS"))}
    head = subprocess.Popen(
        [sys.executable, "-m", "compeffdist.executor.head", str(math.ceil(cores))],
        env=known | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for this process, which ends the others
    )
    assert head.stdin is not None and head.stdout is not None
    try:
        there = select.select([head.stdout], [], [], START_SECONDS)[0]
        said = json.loads(head.stdout.readline() or b"{}") if there else {"failed": f"not within {START_SECONDS:g} s"}
        if "address" not in said:
            raise UserError(f"runtime.executor ray: Ray cannot be started: {said.get('failed', 'its process ended')}")
        yield said["address"]
    finally:
        head.stdin.close()
        try:
            head.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            head.kill()
            head.wait()
        head.stdout.close()
