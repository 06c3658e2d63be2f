"""Every triplet is scored or rejected, in the student's own chat format."""

from pathlib import Path
from typing import Any

import pytest

from compeffdist.difficulty import scorer
from compeffdist.difficulty.score_difficulty import score_in_blocks, score_triplets, scorer_identity
from compeffdist.formatting import encode_prompt, encode_response
from compeffdist.params import DifficultyParams, RuntimeParams
from compeffdist.student.batching import TokenRow
from compeffdist.student.loading import load_student
from tests.factories import make_triplet

from ..student.tiny import tiny_model_folder
from .oracle import oracle_row, slow_measures

SYSTEM = "You analyse sentiment."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("student"))


def runtime_of(folder: Path) -> RuntimeParams:
    return RuntimeParams(device="cpu", scores=str(folder.parent / "scores"))


@pytest.fixture
def fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores in bfloat16 depend on the batch in their second digit."""
    monkeypatch.setattr("compeffdist.precision.cpu_multiplies", lambda dtype: False)


@pytest.mark.usefixtures("fp32")
@pytest.mark.parametrize("exclude_zero", [True, False])
def test_scores_are_those_of_the_oracle_on_the_chat_format_without_the_end(folder: Path, exclude_zero: bool) -> None:
    triplets = [
        make_triplet(prompt="the film was great", response="positive"),
        make_triplet(prompt="a bore", response="the film was dreadful"),
    ]
    params = DifficultyParams(exclude_zero=exclude_zero)
    scored, rejects = score_triplets(
        triplets,
        folder,
        params,
        runtime_of(folder),
        weights="weights",
        system=SYSTEM,
    )
    assert rejects == []
    model, tokenizer = load_student(folder, "cpu")
    for record, triplet in zip(scored, triplets, strict=True):
        prompt_ids = encode_prompt(tokenizer, SYSTEM, triplet.prompt)
        response_ids = encode_response(tokenizer, triplet.response, end=False)
        truth = oracle_row(model, TokenRow(triplet.id, prompt_ids, response_ids), params.top_p)
        assert record.triplet_id == triplet.id
        assert record.measures["tokens"] == len(response_ids)
        expected = slow_measures(truth)
        assert {name: record.measures[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-5)
        assert record.ranking == record.measures["ranking_excluding_zero" if exclude_zero else "ranking_all"]


def test_in_equals_out_plus_rejected(folder: Path) -> None:
    triplets = [
        make_triplet(prompt="fine", response="positive"),
        make_triplet(prompt="fine?", response=""),
        make_triplet(prompt="long " * 80, response="neutral"),
    ]
    scored, rejects = score_triplets(
        triplets, folder, DifficultyParams(max_length=150), runtime_of(folder),
        weights="weights", system=SYSTEM,
    )  # fmt: skip
    assert [record.triplet_id for record in scored] == [triplets[0].id]
    assert [(reject.stage, reject.record_id, reject.reason) for reject in rejects] == [
        ("score_difficulty", triplets[1].id, "empty_response"),
        ("score_difficulty", triplets[2].id, "too_long"),
    ]


@pytest.mark.usefixtures("fp32")
def test_blocks_are_scored_each_by_itself_and_a_repeated_run_computes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    triplets = [
        make_triplet(text_id=f"text_{n}", prompt=f"film {n} was {'so ' * n}great", response="positive")
        for n in range(7)
    ]
    params, runtime = DifficultyParams(), RuntimeParams(device="cpu", scores=str(tmp_path))
    blocks = [triplets[:3], [], triplets[3:]]
    arguments = {"weights": "weights", "system": SYSTEM}

    def in_blocks() -> list[Any]:
        return list(score_in_blocks(iter(blocks), len(triplets), folder, params, runtime, **arguments))

    found = in_blocks()
    assert [len(scored) for scored, _ in found] == [3, 0, 4]
    apart = [score_triplets(block, folder, params, runtime_of(folder), **arguments) for block in blocks]
    assert found == apart
    at_once, _ = score_triplets(triplets, folder, params, runtime_of(folder), **arguments)
    for one, other in zip(at_once, [record for scored, _ in found for record in scored], strict=True):
        assert (one.id, one.ranking) == (other.id, pytest.approx(other.ranking, abs=1e-6))
    monkeypatch.setattr(scorer, "_score_batch", None)
    assert in_blocks() == found


@pytest.mark.usefixtures("fp32")
def test_ifd_is_the_ratio_of_perplexities_with_and_without_the_prompt(folder: Path) -> None:
    triplets = [
        make_triplet(prompt="the film was great", response="positive"),
        make_triplet(prompt="a bore", response="negative"),
    ]
    arguments = {"weights": "weights", "system": SYSTEM}
    plain, _ = score_triplets(triplets, folder, DifficultyParams(), runtime_of(folder), **arguments)
    scored, rejects = score_triplets(triplets, folder, DifficultyParams(ifd=True), runtime_of(folder), **arguments)
    assert rejects == []
    model, tokenizer = load_student(folder, "cpu")
    for record, without, triplet in zip(scored, plain, triplets, strict=True):
        response_ids = encode_response(tokenizer, triplet.response, end=False)
        bare = oracle_row(model, TokenRow("bare", encode_prompt(tokenizer, SYSTEM, ""), response_ids), 0.95)
        perplexities = record.measures["perplexity"], slow_measures(bare)["perplexity"]
        assert record.measures["ifd"] == pytest.approx(perplexities[0] / perplexities[1], rel=1e-4)
        assert (without.measures["ifd"], without.ranking) == (None, record.ranking)


def test_scores_that_other_code_computed_are_not_reused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = RuntimeParams(device="cpu", scores=str(tmp_path))

    def folders() -> int:
        score_triplets(
            [make_triplet(prompt="a", response="b")],
            folder,
            DifficultyParams(),
            runtime,
            weights="weights",
            system=SYSTEM,
        )
        return len(list(tmp_path.iterdir()))

    assert [folders(), folders()] == [1, 1]
    monkeypatch.setattr("compeffdist.difficulty.passes.code_hash", lambda path: "an edited file")
    assert folders() == 2


def test_rows_are_scored_again_only_for_a_setting_that_changes_their_scores(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    original = scorer._score_batch

    def spy(parts: Any, prefix: Any, batch: Any, *rest: Any) -> Any:
        rows.append(len(batch))
        return original(parts, prefix, batch, *rest)

    monkeypatch.setattr(scorer, "_score_batch", spy)
    runtime = RuntimeParams(device="cpu", scores=str(tmp_path))
    triplets = [
        make_triplet(prompt="the film was great", response="positive"),
        make_triplet(prompt="a bore", response="negative"),
    ]

    def computed(weights: str = "weights", **settings: Any) -> int:
        rows.clear()
        score_triplets(triplets, folder, DifficultyParams(**settings), runtime, weights=weights, system=SYSTEM)
        return sum(rows)

    assert computed() == 2
    assert computed(exclude_zero=False) == computed(max_length=512) == computed(mode="proxy") == 0
    assert computed(ifd=True) == 2  # the pass without prompts
    assert computed(ifd=True) == computed(ifd=False) == 0
    assert computed(top_p=0.9) == computed(weights="other weights") == 2


def test_a_scorers_identity_covers_weights_settings_and_system_prompt() -> None:
    settings = DifficultyParams()
    identities = {
        scorer_identity("weights", settings, SYSTEM),
        scorer_identity("other weights", settings, SYSTEM),
        scorer_identity("weights", DifficultyParams(top_p=0.9), SYSTEM),
        scorer_identity("weights", DifficultyParams(exclude_zero=False), SYSTEM),
        scorer_identity("weights", DifficultyParams(ifd=True), SYSTEM),
        scorer_identity("weights", settings, "Another system prompt."),
    }
    assert len(identities) == 6
    assert scorer_identity("weights", settings, SYSTEM) in identities
    assert scorer_identity("weights", DifficultyParams(max_length=512), SYSTEM) in identities
