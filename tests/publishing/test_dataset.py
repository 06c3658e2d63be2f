"""export dataset: what others load is what the student was trained on, and nothing that may not be passed on."""

import json
import logging
from contextlib import chdir
from html import escape
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from markdown_it import MarkdownIt

from compeffdist.artefacts import SCORED, TEXTS, TRAINING, TRIPLETS, rejects_of
from compeffdist.cli.main import main
from compeffdist.errors import UserError
from compeffdist.files import hash_file, read_json
from compeffdist.publishing import dataset
from compeffdist.publishing.dataset import export_dataset
from compeffdist.publishing.dataset_card import dataset_card
from compeffdist.publishing.dataset_rows import COLUMNS, READ, rows_of
from compeffdist.publishing.finished import open_run
from compeffdist.publishing.writing import MANIFEST
from compeffdist.records import Reject, Text
from compeffdist.texts.withdrawals import withdraw
from tests.lineage.conftest import World, files_of, learnt_text
from tests.mini_run import MiniRun
from tests.publishing.conftest import commit_stale


def loaded(folder: Path, tmp_path: Path, *config: str) -> datasets.Dataset:
    return datasets.load_dataset(str(folder), *config, split="train", cache_dir=str(tmp_path / "hf"))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: data for name, (_, data) in files_of(folder).items()}


def test_load_dataset_opens_the_training_rows_joined_with_what_they_were_made_from(
    world: World, tmp_path: Path
) -> None:
    done = export_dataset(tmp_path / "rows", world.repository)
    rows = {row["id"]: row for row in loaded(tmp_path / "rows", tmp_path)}
    trained = {record.id: record for record in world.records(TRAINING)}
    texts = {text.id: text for text in world.records(TEXTS)}
    scores = {score.triplet_id: score for score in world.records(SCORED)}
    assert rows.keys() == trained.keys() and done.figures == {"training": len(trained)}
    for key, row in rows.items():
        text = texts[trained[key].text_id]
        assert list(row) == list(COLUMNS)
        assert (row["prompt"], row["response"]) == (trained[key].prompt, trained[key].response)
        assert (row["text"], row["source"], row["licence"]) == (text.text, text.source, text.licence)
        assert Text(id=row["text_id"], text=row["text"], domain="", source="", source_row="", licence="")
        assert row["ranking"] == scores[key].ranking and row["kept"] is True
        assert row["perspective"] in row["task_name"]  # the miniature's tasks are called "on HEAD"


def test_all_adds_every_scored_triplet_kept_or_not(world: World, tmp_path: Path) -> None:
    export_dataset(tmp_path / "rows", world.repository, every_row=True)
    scored = loaded(tmp_path / "rows", tmp_path, "scored")
    assert set(scored["id"]) == {record.id for record in world.records(TRIPLETS)}
    kept = {row["id"] for row in scored if row["kept"]}
    assert kept == {record.id for record in world.records(TRAINING)} < set(scored["id"])
    assert set(loaded(tmp_path / "rows", tmp_path)["id"]) == kept  # the default is what was trained on


def test_rows_that_the_training_refused_are_not_among_those_it_was_trained_on(own_world: World, tmp_path: Path) -> None:
    refused, *others = [record.id for record in own_world.records(TRAINING)]
    with chdir(own_world.folder):
        rejects = rejects_of("train_student")
        Path(rejects).unlink()
        rejects.write([Reject(stage="train_student", record_id=refused, reason="too_long")])
    own_world.dvc_commit()
    own_world.commit("a row too long")
    export_dataset(tmp_path / "rows", own_world.repository)
    assert list(loaded(tmp_path / "rows", tmp_path)["id"]) == others


