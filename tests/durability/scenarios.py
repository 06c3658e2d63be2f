"""Programs that keep what must not be lost, said to be kept one by one; `Disk.run` runs them."""

BUYING = """
from pathlib import Path
from compeffdist.errors import run_guarded
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

def buy(first, last):
    runtime = RuntimeParams(store=f"{FOLDER}/bought/store.sqlite", budget={})
    card = SimpleNamespace(id="model_x", served_name="")
    engine = Engine()
    questions = [Request("s", f"{n:03} " + "why? " * 200, 5, 0.0, 1.0, 0) for n in range(first, last)]
    with BuyingTeacher(card, TeacherParams.model_construct(engine="vllm"), runtime, lambda: None,
                       opener=lambda *_: engine) as teacher:
        # so that the log is emptied into the file while it is in use, as a long run's is
        teacher.store.connection.execute("PRAGMA wal_autocheckpoint=6")
        teacher.ask(questions, "test")

def both():
    first, last = int(sys.argv[1]), int(sys.argv[2])
    middle = (first + last) // 2
    buy(first, middle)
    buy(first, last)

run_guarded(both)
"""
"""Buys the answers to the questions numbered FIRST to LAST, in two sittings."""

PROMOTING = """
from pathlib import Path
from compeffdist import ledger
from compeffdist.errors import run_guarded

def append():
    ledger.who = lambda: "Ada"
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        ledger.Ledger(Path(FOLDER) / "data/promotions.jsonl").append("promote", {"to": number})
        acknowledge(number)

run_guarded(append)
"""

SCORING = """
import numpy as np
from pathlib import Path
from compeffdist.difficulty import shards
from compeffdist.errors import run_guarded

def score():
    shards.WRITE_EVERY_SECONDS = 0.0
    with shards.ScoreShards(Path(FOLDER) / "scores/model") as kept:
        for number in range(int(sys.argv[1]), int(sys.argv[2])):
            row = shards.RowFigures(np.arange(300), np.arange(300) / 7, np.arange(300) / 3, f"row {number}")
            kept.put(f"batch {number}", [row, None])
            acknowledge(number)

run_guarded(score)
"""

SAVING = """
from pathlib import Path
from compeffdist.errors import run_guarded
from compeffdist.files import atomic_folder, write_json

def save():
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        write_json(Path(FOLDER) / "kept/file.json", {"version": number, "padding": "x" * 2000})
        with atomic_folder(Path(FOLDER) / "kept/model") as folder:
            (folder / "inner").mkdir()
            for name in ("a", "inner/b"):
                (folder / name).write_text(f"{number} " * 500)
        acknowledge(number)

run_guarded(save)
"""
