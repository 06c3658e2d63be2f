"""The ledger: what is appended is read again, and whatever else happens to the file is found."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compeffdist import ledger as ledger_module
from compeffdist.errors import UserError
from compeffdist.ledger import Entry, Ledger

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    # what UTF-8 cannot hold is refused on appending
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
BODIES = st.dictionaries(st.sampled_from(["from", "to", "reason"]), JSON_VALUES, max_size=3)
PRIVATE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "who", lambda: "Ada <ada@example.org>")


def fresh(folder: Path, bodies: list[dict[str, Any]]) -> Ledger:
    path = folder / "ledger.jsonl"
    path.unlink(missing_ok=True)
    ledger = Ledger(path)
    for body in bodies:
        ledger.append("note", body)
    return ledger


@pytest.fixture
def three(tmp_path: Path) -> Ledger:
    return fresh(tmp_path, [{"to": 1}, {"to": 2, "reason": "größer\n"}, {"to": 3}])


@PRIVATE
@given(bodies=st.lists(BODIES, max_size=4))
def test_what_is_appended_is_read_again(tmp_path: Path, bodies: list[dict[str, Any]]) -> None:
    ledger = fresh(tmp_path, bodies)
    entries = ledger.entries()
    assert [entry.body for entry in entries] == bodies
    assert [entry.number for entry in entries] == list(range(1, len(bodies) + 1))
    assert [entry.previous for entry in entries] == ["", *(entry.hash for entry in entries)][: len(entries)]


@PRIVATE
@given(bodies=st.lists(BODIES, min_size=1, max_size=4), data=st.data())
def test_any_edited_byte_is_found_in_its_line(
    tmp_path: Path, bodies: list[dict[str, Any]], data: st.DataObject
) -> None:
    ledger = fresh(tmp_path, bodies)
    written = ledger.path.read_bytes()
    place = data.draw(st.integers(0, len(written) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != written[place]))
    ledger.path.write_bytes(written[:place] + bytes([byte]) + written[place + 1 :])
    line = written[:place].count(b"\n") + 1
    with pytest.raises(UserError, match=rf"ledger\.jsonl: line {line} ") as error:
        ledger.entries()
    assert "\n" not in str(error.value)


def test_every_bit_of_a_small_ledger_matters(three: Ledger) -> None:
    written = three.path.read_bytes()
    for place in range(len(written)):
        three.path.write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
        with pytest.raises(UserError):
            three.entries()


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ([1, 2], "line 1 holds entry 2"),
        ([0, 2], "line 2 holds entry 3"),
        ([0, 2, 1], "line 2 holds entry 3"),
        ([0, 0, 1, 2], "line 2 holds entry 1"),
    ],
)
def test_removed_repeated_and_reordered_lines_are_found(three: Ledger, order: list[int], message: str) -> None:
    lines = three.path.read_text().splitlines(keepends=True)
    three.path.write_text("".join(lines[index] for index in order))
    with pytest.raises(UserError, match=message):
        three.entries()


def test_a_line_replaced_with_a_fitting_hash_breaks_the_next(three: Ledger, tmp_path: Path) -> None:
    lines = three.path.read_text().splitlines(keepends=True)
    forged = fresh(tmp_path / "other", [{"to": 9}])
    three.path.write_text(forged.path.read_text() + "".join(lines[1:]))
    with pytest.raises(UserError, match="line 2 does not follow from line 1"):
        three.entries()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"null\n", "line 1 is not an entry"),
        (b"\n", "line 1 is not an entry"),
        (b"\xff\n", "line 1 is not an entry"),
        (b'{"number": 1}\n', "line 1 is not an entry"),
        (b"[" * 100_000 + b"\n", "line 1 is not an entry"),
        (b'{"number":NaN}\n', "line 1 is not an entry"),
    ],
)
def test_what_is_no_entry_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        Ledger(tmp_path / "ledger.jsonl").entries()


def test_a_cut_last_line_is_found_and_a_whole_one_is_for_others_to_miss(three: Ledger) -> None:
    written = three.path.read_bytes()
    whole = [place + 1 for place, byte in enumerate(written) if byte == 10]
    for place in range(1, len(written)):
        three.path.write_bytes(written[:place])
        if place in whole:
            assert len(three.entries()) == whole.index(place) + 1
        else:
            with pytest.raises(UserError):
                three.entries()


@pytest.mark.parametrize("body", [{"figure": float("nan")}, {"path": Path("x")}, {"text": "\ud800"}])
def test_what_cannot_be_json_is_refused_and_nothing_written(three: Ledger, body: dict[str, Any]) -> None:
    written = three.path.read_bytes()
    with pytest.raises(UserError, match="cannot be JSON"):
        three.append("note", body)
    assert three.path.read_bytes() == written


def test_a_broken_ledger_is_not_appended_to(three: Ledger) -> None:
    three.path.write_bytes(three.path.read_bytes().replace(b'"to":2', b'"to":5'))
    written = three.path.read_bytes()
    with pytest.raises(UserError, match="line 2 was edited"):
        three.append("note", {})
    assert three.path.read_bytes() == written


def test_an_entry_is_as_it_will_be_read(three: Ledger) -> None:
    entry = three.append("note", {"pair": (1, 2)})
    assert entry == three.entries()[-1] == Entry(**json.loads(three.path.read_text().splitlines()[-1]))
    assert entry.body == {"pair": [1, 2]} and entry.who == "Ada <ada@example.org>" and entry.at.endswith("Z")


def _append_ten(path: Path) -> None:
    for number in range(10):
        Ledger(path).append("note", {"n": number})


def test_writers_at_once_leave_one_chain(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_ten, args=(tmp_path / "ledger.jsonl",)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert len(Ledger(tmp_path / "ledger.jsonl").entries()) == 30


def test_who_falls_back_from_git_to_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    settings_file = tmp_path / "gitconfig"
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings_file))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGNAME", "ada")
    assert ledger_module.who() == "ada"
    settings_file.write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    assert ledger_module.who() == "Ada <ada@example.org>"
    settings_file.write_text("[user]\nemail = ada@example.org\n")
    assert ledger_module.who() == "ada@example.org"
