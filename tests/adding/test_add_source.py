"""`compeffdist add-source` by its command line, on files as people's programs write them."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compeffdist.cli.main import main
from compeffdist.params import load_params
from compeffdist.texts.ingest_texts import ingest
from compeffdist.texts.sources import read_source

WORDS = (
    "the battery of",
    "this phone",
    "lasts long",
    "and I like",
    "its screen",
    "but service was",
    "slow here",
    "great",
)


def sentence(number: int) -> str:
    drawn = random.Random(number)
    return f"{' '.join(drawn.choices(WORDS, k=6))} {number}"


def written(path: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def looked_at(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    main(["add-source", str(path), "--json", *arguments])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(path: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a file is refused with; nothing was written."""
    before, held = Path("params.yaml").read_bytes(), sorted(Path().rglob("*"))
    with pytest.raises(SystemExit) as left:
        main(["add-source", str(path), *arguments])
    assert left.value.code == 1
    assert (Path("params.yaml").read_bytes(), sorted(Path().rglob("*"))) == (before, held)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def csv_of(rows: int, delimiter: str = ";") -> list[str]:
    return [delimiter.join(("no", "id", "comment", "stars"))] + [
        delimiter.join((str(n), f"C{n}", sentence(n), str(n % 5))) for n in range(rows)
    ]


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-8-sig", "UTF-8 with a byte-order mark"), ("utf-16", "UTF-16"), ("utf-16-le", "UTF-16-LE")],
)
def test_a_spreadsheets_csv_is_copied_and_entered_and_then_read_by_the_pipeline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, told: str
) -> None:
    file = written(tmp_path / "Mein Export.csv", csv_of(20), encoding)
    found = looked_at(file, capsys)
    assert (found["encoding"], found["delimiter"], found["rows"], found["kept"]) == (told, ";", 20, 20)
    source = load_params().texts.sources[-1]
    assert (source.name, source.text_field, source.id_field) == ("Mein-Export", "comment", "id")
    assert Path("data/sources/Mein Export.csv").read_bytes() == file.read_bytes()
    assert [row.text for row in read_source(source, tmp_path)] == [sentence(n) for n in range(20)]


def test_only_the_list_changes_in_a_commented_params_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Path("params.yaml")
    text = (
        params.read_text()
        .replace("  count: 1200", "  # how many, in all\n  count:   1200  # kept")
        .replace("\n", "\r\n")
    )
    text = "# mine\r\n" + text.replace("  - name: news", "  # the last of them\r\n  - name: 'news'  # NYT")
    params.write_bytes(text.encode())
    looked_at(written(tmp_path / "a.csv", csv_of(5)), capsys, "--name", "1e5", "--domain", "no")
    after = params.read_bytes().decode()
    start = after.index("  - name: '1e5'")
    end = after.index("  # how many, in all")
    assert after[:start] + after[end:] == text
    assert "\n" not in after.replace("\r\n", "")
    assert (load_params().texts.sources[-1].name, load_params().texts.sources[-1].domain) == ("1e5", "no")


def test_a_list_in_brackets_is_added_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Path("params.yaml")
    before, after = params.read_text().split("  sources:\n")
    rest = after[after.index("  count:") :]
    one = "  sources: [{name: news, kind: package, location: vader-nyt, domain: news}]  # mine\n"
    params.write_text(before + one + rest)
    looked_at(written(tmp_path / "a.csv", csv_of(5)), capsys)
    assert [source.name for source in load_params().texts.sources] == ["news", "a"]
    assert "# mine\n  count:" in params.read_text()


def test_a_list_that_cannot_be_added_to_is_left_to_the_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Path("params.yaml")
    before, after = params.read_text().split("  sources:\n")
    rest = after[after.index("  count:") :]
    one = "  <<: {sources: [{name: news, kind: package, location: vader-nyt, domain: news}]}\n"
    params.write_text(before + one + rest)
    told = refused(written(tmp_path / "a.csv", csv_of(5)), capsys)
    assert "texts.sources is not written as a list" in told and '"text_field": "comment"' in told


