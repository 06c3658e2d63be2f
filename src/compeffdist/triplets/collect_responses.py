"""The teacher's answers to (instruction, text) pairs: asked, parsed, checked against the task, made into triplets.

Where all that is wanted is a label or a score, the answer is the likeliest whole label (`responses.closed_labels:
likelihood`), calibrated over the texts asked with the same instruction: one forward pass over a prompt whose
instruction is in the prefix cache, and no generation.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from compeffdist.domain import Monitored
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
from compeffdist.instructions.schemas import tuple_parts
from compeffdist.label_priors import likeliest
from compeffdist.params import ResponsesParams
from compeffdist.records import PROBABILITY_DECIMALS, Instruction, Pair, Reject, Text, Triplet
from compeffdist.teacher.conversation import Conversation, Question, Said, label_question
from compeffdist.teacher.parsing import BadAnswer, without_thoughts
from compeffdist.teacher.requests import CHOSEN, LENGTH, Answer, how_text_ended

STAGE = "collect_responses"
RUBBISH_SHARE = 0.9
"""A domain in which more than this share of the generated answers is refused stops the stage; a label by likelihood
is never rubbish, and says nothing of what the teacher writes."""
RUBBISH_LEAST = 10
"""… once it has at least this many of them."""


def response_question(pair_id: str, instruction: Instruction, text: Text, params: ResponsesParams) -> Question[str]:
    """The question for one pair; read is the response, before labels are calibrated."""
    prompt, read = with_text(instruction.prompt, text.text), partial(check_response, instruction, text)
    possible = choices(instruction)
    if possible and params.closed_labels == "likelihood":
        return Question(pair_id, prompt, read, labels=tuple(possible))
    schema: dict[str, Any] | None = json.loads(instruction.json_schema) if instruction.json_schema else None
    if possible:
        schema = {"enum": possible}
    longest = params.tuple_tokens if schema is not None and tuple_parts(schema) else params.max_tokens
    return Question(pair_id, prompt, read, longest, schema)


def check_response(instruction: Instruction, text: Text, answer: Answer) -> str:
    """The response in canonical form. Raises BadAnswer: truncated, ended early, thoughts only, or what `check_answer`
    raises."""
    if answer.decided:
        return answer.text
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


@dataclass(frozen=True)
class Collected:
    """What came of asking about some pairs. triplets + rejects = pairs."""

    triplets: list[Triplet]
    rejects: list[Reject]
    monitored: dict[str, str]
    """The monitored label of every text that occurs in a pair, by text id; those without an answer are missing."""
    priors: Priors
    """What labels were calibrated by."""


def collect_responses(
    pairs: Sequence[Pair],
    instructions: Mapping[str, Instruction],
    texts: Mapping[str, Text],
    params: ResponsesParams,
    monitored: Monitored,
    talk: Conversation,
    priors: Priors | None = None,
) -> Collected:
    """Ask the teacher about pairs, check its answers, and make triplets of them.

    Args:
        monitored: the question that every text is asked beside; a text without an answer to it stays.
        priors: of an earlier collection of the same run, to calibrate by; a question that is not in it stays as it
            is. By default each question is calibrated by its own answers.

    Raises:
        UserError: if nearly all answers of a domain are refused: the teacher does not do the task there.
    """
    used = [texts[text_id] for text_id in sorted({pair.text_id for pair in pairs})]
    of_texts = [label_question(text.id, monitored.prompt(text.text), monitored.labels) for text in used]
    questions = [response_question(p.id, instructions[p.instruction_id], texts[p.text_id], params) for p in pairs]
    everything: list[Question[Any]] = [*of_texts, *questions]
    asked = talk.ask(everything, "responses")
    whole = [None if isinstance(said, Reject) else said.answer for said in asked]
    about_texts, answers = whole[: len(used)], whole[len(used) :]
    places = _by_question(pairs, answers)
    found = priors or _priors(about_texts, answers, places) if params.calibration == "batch" else Priors({}, {})
    strength = params.calibration_strength
    decided = decide_labels(about_texts, found.monitored, strength)
    labels = {text.id: label for text, label in zip(used, decided, strict=True) if label is not None}
    weighed: dict[int, dict[str, float]] = {}
    for key, those in places.items():
        rows = label_probabilities([answers[place] for place in those], found.instructions.get(key), strength)
        weighed |= {place: row for place, row in zip(those, rows, strict=True) if row is not None}
    triplets: list[Triplet] = []
    rejects: list[Reject] = []
    for place, (pair, said) in enumerate(zip(pairs, asked[len(used) :], strict=True)):
        instruction = instructions[pair.instruction_id]
        if isinstance(said, Reject):
            rejects.append(said)
            continue
        # in declared order: a kept answer's JSON has its labels in that of the alphabet
        probabilities = {label: weighed[place][label] for label in said.request.labels} if place in weighed else {}
        triplets.append(
            Triplet(
                pair_id=pair.id,
                instruction_id=instruction.id,
                text_id=pair.text_id,
                teacher_id=talk.teacher_id,
                decoding_id=_decoding_id(said, strength if found.instructions.get(instruction.id) else 0.0),
                answer_id=said.answer_id,
                prompt=said.request.prompt,
                response=likeliest(probabilities) if probabilities else said.value,
                task_type=instruction.type,
                task_name=instruction.task_name,
                monitored=labels.get(pair.text_id),
                labels=list(probabilities),
                probabilities=[round(value, PROBABILITY_DECIMALS) for value in probabilities.values()],
            )
        )
    generated = {pair.id: texts[pair.text_id].domain for pair, q in zip(pairs, questions, strict=True) if not q.labels}
    _refuse_rubbish(generated, rejects)
    return Collected(triplets, rejects, labels, found)


def _decoding_id(said: Said[str], strength: float) -> str:
    """With how an answer about labels was calibrated: not, whole ("batch"), or in part ("batch^0.5")."""
    if not said.request.labels:
        return said.request.decoding_id
    calibrated = ("batch" if strength == 1.0 else f"batch^{strength:g}") if strength else "none"
    return f"{said.request.decoding_id}+{CHOSEN if only_chosen(said.answer) else calibrated}"


def _by_question(pairs: Sequence[Pair], answers: Sequence[Answer | None]) -> dict[str, list[int]]:
    """Places in `pairs` of the answers that are labels, by instruction."""
    places: dict[str, list[int]] = {}
    for place, (pair, answer) in enumerate(zip(pairs, answers, strict=True)):
        if answer is not None and answer.decided:
            places.setdefault(pair.instruction_id, []).append(place)
    return places


def _priors(
    about_texts: Sequence[Answer | None], answers: Sequence[Answer | None], places: Mapping[str, Sequence[int]]
) -> Priors:
    """Of each question, over the texts asked it."""
    priors = {key: prior_of_answers([answers[place] for place in those]) for key, those in places.items()}
    return Priors(prior_of_answers(about_texts), {key: prior for key, prior in priors.items() if prior})


def _refuse_rubbish(generated: Mapping[str, str], rejects: Sequence[Reject]) -> None:
    """`generated`: the domain of each pair (by id) whose answer was generated."""
    refused = {r.record_id: r.reason for r in rejects if r.record_id in generated}
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
