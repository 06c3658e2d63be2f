"""A base student's answers are computed once, and again wherever anything they depend on differs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from compeffdist.evaluation import kept
from compeffdist.evaluation.kept import keeping_scorer
from compeffdist.evaluation.predictions import Scorer
from compeffdist.params import RuntimeParams

LABELS = ("bad", "good")


class Model:
    """Counts how often it is loaded and what it is asked."""

    def __init__(self, value: float = -0.1) -> None:
        self.value, self.loaded, self.asked = value, 0, 0

    def __call__(self) -> Scorer:
        self.loaded += 1

        def score(prompts: Sequence[str], labels: tuple[str, ...]) -> list[Mapping[str, float]]:
            self.asked += len(prompts)
            return [{label: self.value / (1 + len(prompt)) for label in labels} for prompt in prompts]

        return score


def runtime(folder: Path, **changes: Any) -> RuntimeParams:
    return RuntimeParams(scores=str(folder), device="cpu", **changes)


def test_the_same_question_is_answered_once_to_the_last_bit(tmp_path: Path) -> None:
    model = Model(-1 / 3)
    first = keeping_scorer(model, "model_1", runtime(tmp_path), "")(["a", "bc"], LABELS)
    other = Model()
    assert keeping_scorer(other, "model_1", runtime(tmp_path), "")(["a", "bc"], LABELS) == first
    assert (model.loaded, model.asked, other.loaded) == (1, 2, 0)


@pytest.mark.parametrize(
    "change", ["weights", "system", "prompts", "labels", "token_budget", "device", "code", "torch"]
)
def test_what_an_answer_depends_on_is_asked_anew(tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keeping_scorer(Model(), "model_1", runtime(tmp_path), "")(["a"], LABELS)
    model = Model()
    if change == "device":
        monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "another")
    if change == "code":
        monkeypatch.setattr(kept, "code_hash", lambda path: "another")
    if change == "torch":
        monkeypatch.setattr("importlib.metadata.version", lambda name: "0.0")
    budget = {"token_budget": 64} if change == "token_budget" else {}
    score = keeping_scorer(
        model,
        "model_2" if change == "weights" else "model_1",
        runtime(tmp_path, **budget),
        "Be brief." if change == "system" else "",
    )
    score(["b"] if change == "prompts" else ["a"], LABELS[::-1] if change == "labels" else LABELS)
    assert model.asked == 1


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    score = keeping_scorer(Model(), "model_1", runtime(tmp_path), "")
    first = score(["a"], LABELS)
    (file,) = tmp_path.rglob("*.json")
    for damaged in ("{", "[]", file.read_text().replace("0.05", "0.04"), file.read_text().replace("rows", "lines")):
        file.write_text(damaged)
        assert keeping_scorer(Model(), "model_1", runtime(tmp_path), "")(["a"], LABELS) == first


def test_what_json_cannot_hold_is_not_kept(tmp_path: Path) -> None:
    score = keeping_scorer(Model(float("-inf")), "model_1", runtime(tmp_path), "")
    assert score(["a"], LABELS)[0]["bad"] == float("-inf")
    assert not list(tmp_path.rglob("*.json"))
