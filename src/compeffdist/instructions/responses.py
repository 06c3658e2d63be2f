"""The teacher's answers to (instruction, text) pairs: asked, parsed, checked against the task, made into
triplets.

Where all that is wanted is a label or a score, the answer is the likeliest whole label (`responses.closed_labels:
likelihood`), calibrated over the texts asked with the same instruction: one forward pass over a prompt whose
instruction is in the prefix cache, and no generation.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compeffdist.errors import UserError
from compeffdist.instructions.answers import check_answer, choices
from compeffdist.instructions.calibration import (
    Priors,
    decide_labels,
    label_probabilities,
    only_chosen,
    prior_of_answers,
)
from compeffdist.instructions.rendering import with_text
from compeffdist.label_priors import likeliest
from compeffdist.params import ResponsesParams, TeacherParams, stage_seed
from compeffdist.polarity import POLARITIES, polarity_prompt
from compeffdist.records import PROBABILITY_DECIMALS, Instruction, Pair, Reject, Text, Triplet
from compeffdist.teacher.asking import Asked, Teacher
from compeffdist.teacher.parsing import BadAnswer, without_thoughts
from compeffdist.teacher.requests import CHOSEN, LENGTH, Answer, Request, how_text_ended

STAGE = "collect_responses"
RUBBISH_SHARE = 0.9
"""A domain in which more than this share of the generated answers is refused stops the stage; a label by likelihood
is never rubbish, and says nothing of what the teacher writes."""
RUBBISH_LEAST = 10
"""… once it has at least this many of them."""


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
    return Request.generation(teacher, prompt, params.max_tokens, seed, schema)


def check_response(instruction: Instruction, text: Text, answer: Answer) -> str:
    """The response in canonical form. Raises BadAnswer: truncated, ended early, thoughts only, or what `check_answer`
    raises."""
    try:
        said = answer.whole_text()
    except ValueError as early:
        raise BadAnswer("ended_early", str(early)) from None
    if how_text_ended(answer.finish_reason) == LENGTH:
        raise BadAnswer("truncated", said[-80:])
    spoken = without_thoughts(said)
    if said and not spoken:
        raise BadAnswer("thoughts_only", said[-80:])
    asked = instruction.prompt.split("\n\nInput: ")[0]  # demonstrations hold right answers
    return check_answer(instruction, instruction.task_name, asked, text.text, spoken)


def polarity_requests(texts: Sequence[Text], teacher: TeacherParams) -> list[Request]:
    """The overall-polarity question of every text."""
    return [Request.likelihood(teacher.system_prompt, polarity_prompt(text.text), POLARITIES) for text in texts]


@dataclass(frozen=True)
class Collected:
    """What came of asking about some pairs. triplets + rejects = pairs."""

    triplets: list[Triplet]
    rejects: list[Reject]
    polarities: dict[str, str]
    """Overall polarity of every text that occurs in a pair, by text id; those without an answer are missing."""
    priors: Priors
    """What labels were calibrated by."""


def collect_responses(
    pairs: Sequence[Pair],
    instructions: Mapping[str, Instruction],
    texts: Mapping[str, Text],
    params: ResponsesParams,
    teacher_params: TeacherParams,
    teacher: Teacher,
    seed: int,
    priors: Priors | None = None,
    stage: str = STAGE,
) -> Collected:
    """Ask the teacher about pairs, check its answers, and make triplets of them.

    Args:
        priors: of an earlier collection of the same run, to calibrate by; a question that is not in it stays as it
            is. By default each question is calibrated by its own answers.
        stage: whose rejects they are.

    Raises:
        UserError: if nearly all answers of a domain are refused: the teacher does not do the task there.
    """
    seed = stage_seed(seed, STAGE)  # the same question, whichever stage asks it
    used = [texts[text_id] for text_id in sorted({pair.text_id for pair in pairs})]
    questions = [
        response_request(instructions[p.instruction_id], texts[p.text_id], params, teacher_params, seed) for p in pairs
    ]
    asked = teacher.ask(polarity_requests(used, teacher_params) + questions, "responses")
    about_texts, answers = asked[: len(used)], asked[len(used) :]
    found = priors or _priors(pairs, about_texts, answers) if params.calibration == "batch" else Priors({}, {})
    strength = params.calibration_strength
    polarities = _polarities(used, about_texts, found, strength)
    weighed = _weighed_by_question(pairs, answers, found, strength)
    triplets: list[Triplet] = []
    rejects: list[Reject] = []
    for place, (pair, request, answer) in enumerate(zip(pairs, questions, answers, strict=True)):
        instruction, text = instructions[pair.instruction_id], texts[pair.text_id]
        try:
            if answer.answer is None:
                raise BadAnswer("no_answer", answer.reason)
            if text.id not in polarities:
                raise BadAnswer("no_polarity", "the overall-polarity question of this text has no answer")
            # in declared order: a kept answer's JSON has its labels in that of the alphabet
            probabilities = {label: weighed[place][label] for label in request.labels} if place in weighed else {}
            chosen = likeliest(probabilities) if probabilities else only_chosen(answer)
            response = chosen or check_response(instruction, text, answer.answer)
        except BadAnswer as bad:
            rejects.append(Reject(stage=stage, record_id=pair.id, reason=bad.reason, detail=bad.detail))
            continue
        triplets.append(
            Triplet(
                pair_id=pair.id,
                instruction_id=instruction.id,
                text_id=text.id,
                teacher_id=teacher.identity.id,
                decoding_id=_decoding_id(request, answer, strength if found.instructions.get(instruction.id) else 0.0),
                answer_id=answer.answer_id,
                prompt=request.prompt,
                response=response,
                polarity=polarities[text.id],
                task_type=instruction.type,
                task_name=instruction.task_name,
                labels=list(probabilities),
                probabilities=[round(value, PROBABILITY_DECIMALS) for value in probabilities.values()],
            )
        )
    generated = {pair.id: texts[pair.text_id].domain for pair, q in zip(pairs, questions, strict=True) if not q.labels}
    _refuse_rubbish(generated, rejects)
    return Collected(triplets, rejects, polarities, found)


def _decoding_id(request: Request, asked: Asked, strength: float) -> str:
    """With how an answer about labels was calibrated: not, whole ("batch"), or in part ("batch^0.5")."""
    if not request.labels:
        return request.decoding_id
    calibrated = ("batch" if strength == 1.0 else f"batch^{strength:g}") if strength else "none"
    return f"{request.decoding_id}+{CHOSEN if only_chosen(asked) else calibrated}"


def _by_question(pairs: Sequence[Pair], asked: Sequence[Asked]) -> dict[str, list[int]]:
    """Places in `pairs` of the answers that are labels, by instruction."""
    places: dict[str, list[int]] = {}
    for place, (pair, answer) in enumerate(zip(pairs, asked, strict=True)):
        if answer.answer is not None and (answer.answer.label_logprobs is not None or only_chosen(answer)):
            places.setdefault(pair.instruction_id, []).append(place)
    return places


def _priors(pairs: Sequence[Pair], about_texts: Sequence[Asked], asked: Sequence[Asked]) -> Priors:
    """Of each question, over the texts asked it."""
    priors = {
        key: prior_of_answers([asked[place] for place in places]) for key, places in _by_question(pairs, asked).items()
    }
    return Priors(prior_of_answers(about_texts), {key: prior for key, prior in priors.items() if prior})


def _polarities(texts: Sequence[Text], asked: Sequence[Asked], priors: Priors, strength: float) -> dict[str, str]:
    decided = decide_labels(asked, priors.polarity, strength)
    return {text.id: label for text, label in zip(texts, decided, strict=True) if label is not None}


def _weighed_by_question(
    pairs: Sequence[Pair], asked: Sequence[Asked], priors: Priors, strength: float
) -> dict[int, dict[str, float]]:
    """Label probabilities by place in `pairs`, where the teacher weighed labels."""
    found: dict[int, dict[str, float]] = {}
    for key, places in _by_question(pairs, asked).items():
        rows = label_probabilities([asked[place] for place in places], priors.instructions.get(key), strength)
        found |= {place: row for place, row in zip(places, rows, strict=True) if row is not None}
    return found


def _refuse_rubbish(generated: Mapping[str, str], rejects: Sequence[Reject]) -> None:
    """`generated`: the domain of each pair (by id) whose answer was generated."""
    refused = {r.record_id: r.reason for r in rejects if r.record_id in generated and r.reason != "no_polarity"}
    asked = Counter(generated.values())
    bad = Counter(generated[pair_id] for pair_id in refused)
    for domain, count in sorted(asked.items()):
        if count >= RUBBISH_LEAST and bad[domain] > RUBBISH_SHARE * count:
            reasons = Counter(reason for pair_id, reason in refused.items() if generated[pair_id] == domain)
            raise UserError(
                f"domain {domain!r}: {bad[domain]} of {count} generated answers are unusable (mostly "
                f"{reasons.most_common(1)[0][0]!r}); nothing was written. Look at the answers in the response store, "
                "or try a stronger teacher (models.teacher)"
            )
