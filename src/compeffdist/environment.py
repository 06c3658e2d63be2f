"""The process environment every stage and command runs in: no telemetry, no chatter, nothing fetched unasked."""

import getpass
import logging
import os
import sys
import warnings
from pathlib import Path

NO_HOME = "/nonexistent"
"""Debian's home of those who have none."""

PRIVATE = {
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "VLLM_NO_USAGE_STATS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "DVC_NO_ANALYTICS": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}
QUIET = {
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",  # libraries draw bars of their own beside ours
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # else a line for each table of a new store
}
SPINS, WAITING = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
"""How often a thread of PyTorch's looks whether the others are done before it sleeps, and whether it does at all."""
FEW_SPINS = "20000"
"""A tenth of a millisecond or so. OpenMP's own 300,000 take a core from what the thread waits for wherever other
processes run: on two cores with ten at work, a forward pass of a small model took six times as long as by 1,000. Where
nothing else runs, 20,000 cost a training nothing, and 1,000 some 5%."""
LOOPBACK_NAMES = (
    *("localhost", "localhost.localdomain", "localhost4", "localhost4.localdomain4"),
    *("localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback"),
)
"""What systems call their loopback addresses."""
THIS_MACHINE = (*LOOPBACK_NAMES, "127.0.0.1", "127.0.0.0/8", "::1", "0.0.0.0")
"""Addresses that never go through a proxy; 127.0.0.1 also by itself, as not all clients read networks."""
KEY_LOG = "SSLKEYLOGFILE"
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
"""Variables that name a proxy, in lower or upper case."""


def name_user() -> None:
    """Give a process that runs under a number without a name (no entry in /etc/passwd) one, and NO_HOME if it has no
    home: libraries ask for both in passing, and end where there is neither."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = NO_HOME


def drop_broken_key_log() -> None:
    """Go on without SSLKEYLOGFILE, a debugger's log, where it cannot be written: libraries open it as they are
    imported, whether they encrypt anything or not, and end there."""
    if not (path := os.environ.get(KEY_LOG)):
        return
    try:
        with Path(path).open("ab"):
            pass
    except (OSError, ValueError) as error:
        del os.environ[KEY_LOG]
        why = error.strerror if isinstance(error, OSError) else "not a path"
        print(f"warning: {KEY_LOG} is left out: {why}: {path!r}", file=sys.stderr)


def quiet() -> None:
    """Set what is not set already; telemetry is switched off whatever was set."""
    name_user()
    drop_broken_key_log()
    os.environ.update(PRIVATE)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if WAITING not in os.environ:
        os.environ.setdefault(SPINS, FEW_SPINS)
    # it has two lines on a home that it cannot keep its fonts in
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    bypass_proxies(*THIS_MACHINE)


def bypass_proxies(*hosts: str) -> None:
    """Have requests to these hosts go there directly, in this process and those it starts, where a proxy is set. A
    proxy for the outside must not see what is said to servers on this machine, and could not reach them."""
    if not any(value for name, value in os.environ.items() if name.lower() in PROXIES):
        return  # to set NO_PROXY alone would hide the proxies of a system's own settings
    said = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    known = [host.strip() for host in said.split(",") if host.strip()]
    if "*" not in known:
        # clients differ in which of the two they read
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*known, *hosts]))
