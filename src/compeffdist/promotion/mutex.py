"""One promotion of a model at a time, whatever machine it is done from.

MLflow has no compare-and-set, but the name of a registered model is unique in its database, so creating one either
succeeds or says that it is there. The mutex of `NAME` is a registered model `NAME.promotion-lock` without versions,
which exists while a promotion runs; its tags say who holds it.

A holder that was killed leaves it behind. One of this machine is known to be gone and its mutex is removed at the
next command; one of another machine cannot be asked, and counts as gone after `GONE_SECONDS`, or as soon as somebody
who knows says so (`break_mutex`). Removing is done under a mutex of its own and looks again first: of two who find
the same dead holder, neither removes the other's mutex.

Should the holder be at work after all, it finds its mutex taken before it writes and changes nothing. What is left is
the moment between that look and its entry: two entries then follow the same one, in two checkouts; the registry has
the later, and the other checkout is told that its ledger is not the registry's.
"""

import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from compeffdist.errors import UserError
from compeffdist.ledger import utc_now, who
from compeffdist.processes import ProcessId, process_id
from compeffdist.registry.tracking import found_or_none, is_missing

if TYPE_CHECKING:
    from mlflow import MlflowClient

SUFFIX, REMOVAL = ".promotion-lock", "-removal"
GONE_SECONDS = 2 * 3600
"""Age at which the mutex of another machine is taken over; evaluating a champion again takes minutes."""
CLOCKS_DIFFER = 300
"""Seconds that clocks may be apart without a word."""
KEY_CHARACTERS = 8
ATTEMPTS = 5
"""Tries to create it, each followed by finding it released again."""

Notify = Callable[[str], None]
"""Takes a line the user should see."""


@dataclass(frozen=True)
class Holder:
    """Who holds a mutex; the fields are its tags."""

    token: str
    """Of this one use."""
    who: str
    at: str
    host: str
    scope: str
    """Within which process numbers mean something: this boot of the machine and this container."""
    pid: str
    started: str
    """When the process started, in clock ticks since boot, which tells it from a later one of the same number."""

    @property
    def key(self) -> str:
        """What names this use in a message, and what `break_mutex` asks for."""
        return self.token[:KEY_CHARACTERS]

    def line(self) -> str:
        """Who, since when and where."""
        return f"{self.who} has been promoting since {self.at} (process {self.pid} on {self.host})"

    @property
    def here(self) -> bool:
        """Whether this process can look for the holder's."""
        return bool(self.scope) and self.scope == _scope() and self.pid.isdigit() and self.started.isdigit()

    def is_gone(self, age: float) -> bool:
        """Whether the holder cannot be at work any more; `age` of its mutex in seconds."""
        if not self.here:
            return age > GONE_SECONDS
        return not ProcessId(int(self.pid), int(self.started)).alive()


