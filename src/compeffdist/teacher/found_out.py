"""What a stage found out of a server, kept for the run's next stages: each is a process, and would try again what is
refused. Another run finds out anew, since a server may have changed."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from compeffdist.files import atomic_file, home_path
from compeffdist.params import RuntimeParams
from compeffdist.processes import DVC_STAGE, process_id, run_process

FILE = "servers.json"
"""Beside the response store."""


def recall(runtime: RuntimeParams, server: str) -> Mapping[str, Any] | None:
    """What an earlier stage of this run left of a server; None if there is nothing that can be used."""
    found = _read(_place(runtime))
    return found["servers"].get(server) if found and found["run"] == _this_run() else None


def remember(runtime: RuntimeParams, server: str, learned: Mapping[str, Any]) -> None:
    """Keep it, in a stage that DVC runs. Where it cannot be written, the next stage finds it out again."""
    run = _this_run()
    if run is None:
        return
    place = _place(runtime)
    found = _read(place)
    servers = found["servers"] if found and found["run"] == run else {}
    with suppress(OSError), atomic_file(place) as path:
        path.write_text(json.dumps({"run": run, "servers": servers | {server: learned}}), encoding="utf-8")


def _place(runtime: RuntimeParams) -> Path:
    return home_path(runtime.store).parent / FILE


def _this_run() -> list[int] | None:
    """The `dvc` or `make` above this stage; None outside of a run."""
    run = process_id(run_process()) if os.environ.get(DVC_STAGE) else None
    return list(run) if run else None


def _read(place: Path) -> dict[str, Any] | None:
    """What another stage wrote; what cannot be read tells no more than that: it is found out again."""
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and isinstance(found.get("servers"), dict) and "run" in found
    return found if whole else None
