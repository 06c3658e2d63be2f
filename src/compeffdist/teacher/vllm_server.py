"""vLLM's OpenAI-compatible server, so started that none of its processes outlives the one that began it.

vLLM's engine core and workers go on at full load when the server is killed outright. So each process asks the kernel to
be killed with its parent: this module is `__main__` of the server and, because workers are spawned (not forked), is
imported first thing as `__mp_main__` in each of them. Linux only.

    python -m compeffdist.teacher.vllm_server --model FOLDER … (as vllm.entrypoints.openai.api_server)
"""

import argparse
import ctypes
import os
import runpy
import signal
import sys

from compeffdist.precision import affordable_dtype

PARENT_VARIABLE = "COMPEFFDIST_PARENT_PID"
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; leave at once if it has ended already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ.get(PARENT_VARIABLE, "-1")):
        os._exit(1)
    os.environ[PARENT_VARIABLE] = str(os.getpid())


def main() -> None:
    """Set what must stand before vLLM is imported, then run its server with our arguments."""
    os.environ |= {"VLLM_WORKER_MULTIPROC_METHOD": "spawn", "HF_HUB_OFFLINE": "1"}
    os.environ |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--cpu-kv-cache-bytes", required=True)
    own, arguments = parser.parse_known_args()
    from vllm.platforms import current_platform

    on_cpu = current_platform.is_cpu()
    defaults = [f"--dtype={affordable_dtype(own.dtype, on_cpu)}"]
    if on_cpu:
        # compiling costs more at the start than it saves in a run of minutes
        defaults += ["--enforce-eager", f"--kv-cache-memory-bytes={own.cpu_kv_cache_bytes}"]
        # only whole blocks are shared between prompts; the default of 128 tokens is as long as many prompts
        defaults.append("--block-size=32")
        # by default vLLM binds to one thread a core and leaves one out: half of a small machine
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, sorted(os.sched_getaffinity(0)))))
    sys.argv[1:] = [*defaults, *arguments]
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")


if __name__ in ("__main__", "__mp_main__"):
    die_with_parent()

if __name__ == "__main__":
    main()