def test_anchors_in_entries_do_not_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = Path("params.yaml")
    text = params.read_text().replace("domain: movie\n", "domain: &d movie\n").replace("domain: news\n", "domain: *d\n")
    params.write_text(text)
    looked_at(written(tmp_path / "a.csv", csv_of(5)), capsys)
    assert [source.domain for source in load_params().texts.sources][-2:] == ["movie", "a"]


def test_dry_run_shows_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("params.yaml").read_bytes()
    main(["add-source", str(written(tmp_path / "a.csv", csv_of(5, ","))), "--dry-run"])
    said = capsys.readouterr().out
    assert "would be copied to data/sources/a.csv" in said and "text_field: comment" in said
    assert "would keep 5 of 5 rows" in said and "column 'comment' (by its name)" in said
    assert Path("params.yaml").read_bytes() == before and not Path("data").exists()


@pytest.mark.parametrize(("delimiter", "told"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_what_stands_between_fields_is_told_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], delimiter: str, told: str
) -> None:
    main(["add-source", str(written(tmp_path / "a.csv", csv_of(5, delimiter))), "--dry-run"])
    assert f"a.csv: CSV, UTF-8, {told} between fields, 5 rows, 4 columns" in capsys.readouterr().out


def test_a_file_of_one_column_has_nothing_between_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["add-source", str(written(tmp_path / "a.csv", ["text", *map(sentence, range(5))])), "--dry-run"])
    assert "a.csv: CSV, UTF-8, 5 rows, 1 columns" in capsys.readouterr().out


HEADLESS = [
    [
        "Our pizza was too salty for a business meal.",
        *(f"The soup came cold, and nobody said sorry {n}." for n in range(9)),
    ],
    [f"{sentence(n)}, and that is why I will not come back here again" for n in range(9)],
]


@pytest.mark.parametrize("lines", HEADLESS)
def test_a_text_in_the_place_of_the_only_columns_name_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str]
) -> None:
    file = written(tmp_path / "a.csv", [f'"{line}"' for line in lines])
    told = refused(file, capsys)
    assert f"a.csv: has no header, as it seems: its first line looks like a text ('{lines[0][:30]}" in told
    assert "put a line with the column's name, such as text, above it" in told and "--text-field" in told
    found = looked_at(file, capsys, "--text-field", lines[0])
    assert (found["columns_named_by_a_text"], found["entry"]["text_field"]) == ([lines[0]], lines[0])


@pytest.mark.parametrize(
    "name", ["text", "Comment (free text)", "Text of the review", "What did you like best about your stay?"]
)
def test_a_name_or_the_question_that_a_column_answers_is_taken_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    long = [f"{sentence(n)}, {sentence(n + 100)}" for n in range(9)]
    found = looked_at(written(tmp_path / "a.csv", [name, *(f'"{line}"' for line in long)]), capsys)
    assert (found["entry"]["text_field"], found["kept"], found["columns_named_by_a_text"]) == (name, 9, [])


def test_a_text_in_the_place_of_one_of_several_names_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{n};{line}" for n, line in enumerate(HEADLESS[0])]
    main(["add-source", str(written(tmp_path / "a.csv", rows)), "--dry-run"])
    told = f"  column '{HEADLESS[0][0]}' looks like a text: has the file no header?"
    assert told in capsys.readouterr().out


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    german = "das ist ein sehr schlechtes Produkt und ich kann es nicht empfehlen"
    texts = [sentence(1), sentence(1), "", "short", german, " ".join(map(sentence, range(5, 10))), sentence(2)]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    found = looked_at(file, capsys, "--dry-run")
    # 160 characters at most, cut: what is left of the long one is kept
    assert found["left_out"] == {"duplicate": 1, "empty": 1, "too_short": 1, "not_english": 1}
    assert (found["kept"], found["english"]) == (3, 0.833)
    assert found["characters"]["longest"] == len(texts[5])


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize("advised", [True, False])
def test_a_file_of_which_nothing_would_be_kept_is_refused_with_the_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dry: list[str], advised: bool
) -> None:
    german = [f"das ist ein sehr schlechtes Produkt und ich kann es nicht empfehlen {n}" for n in range(20)]
    texts = [*german, *["a b"] * 3] if advised else [*german[:3], *["a b"] * 3]
    told = refused(written(tmp_path / "german.csv", ["comment", *texts]), capsys, *dry)
    counts = "20 not_english, 3 too_short" if advised else "3 not_english, 3 too_short"
    assert f"german.csv: no row of column 'comment' would be kept; left out: {counts}" in told
    assert ("texts.language: any in params.yaml keeps them" in told) == advised