class Mutex:
    """The mutex `name`, held while a with block runs; `notify` is told if one of a process that left was removed."""

    def __init__(self, client: "MlflowClient", name: str, notify: Notify) -> None:
        self._client, self._name, self._notify = client, name, notify
        self._token = ""

    def __enter__(self) -> Self:
        own = _this_process()
        self._token = own.token
        for _ in range(ATTEMPTS):
            if self._create(own):
                return self
            found = self.holder()
            if found is None:  # given back in between
                continue
            holder, age = found
            if holder.token == own.token:  # an HTTP client tried again after a request that had succeeded
                return self
            if not holder.is_gone(age):
                raise UserError(_advice(holder, age))
            self.remove(holder)
        raise UserError(f"{self._name}: others keep taking it; try again")

    def __exit__(self, *_: object) -> None:
        self.release()

    def held(self) -> bool:
        """Whether it still is ours: another machine takes it over after `GONE_SECONDS`."""
        found = self.holder()
        return found is not None and found[0].token == self._token

    def holder(self) -> tuple[Holder, float] | None:
        """Who holds it, and its age in seconds; none if it is free. Raises MlflowException if that cannot be asked."""
        model = found_or_none(self._client.get_registered_model, self._name)
        if model is None:
            return None
        holder = Holder(**{field: model.tags.get(field, "unknown") for field in Holder.__dataclass_fields__})
        return holder, time.time() - model.creation_timestamp / 1000

    def release(self) -> None:
        """Give it back. If the store has gone away it stays, and is removed as that of a process that left."""
        from mlflow import MlflowException

        with suppress(MlflowException):
            if self.held():
                self._client.delete_registered_model(self._name)

    def remove(self, gone: Holder) -> None:
        """Remove it if a process that left still holds it."""
        with Mutex(self._client, f"{self._name}{REMOVAL}", self._notify):
            found = self.holder()
            if found is not None and found[0].token == gone.token:
                self._client.delete_registered_model(self._name)
                left = f"left by {gone.who} (process {gone.pid} on {gone.host}) at {gone.at}"
                self._notify(f"repaired: removed {self._name}, {left}")

    def _create(self, own: Holder) -> bool:
        """Whether it was free and now is ours."""
        from mlflow import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

        try:
            self._client.create_registered_model(self._name, tags=asdict(own), description="A promotion is under way.")
        except MlflowException as error:
            # MLflow looks the existing one up to word its refusal, and finds none if it was given back in between
            if error.error_code == ErrorCode.Name(RESOURCE_ALREADY_EXISTS) or is_missing(error):
                return False
            raise
        return True


def promotion_mutex(client: "MlflowClient", model_name: str, notify: Notify) -> Mutex:
    """The mutex of a model's promotions.

    Raises:
        UserError: entered while another holds it; one line saying who does, and since when.
        MlflowException: the store cannot be asked.
    """
    return Mutex(client, f"{model_name}{SUFFIX}", notify)


def current_holder(client: "MlflowClient", model_name: str) -> Holder | None:
    """Who holds the mutex of a model's promotions now. Raises MlflowException: the store cannot be asked."""
    found = promotion_mutex(client, model_name, print).holder()
    return found[0] if found else None


def break_mutex(client: "MlflowClient", model_name: str, key: str, notify: Notify) -> None:
    """Remove the mutex that a process left behind which this machine cannot look for, if `key` (`Holder.key`) names
    that use of it and not a later one; `notify` is told.

    Raises:
        UserError: nobody holds it under that key, or its process is at work on this machine.
        MlflowException: the store cannot be asked.
    """
    for suffix in (SUFFIX, f"{SUFFIX}{REMOVAL}"):
        mutex = Mutex(client, f"{model_name}{suffix}", notify)
        found = mutex.holder()
        if found is None or found[0].key != key:
            continue
        holder, age = found
        if holder.here and not holder.is_gone(age):
            raise UserError(f"{holder.line()}: that process is at work on this machine; end it first")
        return mutex.remove(holder)
    now = promotion_mutex(client, model_name, notify).holder()
    raise UserError(f"no promotion of {model_name} is under way with key {key}" + (f"; {_advice(*now)}" if now else ""))


def _this_process() -> Holder:
    itself = process_id(os.getpid())
    return Holder(
        token=uuid.uuid4().hex,
        who=who(),
        at=utc_now(),
        host=socket.gethostname(),
        scope=_scope(),
        pid=str(os.getpid()),
        started=str(itself.started) if itself else "unknown",
    )


def _scope() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip()} {Path('/proc/self/ns/pid').readlink()}" if boot.exists() else ""


def _advice(holder: Holder, age: float) -> str:
    if holder.here:
        return f"{holder.line()}; try again when that is over"
    hours = GONE_SECONDS // 3600
    ahead = f"; by the clock of this machine that begins in {-age / 3600:.1f} h" if age < -CLOCKS_DIFFER else ""
    return (
        f"{holder.line()}; try again when that is over, or, if you know that process is gone, run: compeffdist unlock "
        f"{holder.key} (it counts as gone after {hours} h{ahead})"
    )
