"""Soft targets against a slow reckoning: the target of every position written out over the whole vocabulary."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compeffdist.formatting import encode_response, end_token_id
from compeffdist.params import FineTuningParams
from compeffdist.student.branching import branch_attention
from compeffdist.student.layout import Packing, Padding
from compeffdist.student.loading import load_student
from compeffdist.student.packing import EncodedRow
from compeffdist.student.soft_labels import soft_corrections
from compeffdist.student.trainer import response_loss
from compeffdist.student.training import TrainingRow, encode_rows, fine_tune
from tests.fakes import SYSTEM

LABELS = ("positive", "neutral", "negative", "neg")
PROBABILITIES = (0.5, 0.2, 0.05, 0.25)
ROWS = [
    *(
        TrainingRow(f"row{n}", f"Say what the text feels.\n\nInput: the film {n}", label, LABELS, PROBABILITIES)
        for n, label in enumerate(LABELS)
    ),
    TrainingRow("rowx", "Say what the text feels.\n\nInput: the film x", "a film, great"),
]


def target(tokenizer: Any, row: TrainingRow, place: int, share: float) -> dict[int, float]:
    """What the token at `place` of the response should be: by sums over all labels, token by token."""
    end = end_token_id(tokenizer)
    paths = {label: [*encode_response(tokenizer, label, end=False), end] for label in row.labels}
    own = [*encode_response(tokenizer, row.response, end=False), end]
    under = {label: p for label, p in paths.items() if p[:place] == own[:place] and len(p) > place}
    weights = {label: row.probabilities[row.labels.index(label)] for label in under}
    if len({path[place] for path in under.values()}) < 2:
        return {own[place]: 1.0}
    found = {own[place]: 1.0 - share}
    for label, path in under.items():
        found[path[place]] = found.get(path[place], 0.0) + share * weights[label] / sum(weights.values())
    return found


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_the_loss_is_the_cross_entropy_against_the_written_out_target(tiny_folder: Path, share: float) -> None:
    model, tokenizer = load_student(tiny_folder, "cpu", "float32")
    rows = encode_rows(tokenizer, SYSTEM, ROWS, 2048, "stage", share)[0]
    total = torch.zeros(())
    for row, source in zip(rows, ROWS, strict=True):
        logits = model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        for place in range(len(row.response_ids)):
            wanted = target(tokenizer, source, place, share)
            assert sum(wanted.values()) == pytest.approx(1.0)
            for token, weight in wanted.items():
                total = total - weight * logits[len(row.prompt_ids) + place - 1, token]
    total.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    way = branch_attention(model)
    assert way is not None
    for layout in (Packing(rows, way, 8, 10_000), Packing(rows, way, 8, 150), Padding(rows, 0, 8, 10_000)):
        model.zero_grad()
        losses = [response_loss(model, layout, one) for one in layout.passes(range(len(rows)))]
        sum(losses).backward()
        assert float(sum(losses).detach()) == pytest.approx(float(total.detach()), rel=1e-5)
        for mine, theirs in zip((p.grad for p in model.parameters() if p.grad is not None), expected, strict=True):
            assert float((mine - theirs).abs().max()) <= 1e-5 * max(float(g.abs().max()) for g in expected)


def test_no_soft_part_is_the_plain_loss_to_the_bit(tiny_folder: Path, tmp_path: Path) -> None:
    settings = FineTuningParams(epochs=1.0, batch_size=4)
    plain_rows = [TrainingRow(row.id, row.prompt, row.response) for row in ROWS]
    curves = [
        fine_tune(
            tiny_folder, rows, s, base_id="b", seed=1, output=tmp_path / name, stage="s", device="cpu", system=SYSTEM
        ).curve
        for name, rows, s in (
            ("hard", ROWS, settings),
            ("plain", plain_rows, settings.model_copy(update={"soft_labels": 1.0})),
            ("soft", ROWS, settings.model_copy(update={"soft_labels": 1.0})),
        )
    ]
    assert curves[0] == curves[1] != curves[2]


def test_soft_rows_are_counted_and_part_of_what_a_student_is(tiny_folder: Path, tmp_path: Path) -> None:
    soft = FineTuningParams(epochs=1.0, batch_size=4, soft_labels=0.5)
    other = [TrainingRow(r.id, r.prompt, r.response, r.labels, r.probabilities[::-1]) for r in ROWS]
    first, second = (
        fine_tune(
            tiny_folder, rows, soft, base_id="b", seed=1, output=tmp_path / name, stage="s", device="cpu", system=SYSTEM
        )
        for name, rows in (("first", ROWS), ("second", other))
    )
    assert first.metrics()["soft_rows"] == 4
    assert first.provenance["training_set_sha256"] != second.provenance["training_set_sha256"]
    assert first.provenance["triplet_ids_sha256"] == second.provenance["triplet_ids_sha256"]


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.floats(0.01, 1))
def test_what_is_added_sums_to_nothing_where_the_answer_stands(values: list[float], share: float) -> None:
    tokens = {"a": [5], "ab": [5, 6], "b": [7]}
    probabilities = dict(zip(tokens, values, strict=True))
    for answer in tokens:
        by_place: dict[int, float] = {}
        for correction in soft_corrections(answer, tokens, probabilities, 9, share):
            by_place[correction.place] = by_place.get(correction.place, 0.0) + correction.weight
        assert all(abs(value) < 1e-9 for value in by_place.values())


def test_an_answer_outside_the_labels_stays_hard(tiny_folder: Path) -> None:
    _, tokenizer = load_student(tiny_folder, "cpu", "float32")
    row = TrainingRow("r", "p", "other", LABELS, PROBABILITIES)
    [encoded] = encode_rows(tokenizer, SYSTEM, [row], 2048, "s", 1.0)[0]
    assert isinstance(encoded, EncodedRow) and encoded.corrections == ()
