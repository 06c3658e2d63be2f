"""Which files are sheets, what is shown of a row, and what becomes of a sheet that somebody else writes to."""

import os
from pathlib import Path
from typing import Any

import pytest

from compeffdist import files
from compeffdist.errors import UserError
from compeffdist.labelling.kinds import KEYS_OF_THE_PAGE, KINDS, MOST_SHOWN, kind_of, told
from compeffdist.labelling.sheet import Refused, Sheet
from compeffdist.study.labels import LABEL, SCALE, read_labels, write_sheet
from tests.labelling.labelled import write_rows
from tests.study.world import numbered_triplet


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.label_column)
def test_a_kind_has_labels_with_keys_of_their_own(kind: Any) -> None:
    keys = [label.key for label in kind.labels]
    assert len(set(keys)) == len(keys) > 1
    assert all(len(key) == 1 and key == key.lower() and key not in KEYS_OF_THE_PAGE for key in keys)
    assert not {kind.id_column, kind.label_column} & set(kind.shown)
    assert (kind.id_column + kind.label_column).isascii()


def test_every_label_that_may_be_given_is_read_as_it_was_meant(tmp_path: Path) -> None:
    sheet = Sheet(write_rows(tmp_path / "a.csv", ["x"] * len(SCALE)))
    choices = sheet.state()["choices"]
    for place, choice in enumerate(choices):
        sheet.label(place, 0, choice["value"])
    assert list(read_labels(tmp_path / "a.csv").values()) == list(SCALE)
    assert choices[0]["meaning"] and choices[-1]["meaning"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"a\.csv: no such file"),
        (
            b"",
            r"no sheet to label, .* triplet_id and difficulty; or perspective_id and fault; .*: none",
        ),
        (b"text,label\na,1\n", r"a\.csv: no sheet to label, .*; there are: text, label"),
        (b"triplet_id,prompt\na,x\n", r"a\.csv: no sheet to label, .*; there are: triplet_id, prompt"),
        (b"triplet_id,difficulty\n", r"a\.csv: has no rows to label"),
        (b"triplet_id,difficulty,difficulty\na,,\n", r"a\.csv: 2 columns are named 'difficulty'"),
        (b"triplet_id,prompt,prompt,difficulty\na,,,\n", r"a\.csv: 2 columns are named 'prompt'"),
        (b"triplet_id,difficulty\na,hard\n", r"a\.csv: line 2: difficulty is 'hard', expected 1 to 5 or nothing"),
        (b"triplet_id,difficulty\na,\na,\n", r"a\.csv: line 3: a is there twice"),
        (b'triplet_id,difficulty\n"a,1\n', r"a\.csv: line 2 is not valid CSV"),
        (b"PAR1" + bytes(range(256)), r"a\.csv: "),
    ],
)
def test_what_is_no_sheet_is_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        Sheet(path)
    assert "\n" not in str(raised.value)
    assert content is None or path.read_bytes() == content


