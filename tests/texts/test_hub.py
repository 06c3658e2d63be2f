"""Hugging Face data sets, read by the library from folders laid out as those of the hub are."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compeffdist.errors import UserError
from compeffdist.params import TextSource
from compeffdist.texts.hub import DatasetLocation, parse_dataset
from compeffdist.texts.sources import RawText, read_source

FOLDER = Path("data/sources/mine")


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)


def read(location: str, **fields: Any) -> list[RawText]:
    source = TextSource(name="hub", kind="huggingface", location=location, domain="product", **fields)
    return list(read_source(source, Path("cache")))


def error(location: str, **fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(location, **fields)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(folder: Path, features: dict[str, Any] | None = None, **columns: list[Any]) -> None:
    """A Parquet file as the library pushes it, its columns marked with their kinds."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, folder / "train-00000-of-00001.parquet")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("org/name@abc:train", ("org/name", "abc", "", "train")),
        ("org/name@abc:train[:100]", ("org/name", "abc", "", "train[:100]")),
        ("org/name@abc:tweets:train[5%:10%]", ("org/name", "abc", "tweets", "train[5%:10%]")),
        ("imdb@main:plain_text:train+test", ("imdb", "main", "plain_text", "train+test")),
        ("data/sources/mine:train[:3]", ("data/sources/mine", "", "", "train[:3]")),
        ("./data/sources/mine:emoji:train", ("./data/sources/mine", "", "emoji", "train")),
        ("data/sources/mine@main:train", ("data/sources/mine", "", "", "train")),
    ],
)
def test_a_location_says_repository_revision_config_and_split(location: str, expected: tuple[str, ...]) -> None:
    assert parse_dataset(location) == DatasetLocation(*expected)


@pytest.mark.parametrize(
    "location", ["repo", "repo@main", "repo:train", "@main:train", "repo@:train", "a@b::train", "data/sources/mine"]
)
def test_a_location_without_one_of_them_is_refused(location: str) -> None:
    with pytest.raises(UserError, match="expected repo@revision:split or repo@revision:config:split"):
        parse_dataset(location)


def test_a_folder_is_read_with_its_slices_and_its_ids() -> None:
    written(FOLDER, text=["one", "two", "three"], key=[7.0, 8.0, 9.0])
    assert [(row.row, row.text) for row in read("data/sources/mine:train[:2]")] == [("1", "one"), ("2", "two")]
    assert [row.row for row in read("data/sources/mine:train", id_field="key")] == ["7", "8", "9"]
    assert "no column 'body' (text_field of text source 'hub'); there are: text, key" in error(
        "data/sources/mine:train", text_field="body"
    )
    assert "the dataset cannot be loaded" in error("data/sources/mine:test")
    assert "data/sources/none: no such folder" in error("data/sources/none:train")


def test_sound_and_pictures_beside_the_text_are_not_looked_into() -> None:
    broken = [{"bytes": b"RIFF none", "path": "a.wav"}, {"bytes": None, "path": "nowhere.wav"}]
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "audio": {"sampling_rate": 8000, "_type": "Audio"},
        "image": {"_type": "Image"},
    }
    written(FOLDER, features, text=["one", "two"], audio=broken, image=broken)
    assert [row.text for row in read("data/sources/mine:train")] == ["one", "two"]
    assert "not one of 2 rows has a usable text in 'audio' (first fault: not_a_string" in error(
        "data/sources/mine:train", text_field="audio"
    )


def test_of_several_configs_one_is_named() -> None:
    written(FOLDER / "emoji", text=["one"])
    written(FOLDER / "sentiment", text=["two"])
    (FOLDER / "README.md").write_text(
        "---\nconfigs:\n- config_name: emoji\n  data_files: emoji/*.parquet\n"
        "- config_name: sentiment\n  data_files: sentiment/*.parquet\n---\n"
    )
    assert [row.text for row in read("data/sources/mine:emoji:train")] == ["one"]
    assert [row.text for row in read("data/sources/mine:sentiment:train")] == ["two"]
    without = error("data/sources/mine:train")
    assert "['emoji', 'sentiment']" in without and without.endswith("name one: data/sources/mine:CONFIG:train")
    assert "Available: ['emoji', 'sentiment']" in error("data/sources/mine:none:train")


def test_a_changed_file_is_read_anew_though_its_time_stays() -> None:
    import os

    written(FOLDER, text=["before"])
    file = next(FOLDER.iterdir())
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    assert [row.text for row in read("data/sources/mine:train")] == ["before"]
    written(FOLDER, text=["after!"])
    os.utime(file, ns=times)
    assert [row.text for row in read("data/sources/mine:train")] == ["after!"]
    assert list(Path("cache/datasets").iterdir()) == []


def test_a_folder_that_dvc_does_not_see_is_refused() -> None:
    written(Path("org/name"), text=["one"])
    message = error("org/name@main:train")
    assert message.startswith("org/name: is a folder here, which DVC would not see change: copy it into data/sources/")
    absolute = FOLDER.absolute()
    written(FOLDER, text=["one"])
    assert f"{absolute}: is a folder here" in error(f"{absolute}@main:train")
    Path("data/sources/linked").symlink_to(absolute)
    assert "data/sources/linked: a link to a folder" in error("data/sources/linked:train")
    shutil.move(FOLDER, "elsewhere")
    FOLDER.mkdir()
    (FOLDER / "train").symlink_to(Path("elsewhere").absolute())
    assert "data/sources/mine/train: a link to a folder" in error("data/sources/mine:train")


def test_a_folder_that_names_files_elsewhere_is_refused() -> None:
    written(Path("elsewhere"), text=["one"])
    (FOLDER / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files: ../../../elsewhere/*.parquet\n---\n"
    )
    assert "elsewhere" in (message := error("data/sources/mine:train"))
    assert "which DVC would not see change" in message


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_column_that_is_there_twice_is_refused(suffix: str) -> None:
    file = FOLDER / f"train.{suffix}"
    if suffix == "parquet":
        columns = [pa.array(["one"]), pa.array(["good"]), pa.array(["a note"])]
        pq.write_table(pa.Table.from_arrays(columns, names=["text", "label", "text"]), file)
    else:
        file.write_text({"csv": "text,label,text\none,good,a note\n", "jsonl": '{"text":"a","text":"b"}\n'}[suffix])
    message = error("data/sources/mine:train")
    assert "data/sources/mine:train: " in message and "text" in message
    assert any(word in message.lower() for word in ("2 columns", "twice", "multiple matches"))
