"""Starts the processes of a training by accelerate's launcher: `python -m compeffdist.student.launcher HOW`.

HOW is a JSON object that `together` makes. It does what `accelerate launch --config_file FILE -m
compeffdist.student.rank` does, except that processes find each other through a file: over TCP, torch's store listens to
every interface, without a password. It says nothing itself; which processes failed goes to standard output.
"""

import json
import logging
import os
import sys
from pathlib import Path

from compeffdist.environment import quiet
from compeffdist.processes import ProcessId, end_with, process_id

COPIES, DIVIDED = (Path(__file__).with_name(f"{name}.yaml") for name in ("copies", "divided"))
"""Configurations of accelerate: each process has a copy of the weights, or they are divided among them."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def main() -> None:
    how = json.loads(sys.argv[1])
    end_with(ProcessId(*how["above"]))
    told, sys.stdout = sys.stdout, sys.stderr
    quiet()
    os.environ.update(
        {
            "OMP_NUM_THREADS": str(how["threads"]),
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            "GLOO_SOCKET_IFNAME": LOOPBACK,
            "NCCL_SOCKET_IFNAME": LOOPBACK,
        }
    )
    logging.disable(logging.CRITICAL)  # what failed is told by `together`, in a line
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    own = json.dumps({"above": process_id(os.getpid()), "folder": how["folder"]})
    arguments = launch_command_parser().parse_args(
        [
            *("--config_file", str(DIVIDED if how["divided"] else COPIES)),
            *("--num_processes", str(how["processes"])),
            *("--num_cpu_threads_per_process", str(how["threads"])),
            *("--main_process_port", "0"),
            *("--rdzv_backend", "c10d", "--rdzv_conf", "store_type=file"),
            *("--log_dir", how["folder"]),
            *("--module", "compeffdist.student.rank", own),
        ]
    )
    arguments.rdzv_endpoint = str(Path(how["folder"]) / "rendezvous")
    arguments.local_addr = "127.0.0.1"
    try:
        launch_command(arguments)
    except ChildFailedError as error:
        ended = [[rank, failure.exitcode] for rank, failure in error.failures.items()]
        print(json.dumps({"ended": ended}), file=told, flush=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
