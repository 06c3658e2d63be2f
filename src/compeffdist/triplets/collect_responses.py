"""The teacher's answers to (instruction, text) pairs: asked, parsed, checked against the task, made into triplets.

Where all that is wanted is a label or a score, the answer is the likeliest whole label (`responses.closed_labels:
likelihood`), calibrated over the texts asked with the same instruction: one forward pass over a prompt whose
instruction is in the prefix cache, and no generation.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
from compeffdist.record_streams import BLOCK_ROWS, whole_groups
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
    """`collect_in_blocks` with all pairs in one. Raises UserError as that does."""
    [whole] = collect_in_blocks(pairs, instructions, texts, params, monitored, talk, priors, len(pairs))
    return whole


def collect_in_blocks(
    pairs: Sequence[Pair],
    instructions: Mapping[str, Instruction],
    texts: Mapping[str, Text],
    params: ResponsesParams,
    monitored: Monitored,
    talk: Conversation,
    priors: Priors | None = None,
    least: int | None = None,
) -> Iterator[Collected]:
    """Ask the teacher about pairs, check its answers, and make triplets of them, in the order of the pairs: at least
    `least` at a time, if there are more, and never some of an instruction's alone, whose answers are calibrated
    together. The last block's priors are those of all.

    Args:
        least: BLOCK_ROWS by default, about 3 KB each while they are asked about. No block is small: a run ends where
            most of what is asked at a time fails, which one instruction must not bring about.
        monitored: the question that every text is asked beside; a text without an answer to it stays.
        priors: of an earlier collection of the same run, to calibrate by; a question that is not in it stays as it
            is. By default each question is calibrated by its own answers.

    Raises:
        UserError: if nearly all answers of a domain are refused: the teacher does not do the task there. That shows
            after the last block.
    """
    used = [texts[text_id] for text_id in sorted({pair.text_id for pair in pairs})]
    answered = _Answered(instructions, texts, params, talk, priors)
    waiting: list[Question[Any]] = [
        label_question(text.id, monitored.prompt(text.text), monitored.labels) for text in used
    ]
    of_instructions = [pair.instruction_id for pair in pairs]
    for places in whole_groups(of_instructions, BLOCK_ROWS if least is None else least):
        block = pairs[places.start : places.stop]
        questions = [response_question(p.id, instructions[p.instruction_id], texts[p.text_id], params) for p in block]
        asked = talk.ask([*waiting, *questions], "responses")
        if waiting:
            answered.about_texts(used, asked[: len(waiting)])
        yield answered.block(block, questions, asked[len(waiting) :])
        waiting = []
    answered.refuse_rubbish()


class _Answered:
    """What is known of the answers of the blocks so far."""

    def __init__(
        self,
        instructions: Mapping[str, Instruction],
        texts: Mapping[str, Text],
        params: ResponsesParams,
        talk: Conversation,
        priors: Priors | None,
    ) -> None:
        self.instructions, self.texts, self.params, self.talk = instructions, texts, params, talk
        self.strength = params.calibration_strength
        self.given = priors if params.calibration == "batch" else Priors({}, {})
        """None: to be found."""
        self.priors = self.given or Priors({}, {})
        self.labels: dict[str, str] = {}
        """The monitored label of a text, by its id."""
        self.generated: Counter[str] = Counter()
        """Generated answers by domain."""
        self.refused: dict[str, Counter[str]] = {}
        """By domain, the reasons of those that were refused."""

    def about_texts(self, used: Sequence[Text], asked: Sequence[Said[Any] | Reject]) -> None:
        """Take in the answers to the monitored question."""
        answers = _answers(asked)
        if self.given is None:
            self.priors = Priors(prior_of_answers(answers), {})
        decided = decide_labels(answers, self.priors.monitored, self.strength)
        self.labels = {text.id: label for text, label in zip(used, decided, strict=True) if label is not None}

    def block(
        self, pairs: Sequence[Pair], questions: Sequence[Question[str]], asked: Sequence[Said[str] | Reject]
    ) -> Collected:
        """What came of some pairs, which are all that there are of their instructions."""
        weighed = self._weighed(pairs, _answers(asked))
        triplets: list[Triplet] = []
        rejects: list[Reject] = []
        for place, (pair, question, said) in enumerate(zip(pairs, questions, asked, strict=True)):
            domain = self.texts[pair.text_id].domain
            self.generated[domain] += not question.labels
            if not isinstance(said, Reject):
                triplets.append(self._triplet(pair, said, weighed.get(place, {})))
                continue
            rejects.append(said)
            if not question.labels:
                self.refused.setdefault(domain, Counter())[said.reason] += 1
        return Collected(triplets, rejects, self.labels, self.priors)

    def _weighed(self, pairs: Sequence[Pair], answers: Sequence[Answer | None]) -> dict[int, dict[str, float]]:
        """By place, the probabilities of labels, calibrated."""
        places = _by_question(pairs, answers)
        if self.given is None:
            priors = {key: prior_of_answers([answers[place] for place in those]) for key, those in places.items()}
            found = {**self.priors.instructions, **{key: prior for key, prior in priors.items() if prior}}
            self.priors = Priors(self.priors.monitored, found)
        weighed: dict[int, dict[str, float]] = {}
        for key, those in places.items():
            prior = self.priors.instructions.get(key)
            rows = label_probabilities([answers[place] for place in those], prior, self.strength)
            weighed |= {place: row for place, row in zip(those, rows, strict=True) if row is not None}
        return weighed

    def _triplet(self, pair: Pair, said: Said[str], weighed: Mapping[str, float]) -> Triplet:
        instruction = self.instructions[pair.instruction_id]
        # in declared order: a kept answer's JSON has its labels in that of the alphabet
        probabilities = {label: weighed[label] for label in said.request.labels} if weighed else {}
        return Triplet(
            pair_id=pair.id,
            instruction_id=instruction.id,
            text_id=pair.text_id,
            teacher_id=self.talk.teacher_id,
            decoding_id=_decoding_id(said, self.strength if self.priors.instructions.get(instruction.id) else 0.0),
            answer_id=said.answer_id,
            prompt=said.request.prompt,
            response=likeliest(probabilities) if probabilities else said.value,
            task_type=instruction.type,
            task_name=instruction.task_name,
            monitored=self.labels.get(pair.text_id),
            labels=list(probabilities),
            probabilities=[round(value, PROBABILITY_DECIMALS) for value in probabilities.values()],
        )

    def refuse_rubbish(self) -> None:
        """Raises UserError if nearly all generated answers of a domain were refused."""
        for domain, count in sorted(self.generated.items()):
            reasons = self.refused.get(domain, Counter())
            if count >= RUBBISH_LEAST and reasons.total() > RUBBISH_SHARE * count:
                raise UserError(
                    f"domain {domain!r}: {reasons.total()} of {count} generated answers are unusable (mostly "
                    f"{reasons.most_common(1)[0][0]!r}); nothing was written. Look at the answers in the response "
                    "store, or try a stronger teacher (models.teacher)"
                )


def _answers(asked: Sequence[Said[Any] | Reject]) -> list[Answer | None]:
    return [None if isinstance(said, Reject) else said.answer for said in asked]


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
