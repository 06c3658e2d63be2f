"""The clock is set back between two promotions: what was done stays in the order in which it was done."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.params import Params
from compeffdist.promotion.history import read_history
from compeffdist.promotion.promote import promote, rollback
from compeffdist.registry.tracking import open_tracking
from compeffdist.teacher.spending import spendings
from tests.promotion.versions import audit_clean, make_version
from tests.shims import clock_set_back
from tests.stages import ROOT

DAY = 86400
BEFORE = """
import sys
from pathlib import Path
from compeffdist.params import Params
from compeffdist.promotion.promote import promote
from compeffdist.teacher.requests import Answer
from compeffdist.teacher.spending import Ledger, Spent
from compeffdist.teacher.store import ResponseStore, StoredAnswer
from tests.promotion.versions import make_version

params = Params.model_validate_json(sys.stdin.read())
with ResponseStore(Path("store.sqlite")) as store, Ledger(store.path) as ledger:
    ledger.add("stage", "model_1", "fake", Spent(1, 2, 0, 3), answers=1)
    store.put_many([StoredAnswer("answer_2", "model_1", "{}", Answer("b", None, 2, 0, 3, "stop").to_json(), "fake")])
outcome = promote(make_version(params, {"films": 36, "tweets": 36}), params, lambda version: [])
print(outcome.version, outcome.entry.at)
"""


def test_a_clock_that_was_set_back_changes_no_order(
    params: Params, aliases: Callable[[], dict[str, int]], tmp_path: Path
) -> None:
    first = promote(make_version(params, {"films": 34, "tweets": 34}), params, audit_clean).entry
    done = subprocess.run(
        [sys.executable, "-c", BEFORE],
        input=params.model_dump_json(),
        env=os.environ | clock_set_back(2 * DAY, tmp_path) | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=True,
    )
    entries = Ledger(PROMOTIONS).entries()
    assert first and done.stdout.split() == ["2", entries[-1].at] and entries[-1].at < first.at
    assert [entry.number for entry in entries] == [1, 2]
    assert read_history(params).problem == ""
    assert aliases() == {"champion": 2, "former-champion": 1}
    version = open_tracking().get_model_version(params.registry.model_name, "2")
    assert version.creation_timestamp < open_tracking().get_model_version(version.name, "1").creation_timestamp
    assert rollback(params, audit_clean).version == 1 and aliases() == {"champion": 1}
    (row,) = spendings(Path("store.sqlite"))
    assert row.day < first.at[:10] and row.calls == 1
