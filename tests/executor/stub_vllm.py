"""Stands in for vLLM's server where Ray places it: answers prompts of token ids by their number, and writes down each.

    python -m tests.executor.stub_vllm --host HOST --port PORT … --told=FOLDER …

A line for each prompt goes to FOLDER/PID; while there is FOLDER/PID.hold, prompts of that server wait.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from compeffdist.canonical import hash_json
from compeffdist.teacher.vllm_server import die_with_parent

if __name__ == "__main__":
    die_with_parent()


class Completions(BaseHTTPRequestHandler):
    """What of vLLM's server the engine uses."""

    protocol_version = "HTTP/1.1"
    told: Path

    def do_GET(self) -> None:
        self._reply({"data": [{"id": "teacher"}]} if self.path.endswith("/models") else {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != f"Bearer {os.environ['VLLM_API_KEY']}":
            self._reply({"error": {"message": "wrong key"}}, 401)
            return
        own, asked = self.told / str(os.getpid()), hash_json(body["prompt"])
        with own.open("a") as stream:
            stream.write(f"{asked}\n")
        while own.with_suffix(".hold").exists():
            time.sleep(0.01)
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}
        self._reply({"choices": [{"text": asked[:8], "finish_reason": "stop"}], "usage": usage})

    def _reply(self, value: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    Completions.told = Path(next(word for word in sys.argv if word.startswith("--told=")).partition("=")[2])
    (Completions.told / str(os.getpid())).touch()
    ThreadingHTTPServer((given["--host"], int(given["--port"])), Completions).serve_forever()


if __name__ == "__main__":
    main()