def set_texts(count: int, *sources: str) -> None:
    """Have params draw so many texts, and of these sources if any are given."""
    params = Path("params.yaml")
    text = params.read_text().replace("  count: 1200", f"  count: {count}").replace("  texts: 1050", "  texts: 50")
    if sources:
        before, after = text.split("  sources:\n")
        listed = "".join(f"  - {source}\n" for source in sources)
        text = f"{before}  sources:\n{listed}{after[after.index('  count:') :]}"
    params.write_text(text)


def test_what_a_run_draws_of_a_source_is_told_beside_the_bundled_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "comments.csv", csv_of(200))
    found = looked_at(file, capsys, "--dry-run")
    others = [source.name for source in load_params().texts.sources]
    assert found["draw"] == {
        "texts": 200,
        "at_most": False,
        "count": 1200,
        "domains": len(others) + 1,
        "other_sources": others,
    }
    set_texts(300)
    assert looked_at(file, capsys, "--dry-run")["draw"]["texts"] == 60
    main(["add-source", str(file)])
    said = capsys.readouterr().out.splitlines()
    place = said.index("a run draws about 60 of them: texts.count is 300, drawn evenly over 5 domains")
    assert said[place + 1] == (
        f"  for more of them: --alone leaves out {', '.join(others)}; or raise texts.count in params.yaml"
    )


@pytest.mark.parametrize("flow", [False, True])
def test_alone_it_takes_the_place_of_the_sources_that_are_there_and_of_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flow: bool
) -> None:
    set_texts(300, *(["{name: news, kind: package, location: vader-nyt, domain: news}  # bundled"] if flow else []))
    if flow:
        params = Path("params.yaml")
        text = params.read_text().replace("  sources:\n  - {", "  sources: [{").replace("}  # bundled", "}]  # ours")
        params.write_text(text)
    before = load_params()
    file = written(tmp_path / "comments.csv", csv_of(200))
    main(["add-source", str(file)])
    assert [source.name for source in load_params().texts.sources] == [
        *(source.name for source in before.texts.sources),
        "comments",
    ]
    capsys.readouterr()
    main(["add-source", str(file), "--alone"])
    said = capsys.readouterr().out
    assert "a run draws all of them: texts.count is 300\n" in said and "for more" not in said
    assert "params.yaml: the only entry of texts.sources:\n" in said
    assert f"it takes the place of: {', '.join(source.name for source in before.texts.sources)}, comments\n" in said
    after = load_params()
    [source] = after.texts.sources
    assert (source.name, source.location) == ("comments", "data/sources/comments.csv")
    same = before.texts.model_copy(update={"sources": after.texts.sources})
    assert after == before.model_copy(update={"texts": same})
    assert ("# ours" in Path("params.yaml").read_text()) == flow


def test_what_a_run_draws_of_the_users_own_files_is_what_ingestion_then_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data/sources").mkdir(parents=True)
    written(Path("data/sources/few.csv"), ["comment", *(sentence(n) for n in range(1000, 1040)), "short"])
    set_texts(100, "{name: few, kind: csv, location: few.csv, domain: few, text_field: comment}")
    found = looked_at(written(tmp_path / "mine.csv", csv_of(200)), capsys)
    params = load_params()
    _, _, metrics = ingest(params.texts, {}, params.seed, tmp_path)
    assert found["draw"]["texts"] == metrics["sources"]["mine"]["out"] == 60


