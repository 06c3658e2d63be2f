"""Promotions that die at a place of their choosing."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from compeffdist.params import Params
from compeffdist.promotion import alias_state, mutex
from compeffdist.promotion import promote as promotion
from tests.stages import ROOT

KILLED = """
import os, signal, sys
from compeffdist.params import Params
from compeffdist.promotion.promote import promote
from tests.promotion.killing import dying

params = Params.model_validate_json(sys.stdin.read())
dying(sys.argv[1], lambda *_: os.kill(os.getpid(), signal.SIGKILL), setattr)
promote(int(sys.argv[2]), params, lambda version: [])
"""


class Died(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def dying(place: str, die: Callable[..., Any], change: Callable[[Any, str, Any], None]) -> None:
    """Arrange for `die` to be called at `place` of a promotion."""
    point = alias_state._point

    def before_champion(client: Any, name: str, alias: str, version: int | None) -> None:
        die() if alias == alias_state.CHAMPION else point(client, name, alias, version)

    def after_champion(client: Any, name: str, alias: str, version: int | None) -> None:
        point(client, name, alias, version)
        if alias == alias_state.CHAMPION:
            die()

    target, name, replacement = {
        "before the entry": (promotion.Ledger, "append", die),
        "before the aliases": (promotion, "apply_ledger", die),
        "between the aliases": (alias_state, "_point", before_champion),
        "before the tags": (alias_state, "_point", after_champion),
    }[place]
    change(target, name, replacement)


def abandoned_promotion(place: str, version: int, params: Params) -> None:
    """Leave all as a killed process would, its mutex included, without the seconds that a process takes to start."""
    done = subprocess.Popen(["true"])
    done.wait()
    holder = replace(mutex._this_process(), pid=str(done.pid))

    def die(*_: object) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        dying(place, die, patch.setattr)
        patch.setattr(mutex, "_this_process", lambda: holder)
        patch.setattr(mutex.Mutex, "release", lambda self: None)
        with pytest.raises(Died):
            promotion.promote(version, params, lambda version: [])


def killed_promotion(place: str, version: int, params: Params) -> None:
    """Promote in a process that is killed (-9) at a place."""
    command = [sys.executable, "-c", KILLED, place, str(version)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command, input=params.model_dump_json(), text=True, env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