def test_rows_whose_difficulty_was_predicted_have_no_scores(
    tmp_path: Path, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = MiniRun.made(tmp_path / "run", "", base_folder, proxy=True)
    monkeypatch.chdir(run.folder)
    export_dataset(tmp_path / "rows", run.repository)
    rows, scored = loaded(tmp_path / "rows", tmp_path), {score.triplet_id for score in run.records(SCORED)}
    assert set(rows["id"]) == {record.id for record in run.records(TRAINING)}
    assert {row["id"] for row in rows if row["ranking"] is not None} == set(rows["id"]) & scored
    assert set(rows["id"]) - scored and all(row["difficulty"] is not None for row in rows)


def test_the_card_states_the_figures_of_the_run(world: World, tmp_path: Path) -> None:
    export_dataset(tmp_path / "rows", world.repository)
    _, front, body = (tmp_path / "rows/README.md").read_text().split("---\n", 2)
    card, trained = yaml.safe_load(front), world.records(TRAINING)
    assert card["license"] == "cc0-1.0" and card["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in card["configs"]] == ["training"]
    assert f"{len(trained):,} rows of instruction" in body
    assert f"on {len({row.text_id for row in trained})} texts" in body
    assert f"| mine   | not stated | CC0-1.0 | {len(world.records(TEXTS))} " in body
    assert world.run("git", "rev-parse", "HEAD").strip() in body


@pytest.mark.parametrize(
    "name", ["</td><script>x</script>", "a | b |\n\n# head", "---\nlicense: other", "[x](javascript:y)"]
)
def test_a_task_that_the_teacher_named_maliciously_is_but_a_name(world: World, name: str) -> None:
    run = open_run(world.repository, READ)
    rows = rows_of(run, "training")
    named = rows.set_column(rows.column_names.index("task_name"), "task_name", pa.array([name] * len(rows)))
    _, front, body = dataset_card(run, {"training": named}, {"training": "x.parquet"}).split("---\n", 2)
    html = MarkdownIt("commonmark").enable("table").render(body)
    assert yaml.safe_load(front)["license"] == "cc0-1.0"
    assert (html.count("<h1>"), html.count("<script"), html.count("<a ")) == (1, 0, 0)
    assert f"<td>{escape(' '.join(name.split()), quote=False)}</td>" in html.replace("&quot;", '"')


def test_mlcroissant_accepts_the_description_and_reads_the_rows_by_it(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant

    export_dataset(tmp_path / "rows", world.repository, every_row=True, url="https://example.org/x", creator="A team")
    with caplog.at_level(logging.WARNING):
        described = mlcroissant.Dataset(tmp_path / "rows/croissant.json")
        rows = {row["training/id"].decode(): row for row in described.records("training")}
    assert not described.metadata.ctx.issues.errors and not described.metadata.ctx.issues.warnings
    assert not caplog.records  # the context is the standard one
    trained = {record.id: record for record in world.records(TRAINING)}
    assert rows.keys() == trained.keys()
    assert all(row["training/response"].decode() == trained[key].response for key, row in rows.items())
    assert all(list(row["training/probabilities"]) == trained[key].probabilities for key, row in rows.items())
    value = read_json(tmp_path / "rows/croissant.json")
    assert value["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert value["license"] == ["https://spdx.org/licenses/CC0-1.0.html"]
    assert value["prov:wasGeneratedBy"]["prov:label"].startswith(f"run of commit {described_commit(tmp_path)}")
    assert [one["license"] for one in value["prov:wasDerivedFrom"]] == ["https://spdx.org/licenses/CC0-1.0.html"]
    response = next(field for field in value["recordSet"][0]["field"] if field["name"] == "response")
    assert [one["equivalentProperty"] for one in response["annotation"]] == [
        "prov:wasAttributedTo",
        "prov:wasDerivedFrom",
    ]


def described_commit(tmp_path: Path) -> str:
    return str(read_json(tmp_path / "rows" / MANIFEST)["commit"])


def test_the_same_state_gives_the_same_bytes_and_the_manifest_their_hashes(world: World, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_dataset(tmp_path / name, world.repository, every_row=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    manifest = read_json(tmp_path / "one" / MANIFEST)
    assert manifest["files"] == {
        name: hash_file(tmp_path / "one" / name) for name in contents(tmp_path / "one") if name != MANIFEST
    }


def test_a_withdrawn_text_is_not_exported_by_any_format(
    own_world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = learnt_text(own_world)
    withdraw(text.id, own_world.folder / "data/withdrawals.jsonl")
    for name in ("dataset", "model", "bom", "lineage"):
        with pytest.raises(SystemExit) as left:
            main(["export", name, "--out", str(tmp_path / "out" / name)])
        said = capsys.readouterr().err
        assert left.value.code == 1 and said.count("\n") == 1
        assert text.id in said and "dvc repro" in said
    assert not (tmp_path / "out").exists()


def test_rows_are_those_of_the_lock_whatever_lies_in_the_working_folder(own_world: World, tmp_path: Path) -> None:
    place = own_world.folder / TRAINING
    rows = own_world.records(TRAINING)
    place.unlink()  # it is a link into the cache, or was
    TRAINING.write(rows[:1])
    export_dataset(tmp_path / "rows", own_world.repository)
    assert pq.read_table(tmp_path / "rows/training").num_rows == len(rows)


def test_a_run_that_is_not_finished_or_not_committed_is_refused(own_world: World, tmp_path: Path) -> None:
    lock = own_world.folder / "dvc.lock"
    whole = lock.read_text()
    lock.write_text(whole + "\n")
    with pytest.raises(UserError, match=r"dvc\.lock is in no commit"):
        export_dataset(tmp_path / "rows", own_world.repository)
    commit_stale(own_world, "train_student", TRAINING)
    with pytest.raises(UserError, match=r"not finished: train_student read data/training\.parquet"):
        export_dataset(tmp_path / "rows", own_world.repository)
    lock.unlink()  # git has one still, which is not what lies here
    with pytest.raises(UserError, match=r"dvc\.lock: no such file: nothing was run here yet"):
        export_dataset(tmp_path / "rows", own_world.repository)
    assert not (tmp_path / "rows").exists()


def test_texts_of_unknown_or_forbidding_licence_stay_unless_told_otherwise(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "stated_licences", lambda rows: [("mine", "unstated")])
    with pytest.raises(UserError, match=r"source mine: its licence is unknown.*--allow-unknown-licence"):
        export_dataset(tmp_path / "rows", world.repository)
    done = export_dataset(tmp_path / "rows", world.repository, allow_unknown_licence=True)
    assert "the licence of mine is unknown, and called so" in done.notes
    monkeypatch.setattr(dataset, "stated_licences", lambda rows: [("mine", "All rights reserved")])
    with pytest.raises(UserError, match=r"source mine: its licence forbids.*--despite-licence mine"):
        export_dataset(tmp_path / "other", world.repository, allow_unknown_licence=True)
    assert export_dataset(tmp_path / "other", world.repository, despite_licence=["mine"])


def test_an_export_takes_no_other_things_place_and_is_there_whole_or_not_at_all(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "rows"
    target.mkdir()
    export_dataset(target, world.repository)  # an empty folder is free
    with pytest.raises(UserError, match="--force"):
        export_dataset(target, world.repository)
    export_dataset(target, world.repository, force=True)
    (target / "notes.txt").write_text("mine")
    before = contents(target)
    with pytest.raises(UserError, match="holds what no export of a dataset wrote"):
        export_dataset(target, world.repository, force=True)
    (target / "notes.txt").unlink()
    (target / "link").symlink_to(target / "README.md")
    with pytest.raises(UserError, match=r"wrote .link: neither a file nor a folder"):
        export_dataset(target, world.repository, force=True)
    (target / "link").unlink()
    (target / "README.md").write_bytes(before["README.md"] + b"My words.")
    with pytest.raises(UserError, match=r"wrote .README\.md was changed"):
        export_dataset(target, world.repository, force=True)
    (target / "README.md").write_bytes(before["README.md"])

    def broken(*_: object) -> str:
        raise RuntimeError("killed")

    monkeypatch.setattr(dataset, "dataset_card", broken)
    for place in (target, tmp_path / "fresh"):
        with pytest.raises(RuntimeError):
            export_dataset(place, world.repository, force=True)
    assert contents(target) | {"notes.txt": b"mine"} == before
    assert {path.name for path in tmp_path.iterdir()} <= {"rows", "hf"}


def test_the_command_says_what_was_written(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", "dataset", "--out", str(tmp_path / "rows"), "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out)["figures"] == {"training": len(world.records(TRAINING))}
    assert "--url, --creator" in said.err
