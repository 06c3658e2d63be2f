"""A teacher on a real socket that answers by schema, always the same, and counts how often it was asked what."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from compeffdist.canonical import canonical_json, hash_text
from tests.exchange.world import instance
from tests.teacher.server import Body, FakeServer, Reply, chat_reply, serving


class Asked:
    """What the teacher was asked, and how often."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def respond(self, body: Body, _: int) -> Reply:
        """The answer to a request: JSON that meets its schema, a label where one of some is to be chosen."""
        if "logprobs" in body:
            return Reply({"error": {"message": "logprobs is not supported", "param": "logprobs"}}, status=400)
        with self.lock:
            self.counts[canonical_json(body)] += 1
        number = int(hash_text(canonical_json(body["messages"])), 16)
        form = body.get("response_format", {}).get("json_schema", {}).get("schema")
        return Reply(chat_reply(json.dumps(instance(form, number)) if form else "quite something"), delay=0.01)

    def asked_again(self) -> int:
        """Requests beyond the first of each."""
        return sum(self.counts.values()) - len(self.counts)


@contextmanager
def teaching() -> Iterator[tuple[FakeServer, Asked]]:
    """Serve while the context lasts."""
    asked = Asked()
    with serving(asked.respond) as server:
        yield server, asked
