"""Programs that keep what must not be lost, so many things as they are told, and say so of each; and how to look at
what is left of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

from compeffdist.difficulty.shards import ScoreShards
from compeffdist.files import read_json
from compeffdist.ledger import Ledger
from compeffdist.teacher.requests import Answer
from compeffdist.teacher.spending import Ledger as Spendings
from compeffdist.teacher.spending import Spent
from compeffdist.teacher.store import ResponseStore, StoredAnswer, store_problems

BUYING = """
from pathlib import Path
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.asking import BuyingTeacher
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import Meter
from types import SimpleNamespace

class Engine:
    name, starts = "costly", 1
    def __init__(self):
        self.meter = Meter()
    def answer(self, requests, on_answer, on_failure):
        for index, request in enumerate(requests):
            self.meter.count(7, 0, 3)
            on_answer(index, Answer(f"to {request.prompt[:3]}", None, 7, 0, 3, "stop"))
            acknowledge(request.prompt[:3])
    def close(self):
        pass

def buy(many):
    runtime = RuntimeParams(store=f"{FOLDER}/bought/store.sqlite", budget={})
    card = SimpleNamespace(id="model_x", served_name="")
    engine = Engine()
    questions = [Request("s", f"{n:03} " + "why? " * 200, 5, 0.0, 1.0, 0) for n in range(many)]
    with BuyingTeacher(card, TeacherParams.model_construct(engine="vllm"), runtime, lambda: None,
                       opener=lambda *_: engine) as teacher:
        # so that the log is emptied into the file while it is in use, as a long run's is
        teacher.store.connection.execute("PRAGMA wal_autocheckpoint=6")
        teacher.ask(questions, "test")

def both():
    many = int(sys.argv[1])
    buy(many // 2)
    buy(many)

behaviour = both
"""
"""Buys the answers to so many questions, in two sittings."""

PROMOTING = """
from pathlib import Path
from compeffdist import ledger

def append():
    ledger.who = lambda: "Ada"
    for number in range(int(sys.argv[1])):
        ledger.Ledger(Path(FOLDER) / "data/promotions.jsonl").append("promote", {"to": number})
        acknowledge(number)

behaviour = append
"""

SCORING = """
import numpy as np
from pathlib import Path
from compeffdist.difficulty import shards

def score():
    shards.WRITE_EVERY_SECONDS = 0.0
    with shards.ScoreShards(Path(FOLDER) / "scores/model") as kept:
        for number in range(int(sys.argv[1])):
            row = shards.RowFigures(np.arange(300), np.arange(300) / 7, np.arange(300) / 3, f"row {number}")
            kept.put(f"batch {number}", [row, None])
            acknowledge(number)

behaviour = score
"""

SAVING = """
from pathlib import Path
from compeffdist.files import atomic_folder, write_json

def save():
    for number in range(int(sys.argv[1])):
        write_json(Path(FOLDER) / "kept/file.json", {"version": number, "padding": "x" * 2000})
        with atomic_folder(Path(FOLDER) / "kept/model") as folder:
            (folder / "inner").mkdir()
            for name in ("a", "inner/b"):
                (folder / name).write_text(f"{number} " * 500)
        acknowledge(number)

behaviour = save
"""


def look_at_answers(folder: Path, acknowledged: Sequence[str]) -> None:
    """Every answer is there, and was counted; no seal is that of other bytes."""
    store = folder / "bought/store.sqlite"
    if acknowledged:
        assert all("was never closed in order" in problem for problem in store_problems(store))
    with ResponseStore(store) as opened:
        keys = opened.keys_holding("")
        answers = opened.get_many(keys)
        assert {answer.text for answer in answers.values()} >= {f"to {prompt}" for prompt in acknowledged}
        assert all(answer.text.startswith("to ") for answer in answers.values())
        opened.put_many([StoredAnswer("next", "model_x", "{}", Answer("x", None, 1, 0, 1, "stop").to_json(), "vllm")])
    assert store_problems(store) == []
    with Spendings(store) as ledger:
        counted = sum(row.answers for row in ledger.rows())
        ledger.add("next", "model_x", "vllm", Spent(1, 1, 0, 1), answers=1)
    assert counted >= len(keys)


def look_at_promotions(folder: Path, acknowledged: Sequence[str]) -> None:
    """Every entry is there, in one chain."""
    ledger = Ledger(folder / "data/promotions.jsonl")
    found = [entry.body["to"] for entry in ledger.entries()]
    assert found == list(range(len(found))) and len(found) >= len(acknowledged)
    assert ledger.append("promote", {"to": len(found)}).number == len(found) + 1


def look_at_scores(folder: Path, acknowledged: Sequence[str]) -> None:
    """Every batch is there, and no shard is damaged."""
    with ScoreShards(folder / "scores/model") as kept:
        assert kept.batches.keys() >= {f"batch {number}" for number in acknowledged}
        kept.put("next", [None])
    assert "next" in ScoreShards(folder / "scores/model").batches


def look_at_what_is_saved(folder: Path, acknowledged: Sequence[str]) -> None:
    """A file is of the last version or the one under way; so is a folder, where it is not just being replaced."""
    versions = [len(acknowledged) - 1, len(acknowledged)]
    file, model = folder / "kept/file.json", folder / "kept/model"
    if acknowledged or file.exists():
        assert read_json(file)["version"] in versions
    if model.exists():
        assert {path.relative_to(model).as_posix() for path in model.rglob("*")} == {"a", "inner", "inner/b"}
        assert [(model / name).read_text() for name in ("a", "inner/b")] in [[f"{n} " * 500] * 2 for n in versions]


SCENARIOS: dict[str, tuple[str, int, Callable[[Path, Sequence[str]], None]]] = {
    "answers": (BUYING, 12, look_at_answers),
    "promotions": (PROMOTING, 4, look_at_promotions),
    "scores": (SCORING, 3, look_at_scores),
    "saved": (SAVING, 3, look_at_what_is_saved),
}
"""Script, how many things it keeps, and how to look at a folder that is left when it said so of those named."""
