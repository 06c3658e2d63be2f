"""The teacher's answers to (instruction, text) pairs: asked, parsed, checked against the task, made into
triplets.

Where all that is wanted is a label or a score, the answer is the likeliest whole label
(`responses.closed_labels:
likelihood`): one forward pass over a prompt whose instruction is in the prefix cache, and no generation.
Small teachers prefer some labels whatever the text; `batch` calibration (Zhou et al. 2023, Batch Calibration)
divides each label's probability by its mean over the texts asked with the same instruction. A label that a server
without log-probabilities merely chose has nothing to divide: it stands as it is, and its decoding id says so.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from compeffdist.errors import UserError
from compeffdist.files import canonical_json
from compeffdist.instructions.rendering import with_text
from compeffdist.instructions.tasks import clean_label
from compeffdist.params import ResponsesParams, TeacherParams, stage_seed
from compeffdist.polarity import POLARITIES, polarity_prompt
from compeffdist.prompting import inline
from compeffdist.records import Instruction, Pair, Reject, Text, Triplet
from compeffdist.teacher.asking import Asked, Teacher
from compeffdist.teacher.parsing import is_worded, parse_json, spans_missing
from compeffdist.teacher.requests import CHOSEN, Request

STAGE = "collect_responses"
PRIOR_STRENGTH = 4.0
"""Pseudo-texts of uniform label probability in a calibration prior, so that few texts move it little."""
RUBBISH_SHARE = 0.9
"""A domain in which more than this share of the answers is refused stops the stage."""
RUBBISH_LEAST = 10
"""… once it has at least this many answers."""


class BadAnswer(ValueError):
    """An answer that does not fit its task; the message is the reject reason, `detail` what was seen."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def choices(instruction: Instruction) -> list[str]:
    """All possible answers where they are few (labels, or the numbers of a scale), else none."""
    if instruction.type == "closed_classification":
        return instruction.labels
    if instruction.type == "scoring":
        low, high = instruction.score_range
        return [str(score) for score in range(low, high + 1)]
    return []


def response_request(
    instruction: Instruction, text: Text, params: ResponsesParams, teacher: TeacherParams, seed: int
) -> Request:
    """The question for one pair."""
    prompt = with_text(instruction.prompt, text.text)
    possible = choices(instruction)
    if possible and params.closed_labels == "likelihood":
        return Request.likelihood(teacher.system_prompt, prompt, tuple(possible))
    schema: dict[str, Any] | None = json.loads(instruction.json_schema) if instruction.json_schema else None
    if possible:
        schema = {"enum": possible}
    return Request(
        system=teacher.system_prompt,
        prompt=prompt,
        max_tokens=params.max_tokens,
        temperature=teacher.temperature,
        top_p=teacher.top_p,
        seed=seed,
        schema=canonical_json(schema) if schema else "",
    )


def check_response(instruction: Instruction, text: Text, answer: str, finish_reason: str) -> str:
    """The response in canonical form.

    Raises:
        BadAnswer: truncated, empty, a label not in the set, a number off the scale, JSON that does not fit
        the
            schema, or a span that does not stand in a text that must hold it.
    """
    if finish_reason == "length":
        raise BadAnswer("truncated", answer[-80:])
    possible = choices(instruction)
    if possible:
        given = clean_label(answer)
        if given not in possible:
            raise BadAnswer("label_not_in_set", given[:80])
        return given
    if instruction.json_schema:
        try:
            value = parse_json(answer, json.loads(instruction.json_schema))
        except ValueError as error:
            raise BadAnswer("schema_violation", str(error)) from None
        if isinstance(value, list) and any(not is_worded(item) for item in value):
            raise BadAnswer("wordless_span", json.dumps(value, ensure_ascii=False)[:80])
        missing = spans_missing(value, text.text) if instruction.exact_spans else []
        if missing:
            raise BadAnswer("span_not_in_text", missing[0][:80])
        return json.dumps(value, ensure_ascii=False)
    response = inline(answer)
    if not response:
        raise BadAnswer("empty", "")
    if instruction.type == "open_classification" and len(response.split()) > 6:
        raise BadAnswer("not_a_label", response[:80])
    return response


