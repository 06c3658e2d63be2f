"""Is a record real? Some of its answers are asked of the teacher again."""

import hashlib
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compeffdist.exchange.questions import Questions
from compeffdist.files import home_path
from compeffdist.params import Params
from compeffdist.teacher.asking import BuyingTeacher, Weights
from compeffdist.teacher.engine import EngineOpener
from compeffdist.teacher.recorded import AnswerRecord
from compeffdist.teacher.requests import Answer


@dataclass(frozen=True)
class Agreement:
    """How answers of one kind compare with what the teacher says now. asked = same + other + failed."""

    asked: int
    same: int
    """Those with the same text, to the letter; of labels, the same likeliest label."""
    other: int
    failed: int
    """Those that got no answer this time."""
    largest_difference: float | None
    """Of the probabilities of labels, over all labels and answers; None where no answer has any."""


@dataclass(frozen=True)
class Verified:
    """What came of a verification. answers = rebuilt + not_rebuilt."""

    record: Path
    problems: tuple[str, ...]
    """What is broken in the record; then nothing is asked."""
    answers: int
    rebuilt: int
    """Answers whose question the checkout's artefacts imply."""
    not_rebuilt: int
    """Answers to questions of other runs, params or teachers: they cannot be asked again here."""
    unknown: Mapping[str, str]
    """Stages whose questions could not be told, and why."""
    kinds: Mapping[str, Agreement]
    """By how the recorded answers were had."""

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {**asdict(self), "record": str(self.record), "problems": list(self.problems)}


def verify_record(
    record: AnswerRecord,
    questions: Questions,
    params: Params,
    weights: Weights,
    sample: int,
    seed: int,
    opener: EngineOpener | None = None,
) -> Verified:
    """Draw answers of a sound record whose questions are known, ask the teacher again, and compare.

    `sample` answers are drawn, all if there are fewer, by the seed and the keys alone. The new answers are kept
    nowhere. Raises UserError if the record cannot be read, or as asking does.
    """
    if problems := tuple(record.problems()):
        return Verified(record.folder, problems, 0, 0, 0, {}, {})
    recorded = {key: row.parse() for key, row in record.rows().items()}
    able = recorded.keys() & questions.requests.keys()
    drawn = sorted(able, key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).digest())[:sample]
    now = _ask_again(drawn, questions, params, weights, opener)
    kinds: dict[str, list[tuple[Answer, Answer | None]]] = {}
    for key in drawn:
        kinds.setdefault(recorded[key].kind, []).append((recorded[key], now[key]))
    return Verified(
        record=record.folder,
        problems=(),
        answers=len(recorded),
        rebuilt=len(able),
        not_rebuilt=len(recorded) - len(able),
        unknown=questions.unknown,
        kinds={kind: _compare(pairs) for kind, pairs in sorted(kinds.items())},
    )


def _ask_again(
    keys: Sequence[str], questions: Questions, params: Params, weights: Weights, opener: EngineOpener | None
) -> dict[str, Answer | None]:
    with tempfile.TemporaryDirectory() as folder:
        nothing_known = params.runtime.model_copy(update={"store": f"{folder}/answers.sqlite", "recorded": []})
        store = home_path(params.runtime.store)
        with BuyingTeacher(questions.identity, params.teacher, nothing_known, weights, opener, store) as teacher:
            asked = teacher.ask([questions.requests[key] for key in keys], "verification")
    return {one.answer_id: one.answer for one in asked}


def _compare(pairs: Sequence[tuple[Answer, Answer | None]]) -> Agreement:
    answered = [(then, now) for then, now in pairs if now is not None]
    same = sum(then.text == now.text for then, now in answered)
    differences = [
        abs(math.exp(then.label_logprobs[label]) - math.exp(now.label_logprobs[label]))
        for then, now in answered
        if then.label_logprobs is not None and now.label_logprobs is not None
        for label in then.label_logprobs
    ]
    return Agreement(
        asked=len(pairs),
        same=same,
        other=len(answered) - same,
        failed=len(pairs) - len(answered),
        largest_difference=max(differences, default=None),
    )
