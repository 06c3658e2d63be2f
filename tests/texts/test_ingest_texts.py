import json
import random
from pathlib import Path
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.params import TextsParams
from compeffdist.record_files import read_records, write_records
from compeffdist.records import Reject, Text
from compeffdist.texts.ingest_texts import ingest, source_lines, whole_ids
from compeffdist.texts.withdrawals import withdraw, withdrawn_ids

SUBJECTS = [
    "screen",
    "battery",
    "keyboard",
    "speaker",
    "camera",
    "charger",
    "cable",
    "lens",
    "tripod",
    "printer",
]
FAULTS = [
    "broke",
    "stopped",
    "failed",
    "worked",
    "cracked",
    "rusted",
    "melted",
    "vanished",
    "exploded",
    "shrank",
]


def sentence(number: int) -> str:
    """English texts that share no word 5-gram."""
    subject, fault = SUBJECTS[number % 10], FAULTS[number // 10 % 10]
    return f"The {subject} number {number} {fault} after {number} weeks and I sent {subject}{number} back."


class Workspace:
    """Sources on disk and the params that name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: list[dict[str, Any]] = []

    def add(self, name: str, texts: list[Any], domain: str = "product", ids: bool = False) -> None:
        path = self.folder / f"{name}.jsonl"
        rows = [{"id": f"r{n}", "text": text} for n, text in enumerate(texts)]
        if ids:
            random.Random(len(self.sources)).shuffle(rows)
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        self.sources.append(
            {"name": name, "kind": "jsonl", "location": str(path), "domain": domain}
            | ({"id_field": "id"} if ids else {})
        )

    def run(
        self, count: int = 1000, evaluation: dict[str, str] | None = None, seed: int = 7, **params: Any
    ) -> tuple[list[Text], list[Reject], dict[str, Any]]:
        settings = TextsParams.model_validate({"sources": self.sources, "count": count, **params})
        return ingest(settings, evaluation or {}, seed, self.folder)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def reasons(rejects: list[Reject]) -> dict[str, str]:
    return {reject.detail.split()[0]: reject.reason for reject in rejects}


def test_every_row_is_kept_or_rejected_with_its_reason(workspace: Workspace) -> None:
    held = sentence(5)
    workspace.add(
        "shop",
        [
            sentence(1),  # line 1: kept
            None,
            "",
            "Too short",
            "La comida estaba muy rica y el servicio fue excelente",
            "x" * 3000,
            sentence(1),
            f"{held} Indeed.",
            17,
        ],
    )
    texts, rejects, metrics = workspace.run(evaluation={"row_x": held})
    assert [text.text for text in texts] == [sentence(1)]
    assert (texts[0].source, texts[0].source_row, texts[0].domain) == ("shop", "1", "product")
    assert reasons(rejects) == {
        "shop:2": "no_text",
        "shop:3": "empty",
        "shop:4": "too_short",
        "shop:5": "not_english",
        "shop:6": "too_long",
        "shop:7": "duplicate",
        "shop:8": "contaminated",
        "shop:9": "not_a_string",
    }
    assert metrics["in"] == metrics["out"] + metrics["rejected"] == 9
    assert metrics["rejected"] == sum(metrics["reasons"].values()) == len(rejects)
    assert metrics["sources"]["shop"]["reasons"] == metrics["reasons"]
    assert metrics["domains"] == {"product": 1}
    (line,) = source_lines(metrics)
    assert line.startswith("texts: shop: 1 of 9 rows; left out: 1 ") and "1 not_a_string" in line


def test_a_contaminated_text_names_its_evaluation_row_and_takes_no_clean_texts_place(
    workspace: Workspace,
) -> None:
    held = " ".join(sentence(n) for n in (1, 2))
    # a near-duplicate of the contaminated text that holds too little of the evaluation text itself
    workspace.add("shop", [held + " " + sentence(3), sentence(3)])
    texts, rejects, _ = workspace.run(evaluation={"row_x": held})
    assert [text.text for text in texts] == [sentence(3)]
    assert [reject.detail for reject in rejects] == ["shop:1 row_x prefix"]


def test_near_duplicates_go_unless_only_exact_copies_shall(workspace: Workspace) -> None:
    text = sentence(1) + " " + sentence(2)
    workspace.add("shop", [text, text.upper()])
    texts, rejects, _ = workspace.run()
    assert len(texts) == 1
    assert rejects[0].reason == "near_duplicate"
    assert rejects[0].detail.endswith(texts[0].id)
    assert len(workspace.run(near_duplicate_similarity=1.0)[0]) == 2


def test_too_long_texts_can_be_truncated_and_are_counted(workspace: Workspace) -> None:
    workspace.add("shop", [f"{sentence(1)} {sentence(2)}", sentence(3)])
    texts, rejects, metrics = workspace.run(max_characters=100, too_long="truncate")
    assert {text.text for text in texts} == {sentence(1), sentence(3)}
    assert rejects == []
    assert metrics["truncated"] == metrics["sources"]["shop"]["truncated"] == 1


def test_the_draw_is_even_over_domains_and_a_short_domains_share_goes_to_the_others(
    workspace: Workspace,
) -> None:
    workspace.add("a", [sentence(n) for n in range(50)], domain="product")
    workspace.add("b", [sentence(n) for n in range(100, 150)], domain="tweet")
    workspace.add("c", [sentence(n) for n in range(200, 204)], domain="news")
    texts, rejects, metrics = workspace.run(count=24)
    assert metrics["domains"] == {"news": 4, "product": 10, "tweet": 10}
    assert metrics["reasons"] == {"not_drawn": 80}
    assert len(texts) + len(rejects) == 104


def test_the_same_texts_are_kept_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    rows = [sentence(n % 40) + (" !" if n % 3 else "") for n in range(90)]
    results = []
    for turn in range(2):
        folder = tmp_path / str(turn)
        folder.mkdir()
        workspace = Workspace(folder)
        named = [{"id": f"r{n}", "text": text} for n, text in enumerate(rows)]
        path = folder / "s.jsonl"
        path.write_text("\n".join(map(json.dumps, named[::-1] if turn else named)), encoding="utf-8")
        workspace.sources.append({"name": "s", "kind": "jsonl", "location": str(path), "domain": "d", "id_field": "id"})
        results.append(workspace.run(count=20))
    assert results[0] == results[1]
    assert results[0][2]["reasons"].keys() == {"duplicate", "near_duplicate", "not_drawn"}


def test_of_equal_texts_the_row_of_the_source_named_first_is_kept(workspace: Workspace) -> None:
    workspace.add("first", ["filler text that is here to stay", sentence(1), sentence(1)], domain="product")
    workspace.add("second", [sentence(1)], domain="tweet")
    texts, rejects, _ = workspace.run()
    kept = next(text for text in texts if text.text == sentence(1))
    assert (kept.source, kept.source_row) == ("first", "2")
    assert {reject.detail for reject in rejects} == {"first:3 of first:2", "second:1 of first:2"}


def test_texts_and_rejects_can_be_written_and_read_back(workspace: Workspace, tmp_path: Path) -> None:
    workspace.add("shop", [sentence(n % 5) for n in range(20)])
    texts, rejects, _ = workspace.run(count=3)
    write_records(tmp_path / "texts.parquet", Text, texts)
    write_records(tmp_path / "rejects.parquet", Reject, rejects)
    assert read_records(tmp_path / "texts.parquet", Text) == texts == sorted(texts, key=lambda text: text.id)
    assert read_records(tmp_path / "rejects.parquet", Reject) == rejects


def test_nothing_left_is_an_error_that_names_the_main_reason(workspace: Workspace) -> None:
    workspace.add("shop", ["short", "brief", ""])
    with pytest.raises(UserError, match="no text is left of 3 rows; 2 were rejected as too_short"):
        workspace.run()


def test_another_seed_draws_other_texts(workspace: Workspace) -> None:
    workspace.add("shop", [sentence(n) for n in range(60)])
    assert workspace.run(count=10, seed=1)[0] != workspace.run(count=10, seed=2)[0]


def test_a_withdrawn_text_stays_out_however_it_is_cut(workspace: Workspace) -> None:
    long = f"{sentence(1)} {sentence(2)} {sentence(3)}"
    workspace.add("shop", [long, sentence(4)])
    settings = {"sources": workspace.sources, "count": 10, "too_long": "truncate"}
    short, longer, whole = (TextsParams.model_validate({**settings, "max_characters": n}) for n in (100, 120, 4000))
    cut = next(text for text in ingest(short, {}, 7, workspace.folder)[0] if text.source_row == "1")
    ids = whole_ids(short, workspace.folder, cut.id, cut.source)
    assert ids == [Text(text=long, domain="", source="", source_row="", licence="").id]
    ledger = workspace.folder / "withdrawals.jsonl"
    assert withdraw(cut.id, ledger, ids) and not withdraw(cut.id, ledger, ids)
    for params in (short, longer, whole):
        texts, rejects, _ = ingest(params, {}, 7, workspace.folder, withdrawn_ids(ledger))
        assert [text.source_row for text in texts] == ["2"]
        assert [(reject.record_id, reject.reason) for reject in rejects] == [("shop:1", "withdrawn")]


def test_a_text_that_was_not_cut_is_its_own_whole(workspace: Workspace) -> None:
    workspace.add("shop", [sentence(1)])
    settings = TextsParams.model_validate({"sources": workspace.sources, "count": 10})
    (text,), _, _ = workspace.run()
    assert whole_ids(settings, workspace.folder, text.id, text.source) == []
