"""Stands in for vLLM's server: answers /health, and has a worker process, spawned as vLLM's are.

python -m tests.teacher.stub_server PORT PIDS_FILE
"""

import multiprocessing
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from compeffdist.teacher.vllm_server import die_with_parent

if __name__ in ("__main__", "__mp_main__"):
    die_with_parent()


class Health(BaseHTTPRequestHandler):
    """200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def work() -> None:
    """What an engine core does: never end by itself."""
    time.sleep(600)


def main() -> None:
    port, pids = sys.argv[1:]
    worker = multiprocessing.get_context("spawn").Process(target=work)
    worker.start()
    Path(pids).write_text(f"{os.getpid()} {worker.pid}")
    HTTPServer(("127.0.0.1", int(port)), Health).serve_forever()


if __name__ == "__main__":
    main()
