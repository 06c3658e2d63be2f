"""Accounting: the sum fails loudly, and no reject is lost on the way to the disk."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from compeffdist.accounting import account, told, write_rejects
from compeffdist.record_files import read_records
from compeffdist.records import Reject

few = st.sampled_from(["", "a", "a (no. 2)", "(no. 2)"])
rejects = st.lists(st.builds(Reject, stage=few, record_id=few, reason=few, detail=few), max_size=30)


@given(rejects)
@hypothesis_settings(max_examples=40, deadline=None)
def test_every_reject_reaches_the_disk_whatever_it_says(given_rejects: list[Reject]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rejects.parquet"
        write_rejects(path, given_rejects)
        kept = read_records(path, Reject)
    assert Counter((r.stage, r.record_id, r.reason) for r in kept) == Counter(
        (r.stage, r.record_id, r.reason) for r in given_rejects
    )
    assert len({reject.id for reject in kept}) == len(given_rejects)
    assert {reject.id for reject in given_rejects} <= {reject.id for reject in kept}


def test_a_row_that_is_in_neither_sum_stops_the_stage() -> None:
    one = [Reject(stage="s", record_id="r", reason="why")]
    assert account("s", 3, 2, one)["reasons"] == {"why": 1}
    with pytest.raises(RuntimeError, match=r"s: 4 records in, but 2 out \+ 1 rejected"):
        account("s", 4, 2, one)


def test_what_a_stage_made_is_told_in_one_line() -> None:
    reasons = ["rare"] * 1200 + ["empty", "late", "odd", "torn"]
    rejects = [Reject(stage="s", record_id=str(n), reason=why) for n, why in enumerate(reasons)]
    metrics = {
        "records": account("s", 5, 5, []),
        "names": account("s", 1304, 100, rejects),
        "mean": 0.5,
        "teacher": {"this_run": {"store": 0, "recorded": 1050, "bought": 2, "failures": 1}},
    }
    assert told(metrics) == (
        "records 5; names 1,304 in, 100 out, 1,204 rejected (1,200 rare, 1 empty, 1 late and 2 other reasons); "
        "answers 1,050 recorded, 2 bought"
    )
    assert told({"mean": 0.5}) == ""
