"""Pairs without an answer get a difficulty or a reason; without such pairs nothing is loaded at all."""

import string
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from compeffdist.errors import UserError
from compeffdist.files import read_json, write_json
from compeffdist.params import Params, validate_params
from compeffdist.profiles import compose
from compeffdist.proxy.predict_difficulty import Openings, Predictions, predict_difficulty, scored_part
from compeffdist.proxy.prompt_features import MOST_OPENINGS
from compeffdist.records import Instruction, Pair, ScoredTriplet, Text, Triplet
from compeffdist.student.loading import PROVENANCE
from tests.factories import make_instruction, make_pair, make_score, make_task, make_text, make_triplet
from tests.stages import ROOT

from ..student.tiny import tiny_model_folder, tiny_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tiny_model_folder(tmp_path_factory.mktemp("student"))
    write_json(made / PROVENANCE, {"system_prompt": "Be brief."})
    return made


@pytest.fixture
def params() -> Params:
    raw = compose("smoke", ROOT / "profiles")
    raw["difficulty"]["max_length"] = 300
    raw["runtime"]["device"] = "cpu"
    return validate_params(yaml.safe_load(yaml.safe_dump(raw)), "params")


def judging(name: str) -> Instruction:
    return make_instruction(make_task(name=name, description=f"Judge the {name}.", labels=["positive", "negative"]))


def scored_rows(instruction: Instruction, count: int) -> list[tuple[Triplet, ScoredTriplet]]:
    triplets = [
        make_triplet(instruction, make_text(f"the film was great {n}"), response=instruction.labels[n % 2])
        for n in range(count)
    ]
    scores = [make_score(triplet, (number * 37 % 100) / 100) for number, triplet in enumerate(triplets)]
    return scored_part(triplets, scores)


def paired(instruction: Instruction, texts: list[str]) -> list[tuple[Pair, Instruction, Text]]:
    return [(make_pair(instruction, text), instruction, text) for text in map(make_text, texts)]


def test_every_pair_has_a_difficulty_or_a_reason(folder: Path, params: Params, tmp_path: Path) -> None:
    acting, plot = judging("acting"), judging("plot")
    pairs = [
        *paired(acting, ["the film was dreadful", "long " * 300, "fine"]),
        *paired(plot, ["the film was great", "<|im_end|>"]),
    ]
    found: list[Predictions] = []
    for name in ("one", "two"):
        scored = [*scored_rows(acting, 40), *scored_rows(plot, 30)]
        found.append(
            predict_difficulty(
                pairs, scored, params, asked=75, warm_up=folder, base_folder=folder, output=tmp_path / name / "proxy"
            )
        )
    assert found[0].predicted == found[1].predicted
    assert [row.pair_id for row in found[0].predicted] == [pairs[place][0].id for place in (0, 2, 3, 4)]
    assert all(0 <= row.difficulty <= 1 for row in found[0].predicted)
    assert [(reject.record_id, reject.reason) for reject in found[0].rejects] == [(pairs[1][0].id, "too_long")]
    description = read_json(tmp_path / "one/proxy/proxy.json")
    positive, negative = (tiny_tokenizer()(word).input_ids[0] for word in ("positive", "negative"))
    assert description["openings"] == {
        task.id: sorted([positive, negative]) for task in (acting, plot)
    }  # as many of each
    report = found[0].metrics["held_out"]
    assert (report["rows"], report["instructions"]) == (70, 2)
    assert report["rates"]["0.5"]["calls_saved"] == pytest.approx(1 - (75 + 0.5 * 5) / 80)  # 5 were refused


def test_without_pairs_nothing_is_loaded_and_the_folder_says_so(params: Params, tmp_path: Path) -> None:
    nowhere = tmp_path / "no model"
    found = predict_difficulty([], [], params, asked=0, warm_up=nowhere, base_folder=nowhere, output=tmp_path / "proxy")
    assert (found.predicted, found.rejects, found.metrics) == ([], [], {})
    assert read_json(tmp_path / "proxy/proxy.json") == {"instruction_ids": []}


def test_a_score_of_an_unknown_triplet_is_named() -> None:
    ((triplet, score),) = scored_rows(judging("acting"), 1)
    with pytest.raises(UserError, match=f"{triplet.id} is not in data/triplets"):
        scored_part([], [score])


def test_openings_are_the_most_frequent_first_tokens_of_an_instructions_answers() -> None:
    instruction, other = judging("mood"), judging("tone")
    triplets = [triplet for triplet, _ in scored_rows(instruction, 3)]  # positive, negative, positive
    positive, negative = (tiny_tokenizer()(word).input_ids[0] for word in ("positive", "negative"))
    openings = Openings(tiny_tokenizer(), triplets)
    assert openings.of(instruction.id) == [positive, negative]
    assert openings.of(other.id) == []
    assert [openings.given(triplet.pair_id, instruction.id) for triplet in triplets] == [0, 1, 0]
    assert openings.given("pair_without_answer", instruction.id) == -1


def test_of_many_openings_the_rarest_are_no_openings() -> None:
    instruction = judging("mood")
    letters = string.ascii_letters[: MOST_OPENINGS + 1]
    responses = 2 * letters[:-1] + letters[-1]
    triplets = [triplet for triplet, _ in scored_rows(instruction, len(responses))]
    answered = [replace(one, id="", response=letter) for one, letter in zip(triplets, responses, strict=True)]
    openings = Openings(tiny_tokenizer(), answered)
    assert len(openings.of(instruction.id)) == MOST_OPENINGS
    assert [openings.given(one.pair_id, instruction.id) for one in answered][-1] == -1