def calibrate(logprobs: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Batch calibration: each row's label probabilities divided by their mean over the rows, renormalised.

    Args:
        logprobs: for each text of one question, the natural-log probability of each label.
    """
    if not logprobs:
        return []
    labels = list(logprobs[0])
    total = len(logprobs) + PRIOR_STRENGTH
    prior = {
        label: (math.fsum(math.exp(row[label]) for row in logprobs) + PRIOR_STRENGTH / len(labels)) / total
        for label in labels
    }
    calibrated = []
    for row in logprobs:
        ratio = {label: math.exp(row[label]) / prior[label] for label in labels}
        whole = math.fsum(ratio.values())
        calibrated.append({label: ratio[label] / whole for label in labels})
    return calibrated


def likeliest(probabilities: Mapping[str, float]) -> str:
    """The most probable label; of a tie, the first in the declared order."""
    return max(probabilities, key=lambda label: probabilities[label])


def decide_labels(asked: Sequence[Asked], calibration: str) -> list[str | None]:
    """The label for each answer to one question; None where there is no answer.

    Calibration is over the answers that have likelihoods; those that are a mere choice stand.
    """
    rows = [dict(a.answer.label_logprobs) if a.answer and a.answer.label_logprobs else None for a in asked]
    present = [row for row in rows if row is not None]
    scored = calibrate(present) if calibration == "batch" else present
    decided = iter([likeliest(row) for row in scored])
    return [_chosen(a) if row is None else next(decided) for a, row in zip(asked, rows, strict=True)]


def _chosen(asked: Asked) -> str | None:
    return asked.answer.text if asked.answer and asked.answer.kind == CHOSEN else None


def polarity_requests(texts: Sequence[Text], teacher: TeacherParams) -> list[Request]:
    """The overall-polarity question of every text."""
    return [Request.likelihood(teacher.system_prompt, polarity_prompt(text.text), POLARITIES) for text in texts]


def collect_responses(
    pairs: Sequence[Pair],
    instructions: Mapping[str, Instruction],
    texts: Mapping[str, Text],
    params: ResponsesParams,
    teacher_params: TeacherParams,
    teacher: Teacher,
    seed: int,
) -> tuple[list[Triplet], list[Reject], dict[str, str]]:
    """Triplets, rejects, and the polarity of every text that occurs in a pair.

    Raises:
        UserError: if nearly all answers of a domain are refused: the teacher does not do the task there.
    """
    seed = stage_seed(seed, STAGE)
    used = [texts[text_id] for text_id in sorted({pair.text_id for pair in pairs})]
    questions = [
        response_request(instructions[p.instruction_id], texts[p.text_id], params, teacher_params, seed) for p in pairs
    ]
    asked = teacher.ask(polarity_requests(used, teacher_params) + questions, "responses")
    polarities = _polarities(used, asked[: len(used)], params.calibration)
    answers = asked[len(used) :]
    labels = _labels_by_question(pairs, answers, params.calibration)
    triplets: list[Triplet] = []
    rejects: list[Reject] = []
    for place, (pair, request, answer) in enumerate(zip(pairs, questions, answers, strict=True)):
        instruction, text = instructions[pair.instruction_id], texts[pair.text_id]
        try:
            if answer.answer is None:
                raise BadAnswer("no_answer", answer.reason)
            if text.id not in polarities:
                raise BadAnswer("no_polarity", "the overall-polarity question of this text has no answer")
            chosen = labels.get(place)
            response = chosen or check_response(instruction, text, answer.answer.text, answer.answer.finish_reason)
        except BadAnswer as bad:
            rejects.append(Reject(stage=STAGE, record_id=pair.id, reason=bad.reason, detail=bad.detail))
            continue
        triplets.append(
            Triplet(
                pair_id=pair.id,
                instruction_id=instruction.id,
                text_id=text.id,
                teacher_id=teacher.identity.id,
                decoding_id=_decoding_id(request, answer, params),
                answer_id=answer.answer_id,
                prompt=request.prompt,
                response=response,
                polarity=polarities[text.id],
                task_type=instruction.type,
                task_name=instruction.task_name,
            )
        )
    _refuse_rubbish(pairs, texts, rejects)
    return triplets, rejects, polarities


def _decoding_id(request: Request, asked: Asked, params: ResponsesParams) -> str:
    if not request.labels:
        return request.decoding_id
    return f"{request.decoding_id}+{CHOSEN if _chosen(asked) else params.calibration}"


def _polarities(texts: Sequence[Text], asked: Sequence[Asked], calibration: str) -> dict[str, str]:
    decided = decide_labels(asked, calibration)
    return {text.id: label for text, label in zip(texts, decided, strict=True) if label is not None}


def _labels_by_question(pairs: Sequence[Pair], asked: Sequence[Asked], calibration: str) -> dict[int, str]:
    """The chosen label by place in `pairs`, calibrated over the pairs of the same instruction."""
    places: dict[str, list[int]] = {}
    for place, (pair, answer) in enumerate(zip(pairs, asked, strict=True)):
        if answer.answer is not None and (answer.answer.label_logprobs is not None or _chosen(answer)):
            places.setdefault(pair.instruction_id, []).append(place)
    chosen: dict[int, str] = {}
    for group in places.values():
        for place, label in zip(group, decide_labels([asked[place] for place in group], calibration), strict=True):
            if label is not None:
                chosen[place] = label
    return chosen


def _refuse_rubbish(pairs: Sequence[Pair], texts: Mapping[str, Text], rejects: Sequence[Reject]) -> None:
    refused = {reject.record_id: reject.reason for reject in rejects}
    asked = Counter(texts[pair.text_id].domain for pair in pairs)
    bad = Counter(texts[pair.text_id].domain for pair in pairs if pair.id in refused)
    for domain, count in sorted(asked.items()):
        if count >= RUBBISH_LEAST and bad[domain] > RUBBISH_SHARE * count:
            reasons = Counter(refused[p.id] for p in pairs if p.id in refused and texts[p.text_id].domain == domain)
            raise UserError(
                f"domain {domain!r}: {bad[domain]} of {count} teacher answers are unusable (mostly "
                f"{reasons.most_common(1)[0][0]!r}); nothing was written. Look at the answers in the response store, "
                "or try a stronger teacher (models.teacher)"
            )
