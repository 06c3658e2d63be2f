"""What a stage took is noted beside its lock, and holds for the settings it ran with."""

from pathlib import Path

import pytest

from compeffdist.declaration import Stage
from compeffdist.params import Params
from compeffdist.peaks import NOTES, Took, last_took, note_peak, peak_memory
from compeffdist.profiles import compose
from tests.stages import ROOT

STAGE = Stage("pair_texts", "", (), ("seed", "pairing", "difficulty.mode"), ("data/pairs.parquet", "models/made"))


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    return Params.model_validate(compose("smoke", ROOT / "profiles"))


def changed(params: Params, section: str, **values: object) -> Params:
    return params.model_copy(update={section: getattr(params, section).model_copy(update=values)})


def took(params: Params) -> Took:
    found = last_took(STAGE, params)
    assert found is not None
    return found


def test_memory_is_that_of_the_peak_of_this_process() -> None:
    before = peak_memory()
    held = bytearray(64 << 20)
    held[:: 1 << 12] = b"x" * len(held[:: 1 << 12])
    assert peak_memory() >= max(before, 64 << 20)
    high = peak_memory()
    del held
    assert peak_memory() >= high - (1 << 20)  # the kernel counts in steps


def test_what_a_stage_took_is_known_afterwards(params: Params) -> None:
    assert last_took(STAGE, params) is None
    Path("data").mkdir()
    Path("data/pairs.parquet").write_bytes(b"x" * 100)
    Path("models/made/deeper").mkdir(parents=True)
    Path("models/made/deeper/weights").write_bytes(b"x" * 1000)
    note_peak(STAGE, params)
    assert took(params).made == 1100
    assert took(params).memory > 10 << 20


def test_it_is_not_what_other_settings_take(params: Params) -> None:
    note_peak(STAGE, params)
    same = (
        params.model_copy(update={"seed": 7, "profile": "own"}),
        changed(params, "runtime", concurrency=3, prices="prices.yaml"),
        changed(params, "sampling", rate=0.25),
    )
    assert all(last_took(STAGE, one) for one in same)
    other = (
        changed(params, "pairing", pairs=25),
        changed(params, "difficulty", mode="proxy"),
        changed(params, "runtime", token_budget=1),
        changed(params, "models", student=params.models.embedder),
    )
    assert not any(last_took(STAGE, one) for one in other)


@pytest.mark.parametrize("note", ["{", "[]", '{"memory": 1}', '{"memory": "much", "made": 1, "settings": ""}'])
def test_a_broken_note_says_nothing(params: Params, note: str) -> None:
    note_peak(STAGE, params)
    (NOTES / "pair_texts.took.json").write_text(note)
    assert last_took(STAGE, params) is None


def test_a_note_that_cannot_be_written_stops_no_stage(params: Params) -> None:
    NOTES.parent.mkdir()
    NOTES.write_text("a file where the folder should be")
    note_peak(STAGE, params)
    assert last_took(STAGE, params) is None