def test_a_folder_and_a_file_without_end_are_no_sheets(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        Sheet(tmp_path)
    with pytest.raises(UserError, match="more than 64 MiB, which is no sheet to label"):
        Sheet(Path("/dev/zero"))


def test_a_prompt_is_taken_apart_into_question_examples_and_text(tmp_path: Path) -> None:
    sheet = Sheet(write_rows(tmp_path / "a.csv", ["=1+1, Input: of its own"]))
    parts = {part["title"]: part for part in (sheet.row(0) or {})["parts"]}
    assert parts["Question"]["text"] == "How is it?"
    assert parts["Examples that were shown with it"]["text"] == "Input: fine\nOutput: good"
    assert parts["Text"]["text"] == "=1+1, Input: of its own"
    assert parts["Answer"]["text"] == "=1+1, Input: of its own"  # without the apostrophe that the file has
    assert parts["Task"]["text"].endswith("analysis") and sheet.row(1) is None


def test_a_prompt_that_was_cut_off_or_is_of_another_form_is_shown_whole(tmp_path: Path) -> None:
    prompts = ["Question\n\nInput: that was cut of…", "x" * (MOST_SHOWN - 1000), "\r\n\r\nInput: a\r\nOutput:"]
    write_sheet(tmp_path / "a.csv", [numbered_triplet(n, prompt=prompt) for n, prompt in enumerate(prompts)])
    sheet = Sheet(tmp_path / "a.csv")
    for place, prompt in enumerate(prompts[:2]):
        assert {"title": "Question", "way": "text", "text": prompt, "left": 0} in (sheet.row(place) or {})["parts"]
    parts = {part["title"]: part["text"] for part in (sheet.row(2) or {})["parts"]}
    assert parts["Text"] == "a" and "Question" not in parts


def test_what_a_spreadsheet_would_not_hold_is_shown_in_part(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"triplet_id,response,difficulty\na,{'x' * (MOST_SHOWN + 7)},\n")
    assert (Sheet(tmp_path / "a.csv").row(0) or {})["parts"] == [
        {"title": "Answer", "way": "answer", "text": "x" * MOST_SHOWN, "left": 7}
    ]


def test_an_apostrophe_that_was_not_put_there_stays() -> None:
    assert [told(cell) for cell in ("'=1", "' -x", "'tis", "''", "a\r\nb\rc")] == ["=1", " -x", "'tis", "''", "a\nb\nc"]


def test_the_kind_is_told_by_its_columns_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("note;difficulty;triplet_id\n;3,0;a\n")
    assert kind_of(tmp_path / "a.csv").label_column == LABEL
    assert Sheet(tmp_path / "a.csv").state()["labels"] == ["3"]


def test_an_encoding_that_was_guessed_is_told_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("triplet_id;response;difficulty\na;d\u00e9j\u00e0 vu;\n", "cp1252")
    assert [note.partition(": ")[2][:30] for note in Sheet(tmp_path / "a.csv").read.notes] == [
        "not UTF-8: read as Windows-125"
    ]
    assert capfd.readouterr().err == ""


def test_permissions_and_a_link_stay(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")
    path.chmod(0o600)
    (tmp_path / "link.csv").symlink_to(path)
    Sheet(tmp_path / "link.csv").label(1, 0, "2")
    assert (tmp_path / "link.csv").is_symlink() and path.stat().st_mode & 0o777 == 0o600
    assert list(read_labels(path).values()) == [2]


def test_a_sheet_that_may_not_be_written_is_told_before_anything_is_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "a.csv")
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != path)
    with pytest.raises(UserError, match=r"a\.csv: may not be written to"):
        Sheet(path)


def test_a_label_that_cannot_be_written_is_not_there_and_the_next_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path / "a.csv")
    sheet, before = Sheet(path), path.read_bytes()

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", full)
        with pytest.raises(OSError):
            sheet.label(0, 0, "3")
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["a.csv"]
    assert sheet.state()["labels"] == ["", "", ""] and not sheet.state()["changed"]
    assert sheet.label(1, 0, "4")["labels"] == ["", "4", ""]
    assert list(read_labels(path).values()) == [4]


def test_what_changes_while_a_label_is_written_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_rows(tmp_path / "a.csv")
    sheet, other = Sheet(path), path.read_bytes().replace(b"one", b"uno")
    flush = os.fsync

    def meanwhile(handle: int) -> None:
        flush(handle)
        path.write_bytes(other)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", meanwhile)
        with pytest.raises(Refused, match=r"a\.csv was changed by another program"):
            sheet.label(0, 0, "3")
    assert path.read_bytes() == other and [one.name for one in tmp_path.iterdir()] == ["a.csv"]


def test_labels_that_another_program_saved_over_are_told_until_they_are_given_again(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.csv")
    sheet, before = Sheet(path), path.read_bytes()
    for place, label in enumerate("345"):
        sheet.label(place, 0, label)
    sheet.label(2, 0, "")
    path.write_bytes(before.replace(b'"two";""', b'"two";"1"'))  # it was open there all the while
    assert sheet.state()["changed"]
    state = sheet.read_anew()
    assert state["lost"] == [{"place": 0, "label": "3"}, {"place": 1, "label": "4"}] and state["generation"] == 1
    assert sheet.label(0, 1, "3")["lost"] == [{"place": 1, "label": "4"}]
    assert sheet.label(1, 1, "2")["lost"] == []


def test_after_its_end_no_label_is_taken(tmp_path: Path) -> None:
    sheet = Sheet(write_rows(tmp_path / "it's a sheet.csv"))
    sheet.label(0, 0, "3")
    assert sheet.end() == (
        f"1 of 3 rows of {tmp_path}/it's a sheet.csv are labelled; "
        f"read them with: compeffdist study --labels '{tmp_path}/it'\"'\"'s a sheet.csv'"
    )
    with pytest.raises(Refused, match="Labelling has ended"):
        sheet.label(1, 0, "3")
