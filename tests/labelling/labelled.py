"""A sheet of rows to label for difficulty, and the page on which it is labelled."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compeffdist.labelling.server import LabelServer
from compeffdist.labelling.sheet import Sheet
from compeffdist.prompting import with_input
from compeffdist.study.labels import write_sheet
from tests.local_pages import LocalPage, serving
from tests.study.world import numbered_triplet


def write_rows(path: Path, texts: Sequence[str] = ("one", "two", "three")) -> Path:
    """A sheet as `--sheet` writes it, a row a text; the answer is the text."""
    asked = [with_input("How is it?\n\nInput: fine\nOutput: good", text) for text in texts]
    write_sheet(
        path,
        [
            numbered_triplet(place, prompt=asked[place], response=text, task_name=text)
            for place, text in enumerate(texts)
        ],
    )
    return path


class Page(LocalPage):
    """What a page of labels asks."""

    def state(self) -> dict[str, Any]:
        status, body, _ = self.ask("state")
        assert status == 200
        return dict(json.loads(body))

    def row(self, place: int) -> dict[str, str]:
        """The parts of a row by title."""
        status, body, _ = self.ask(f"row/{place}")
        assert status == 200
        return {part["title"]: part["text"] for part in json.loads(body)["parts"]}

    def send(self, name: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Status and what is told, of a request as the page makes it but for `headers`; an empty one is left out."""
        own = {"Origin": f"http://{self.host}:{self.port}", "Content_Type": "application/json"} | headers
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, told, got = self.ask(name, "POST", body=content, **{key: one for key, one in own.items() if one})
        return status, json.loads(told) if got["Content-Type"] == "application/json" else told

    def label(self, row: int, label: str, generation: int = 0) -> tuple[int, Any]:
        return self.send("label", {"row": row, "generation": generation, "label": label})


@contextmanager
def labelling(path: Path) -> Iterator[Page]:
    """The page of a sheet."""
    with serving(LabelServer(Sheet(path))) as address:
        yield Page(address)
