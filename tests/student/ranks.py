"""Several processes that train together in a test, without a launcher: forked from one that has the libraries."""

import os
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def in_processes(count: int, folder: Path, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `work(*arguments)` returns in each of `count` processes of one gloo group; `folder` is where they meet."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["compeffdist.student.trainer", "peft"])
    folder.mkdir()
    pipes = [context.Pipe(duplex=False) for _ in range(count)]
    started = [
        context.Process(target=_rank, args=(rank, count, folder, sender, work, arguments), daemon=True)
        for rank, (_, sender) in enumerate(pipes)
    ]
    try:
        for process in started:
            process.start()
        for _, sender in pipes:
            sender.close()
        return [receiver.recv() for receiver, _ in pipes]
    finally:
        for process in started:
            process.kill()
            process.join()


def _rank(
    rank: int, count: int, folder: Path, sender: Connection, work: Callable[..., Any], arguments: Sequence[Any]
) -> None:
    import torch
    from torch import distributed

    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "OMP_NUM_THREADS": 1}
    os.environ.update({name: str(value) for name, value in names.items()} | {"GLOO_SOCKET_IFNAME": "lo"})
    torch.set_num_threads(1)
    store = distributed.FileStore(str(folder / "store"), count)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=count)
    sender.send(work(*arguments))
    distributed.barrier()
