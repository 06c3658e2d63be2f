"""The machine: Python and the pinned packages, disk, memory, cores and their instructions, the GPU."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from compeffdist import precision
from compeffdist.doctor.finding import Finding
from compeffdist.executor.session import ray_version
from compeffdist.params import RuntimeParams
from compeffdist.student.together import check_processes, threads_each

PYTHON = (3, 11)
REQUIREMENTS = ("requirements.txt", "requirements-vllm.txt")
NAMED = 4
"""Packages that a line names."""
GIB = 1 << 30
LEAST_DISK, ENOUGH_DISK = 1 * GIB, 10 * GIB
"""With less than the first nothing can be written; the default run needs some 6 GiB, models of its teacher included."""
ENOUGH_MEMORY = 9 * GIB
"""What the default teacher's server holds while it is asked; training the default student takes 8 GiB."""
INSTRUCTIONS = {"bf16": "BF16", "amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "avx512f": "AVX512", "avx2": "AVX2"}
"""Flags of a CPU -> what they are called; the better first."""
SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")


def python() -> Iterator[Finding]:
    """The interpreter, and packages that are not those of requirements.txt."""
    own = ".".join(map(str, sys.version_info[:3]))
    right = sys.version_info[:2] == PYTHON
    advice = "" if right else "the pins are for Python 3.11: make PYTHON=/path/to/python3.11 setup"
    yield Finding("python", "ok" if right else "fault", f"{own} in {sys.prefix}", advice)
    other = []
    for name, wanted in _pins():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            version = "none"
        if version.partition("+")[0] != wanted:
            other.append(f"{name} {version} (pinned {wanted})")
    told = f"{', '.join(other[:NAMED])}{f' and {len(other) - NAMED} more' if len(other) > NAMED else ''}"
    if other:
        yield Finding("packages", "note", f"not as pinned: {told}", "make setup, or know why")
    elif Path(REQUIREMENTS[0]).exists():
        yield Finding("packages", "ok", "as requirements.txt pins them")


def _pins() -> Iterator[tuple[str, str]]:
    for file in map(Path, REQUIREMENTS):
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
            if pin := re.match(r"([\w.-]+)(?:\[[^]]*\])?==([\w.!]+)\s*(?:#.*)?$", line.strip()):
                yield pin[1], pin[2]


def disk(folders: dict[str, Path]) -> Iterator[Finding]:
    """Whether each folder can be written to; free space there, folders of one file system once."""
    seen: set[int] = set()
    for what, folder in folders.items():
        here = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(here, os.W_OK):
            yield Finding("disk", "fault", f"{here} ({what}) may not be written to", "run as its owner, or move it")
            continue
        device = here.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        free = shutil.disk_usage(here).free
        if free < LEAST_DISK:
            yield Finding("disk", "fault", f"{_gib(free)} free in {here} ({what})", "free some")
        elif free < ENOUGH_DISK:
            yield Finding("disk", "note", f"{_gib(free)} free in {here} ({what})", "the default run may need 6 GiB")
        else:
            yield Finding("disk", "ok", f"{_gib(free)} free in {here} ({what})")


def memory() -> Iterator[Finding]:
    """What is available, and a bound that a container sets."""
    free, whole, bound = _memory()
    told = f"{_gib(free)} free of {_gib(whole)}{f', a container bounds it to {_gib(bound)}' if bound else ''}"
    few = free_memory() < ENOUGH_MEMORY
    advice = "the default run takes some 8 GiB, 9 while its teacher is asked: end other programs, or profile smoke"
    yield Finding("memory", "note" if few else "ok", told, advice if few else "")


def free_memory() -> int:
    """Bytes that a process may still take, a container's bound kept."""
    free, _, bound = _memory()
    return min(free, bound) if bound else free


def _memory() -> tuple[int, int, int]:
    """Bytes available, in all, and allowed by a container (0: no bound)."""
    table = dict(re.findall(r"^(\w+):\s+(\d+) kB$", Path("/proc/meminfo").read_text(encoding="ascii"), re.MULTILINE))
    return int(table["MemAvailable"]) << 10, int(table["MemTotal"]) << 10, _container_bound()


def _container_bound() -> int:
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            said = Path(file).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if said.isdigit() and int(said) < 1 << 50:
            return int(said)
    return 0


def cores() -> Iterator[Finding]:
    """Cores this process may use, what else runs on them, and the instructions that matter here."""
    usable = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    busy = load > 1.5 * usable
    told = f"{usable} of {os.cpu_count()} usable, load {load:.1f}"
    yield Finding("cores", "note" if busy else "ok", told, "other work runs: times will be longer" if busy else "")
    flags = set(re.findall(r"[\w.]+", next(iter(_flags()), "")))
    has = [name for flag, name in INSTRUCTIONS.items() if flag in flags]
    native = bool(precision.INSTRUCTIONS["bfloat16"] & flags)
    told = ", ".join(has) or "no AVX2"
    if native:
        yield Finding("instructions", "ok", f"{told}: bfloat16 is computed as such")
    else:
        yield Finding(
            "instructions", "note", f"{told}: none for bfloat16", "models compute in float32, twice the memory"
        )


def processes(runtime: RuntimeParams) -> Iterator[Finding]:
    """Whether as many processes can train here as are asked for, and what each has; nothing of a single one."""
    count, device = runtime.processes, precision.resolve_device(runtime.device)
    if count == 1:
        return
    check_processes(count, device)
    usable = len(os.sched_getaffinity(0))
    told = f"{count} train together on {device}, {threads_each(count)} thread(s) each"
    many = device == "cpu" and count > usable
    advice = f"only {usable} cores are usable: set runtime.processes to that at most" if many else ""
    yield Finding("processes", "note" if many else "ok", told, advice)


def executor(runtime: RuntimeParams) -> Iterator[Finding]:
    """Whether there is the Ray that is to place replicas; nothing without one."""
    if runtime.executor == "ray":
        where = f"that runs at {runtime.ray_address}" if runtime.ray_address else "started here"
        yield Finding("executor", "ok", f"ray {ray_version()}, {where}, places {runtime.replicas} replica(s)")


def _flags() -> list[str]:
    said = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return re.findall(r"^(?:flags|Features)\s*:(.*)$", said, re.MULTILINE)


def gpu() -> Iterator[Finding]:
    """NVIDIA's, as its own tool tells; whether torch was built for one."""
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = ""
    tool = shutil.which(SMI[0])
    if tool is None:
        yield Finding("gpu", "ok", "none: everything runs on the CPU")
        return
    try:
        done = subprocess.run([tool, *SMI[1:]], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        yield Finding("gpu", "fault", "nvidia-smi does not answer", "the driver hangs, or was updated: restart")
        return
    if done.returncode:
        yield Finding("gpu", "note", "nvidia-smi is here and sees no GPU", "mend the driver, or go on without")
        return
    told = "; ".join(done.stdout.strip().splitlines())
    cpu_only = torch.endswith("+cpu")
    advice = "torch is its build for CPUs: install the one for CUDA" if cpu_only else ""
    yield Finding("gpu", "note" if cpu_only else "ok", told, advice)


def compiler(engine: str) -> Iterator[Finding]:
    """A C compiler, which a vLLM server on a CPU compiles its kernels with."""
    name = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), "")
    if name:
        yield Finding("compiler", "ok", name)
    elif engine == "vllm":
        yield Finding("compiler", "fault", "no C compiler", "install gcc: engine vllm needs it")
    else:
        yield Finding("compiler", "note", "no C compiler", "engine vllm would need gcc")


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