def test_sources_of_one_domain_share_what_is_drawn_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_texts(100, "{name: news, kind: package, location: vader-nyt, domain: news}")
    file = written(tmp_path / "mine.csv", csv_of(200))
    main(["add-source", str(file), "--domain", "news", "--dry-run"])
    assert "at most 100 of them: texts.count is 100, this one's shared with news\n" in capsys.readouterr().out


def test_beside_a_source_without_a_usable_text_all_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_texts(100, "{name: none, kind: csv, location: none.csv, domain: none}")
    Path("data/sources").mkdir(parents=True)
    written(Path("data/sources/none.csv"), ["text", "short"])
    main(["add-source", str(written(tmp_path / "mine.csv", csv_of(90))), "--dry-run"])
    said = capsys.readouterr().out
    assert "a run draws all of them: texts.count is 100" in said and "for more" not in said


def test_parquet_is_read_with_types_beside_the_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {"review": [sentence(n) for n in range(30)], "row_id": list(range(30)), "tags": [["a", "b"]] * 30}
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    found = looked_at(tmp_path / "p.parquet", capsys)
    assert (found["entry"]["text_field"], found["entry"]["id_field"], found["kept"]) == ("review", "row_id", 30)


def test_a_file_in_its_place_is_not_copied_and_not_entered_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("data/sources").mkdir(parents=True)
    file = written(Path("data/sources/a.csv"), csv_of(5))
    assert looked_at(file, capsys)["copied_to"] == ""
    assert "reads data/sources/a.csv already" in refused(file, capsys, "--name", "other")
    assert "texts.sources has 'a' already" in refused(file, capsys)


def test_another_file_of_the_name_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/sources").mkdir(parents=True)
    written(Path("data/sources/a.csv"), csv_of(5))
    assert "data/sources/a.csv: is another file" in refused(written(tmp_path / "a.csv", csv_of(6)), capsys)


def test_a_column_that_stands_twice_is_told_and_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["text,text,note"] + [f"{sentence(n)},{sentence(n)},{sentence(n + 50)}" for n in range(9)]
    file = written(tmp_path / "a.csv", rows)
    found = looked_at(file, capsys, "--dry-run")
    assert (found["columns_twice"], found["entry"]["text_field"]) == (["text"], "note")
    assert "more than one column is named 'text'" in refused(file, capsys, "--text-field", "text")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", b"", "a.csv: empty"),
        ("a.csv", b"text,id\n", "a header and no rows"),
        ("a.csv", b"PK\x03\x04" + bytes(range(256)), "save the sheet as CSV"),
        ("a.csv", bytes(range(1, 256)) * 40, "a.csv: "),
        ("a.csv", b"\x00\x01\x02\x03" * 500, "a.csv: "),
        ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a picture"),
        ("a.parquet", b"PAR1 and nothing of the kind", "not a readable Parquet file"),
        ("a.jsonl", b'[{"text": "a b"}]\n', "not a JSON object"),
        ("a.jsonl", b"{}\n", "no column looks like texts"),
        ("a.json", b'{"text": "a b"}', "one object a line"),
        ("a.txt", b"a line\n", "must end in .jsonl"),
        ("a.csv", b"id,stars\n1,2\n2,3\n", "no column looks like texts"),
        ("a.csv", b'text\n"never closed\n', "not valid CSV"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert told in refused(tmp_path / name, capsys)


def test_there_is_no_such_file_or_it_is_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in refused(tmp_path / "none.csv", capsys)
    assert "a folder" in refused(tmp_path, capsys)


def test_100_000_rows_are_looked_at_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = looked_at(written(tmp_path / "big.csv", csv_of(100_000)), capsys, "--dry-run")
    assert (found["rows"], found["entry"]["id_field"]) == (100_000, "id")
    assert found["kept"] > 99_900 and found["kept"] + sum(found["left_out"].values()) == 100_000
    assert found["unlooked"][-1].startswith("near-duplicates")
