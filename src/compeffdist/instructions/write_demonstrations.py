"""Demonstrations: worked examples of each task, on texts the teacher writes in the style of real ones.

Method section 7 (official scripts 7, 8): several calls a task, two instances a call, two real texts as references of
style. Where the official code shows stage-2 examples as a template of the answer, we set the form by schema, and for
a closed label set or a scale we ask for instances of given outputs in turn, so that demonstrations are balanced. Small
teachers copy the references unless they are given another subject, so each instance gets one; and whether an
instance deserves the output it was written for is asked of the teacher itself, without that output.
Demonstrations are attached to tasks by id; the official code attaches them by position.
"""

import hashlib
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from compeffdist.domain import DemonstrationPrompts, filled
from compeffdist.instructions.answers import check_answer, choices
from compeffdist.instructions.calibration import label_probabilities, only_chosen, prior_of_answers
from compeffdist.instructions.own_tasks import is_own
from compeffdist.instructions.rendering import definition, instruction_prompt, with_text
from compeffdist.instructions.schemas import object_of
from compeffdist.params import DemonstrationsParams
from compeffdist.prompting import clipped, inline
from compeffdist.records import Demonstration, Instruction, Reject, Task, Text, by_id
from compeffdist.seeds import stage_seed
from compeffdist.teacher.conversation import Conversation, Question, Said, json_question, label_question
from compeffdist.teacher.parsing import BadAnswer
from compeffdist.teacher.requests import Answer
from compeffdist.texts.words import word_grams, words

STAGE = "write_demonstrations"
INSTANCES = 2
"""Instances a call, and reference texts a call."""
INPUT_CHARACTERS = 180
CUT_MARGIN = 12
"""An input within so many characters of the limit that does not end like a sentence was cut short by it."""
SENTENCE_ENDS = ".!?…\"'”’)"


def _order(seed: int, *parts: object) -> bytes:
    return hashlib.sha256(":".join(str(part) for part in (seed, *parts)).encode()).digest()


def is_demonstrated(task: Task) -> bool:
    """Whether a task gets demonstrations: not analysis (as in the official data), nor the user's own and the seed task,
    whose prompts must stay those that evaluation and users ask with."""
    return task.type != "analysis" and not is_own(task)


class References:
    """Texts on a ring by hash, so that a call finds its own in O(log n), and a text more or less changes few calls."""

    def __init__(self, texts: Sequence[Text], seed: int) -> None:
        self.seed = seed
        placed = sorted(((_order(seed, text.id), text) for text in texts), key=lambda pair: pair[0])
        self.places, self.texts = [place for place, _ in placed], [text for _, text in placed]

    def of_call(self, task_id: str, call: int) -> list[Text]:
        """Two texts (or all there are) for one call of one task: those next on the ring to two points."""
        chosen: list[int] = []
        for number in range(min(INSTANCES, len(self.texts))):
            index = bisect_left(self.places, _order(self.seed, task_id, call, number)) % len(self.texts)
            while index in chosen:
                index = (index + 1) % len(self.texts)
            chosen.append(index)
        return [self.texts[index] for index in chosen]


def wanted_outputs(task: Task, call: int) -> list[str]:
    """The outputs the two instances of a call are to have, in turn over labels or over the scale; else none."""
    possible = choices(task)
    if task.type == "scoring":
        # the ends first: they say most about what the scale means
        possible = [possible[0], possible[-1], *possible[1:-1]]
    return [possible[(call * INSTANCES + offset) % len(possible)] for offset in range(INSTANCES)] if possible else []


def subjects(known: Sequence[str], task_id: str, call: int, seed: int) -> list[str]:
    """What the instances of one call are about: two of the known subjects, each task beginning anywhere and going
    round."""
    start = int.from_bytes(_order(seed, task_id)[:8], "big")
    return [known[(start + call * INSTANCES + offset) % len(known)] for offset in range(INSTANCES)]


@dataclass(frozen=True)
class Call:
    """One call of one task: what is asked."""

    task: Task
    number: int
    references: list[Text]
    subjects: list[str]
    outputs: list[str]
    """Wanted of its instances; empty where the task has no fixed answers."""

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of its answer: `instance_1` and `instance_2`, each an `aim` (the output wanted, so that the
        teacher has just said it when it writes) and an `input`, or an `input` and an `output`."""
        text = {"type": "string", "minLength": 8, "maxLength": INPUT_CHARACTERS}
        free = json.loads(self.task.json_schema) if self.task.json_schema else {"type": "string", "maxLength": 200}
        parts = [{"aim": {"const": output}, "input": text} for output in self.outputs]
        parts = parts or [{"input": text, "output": free}] * INSTANCES
        return object_of({f"instance_{number}": object_of(part) for number, part in enumerate(parts, 1)})

    def question(self, params: DemonstrationsParams, prompts: DemonstrationPrompts) -> Question[Any]:
        """What is asked; read is an instance for each key of the schema."""
        styles = "\n".join(f"- {inline(clipped(r.text, params.reference_characters))}" for r in self.references)
        asked = zip(self.subjects, self.outputs or [""] * INSTANCES, strict=True)
        wishes = "\n".join(
            f"- instance_{number}: about {subject}" + (f"; the right answer is: {output}" if output else "")
            for number, (subject, output) in enumerate(asked, 1)
        )
        end = "" if self.outputs else ' "output" is the right answer to the task on that text.'
        prompt = filled(
            prompts.prompt,
            styles=styles,
            task=definition(self.task.description, self.task),
            count=INSTANCES,
            wishes=wishes,
            output=end,
        )
        return json_question(self.task.id, prompt, self.schema, params.max_tokens)


def parse_instances(
    call: Call, said: Said[Any] | Reject, talk: Conversation
) -> tuple[list[Demonstration], list[Reject]]:
    """The demonstrations of one call that can be used, and a reject with reason for each of the others."""
    kept, rejects = [], []
    for number in range(1, INSTANCES + 1):
        try:
            if isinstance(said, Reject):
                raise BadAnswer(said.reason, said.detail)
            kept.append(_demonstration(call, said.answer_id, said.value[f"instance_{number}"]))
        except BadAnswer as bad:
            rejects.append(talk.reject(call.task.id, bad.reason, f"call {call.number}.{number}: {bad.detail}"))
    return kept, rejects


def _demonstration(call: Call, answer_id: str, instance: Mapping[str, Any]) -> Demonstration:
    """Raises BadAnswer: a text without words or cut short, a copy of a reference, or an output that would be refused of
    a response."""
    task, given, output = call.task, inline(instance["input"]), instance.get("output", instance.get("aim"))
    if not words(given):  # nothing but white space, for one: weak models write it until the limit
        raise BadAnswer("wordless", given)
    if len(instance["input"]) > INPUT_CHARACTERS - CUT_MARGIN and given[-1] not in SENTENCE_ENDS:
        raise BadAnswer("truncated", given)
    copied = [text.id for text in call.references if _copies(given, text.text)]
    if copied:  # named, not quoted: a purge finds what holds a withdrawn text by its id
        raise BadAnswer("copies_reference", " ".join(copied))
    if output == []:
        raise BadAnswer("empty", given)
    answer = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return Demonstration(
        task_id=task.id,
        input=given,
        output=inline(check_answer(task, task.name, task.description, given, answer)),
        answer_id=answer_id,
        reference_text_ids=[text.id for text in call.references],
    )


def _copies(given: str, reference: str) -> bool:
    """Whether half of the word 5-grams of a made-up text (or all its words) stand in a reference of style."""
    own = word_grams(words(given))
    return 2 * len(own & word_grams(words(reference))) >= len(own)


def write_demonstrations(
    tasks: Sequence[Task],
    texts: Sequence[Text],
    params: DemonstrationsParams,
    prompts: DemonstrationPrompts,
    talk: Conversation,
) -> tuple[list[Demonstration], list[Reject]]:
    """Demonstrations of the tasks that are to have them: every instance asked for comes back as one or as a reject."""
    references, about = References(texts, talk.seed), partial(subjects, prompts.subjects)
    calls = [
        Call(task, n, references.of_call(task.id, n), about(task.id, n, talk.seed), wanted_outputs(task, n))
        for task in filter(is_demonstrated, tasks)
        for n in range(params.calls)
    ]
    found: list[Demonstration] = []
    rejects: list[Reject] = []
    asked = talk.ask([call.question(params, prompts) for call in calls], "demonstrations")
    for call, said in zip(calls, asked, strict=True):
        written, refused = parse_instances(call, said, talk)
        found += written
        rejects += refused
    distinct, repeated = _drop_repeated(found)
    upheld, doubted = uphold(distinct, by_id(tasks), talk)
    kept, surplus = _drop_surplus(upheld, params.per_task)
    return kept, rejects + repeated + doubted + surplus


def _reject(demonstration: Demonstration, reason: str, detail: str) -> Reject:
    detail = f"{detail}: {demonstration.input}"
    return Reject(stage=STAGE, record_id=demonstration.task_id, reason=reason, detail=detail)


def _drop_repeated(demonstrations: Sequence[Demonstration]) -> tuple[list[Demonstration], list[Reject]]:
    """The first of each task on a text: a second with the same output says nothing, one with another contradicts."""
    kept: dict[tuple[str, ...], Demonstration] = {}
    rejects = []
    for demonstration in demonstrations:
        key = demonstration.task_id, *words(demonstration.input)
        if key in kept:
            rejects.append(_reject(demonstration, "duplicate", f"as {kept[key].id}"))
        else:
            kept[key] = demonstration
    return list(kept.values()), rejects


def _drop_surplus(demonstrations: Sequence[Demonstration], per_task: int) -> tuple[list[Demonstration], list[Reject]]:
    kept, rejects, counts = [], [], Counter[str]()
    for demonstration in demonstrations:
        counts[demonstration.task_id] += 1
        if counts[demonstration.task_id] <= per_task:
            kept.append(demonstration)
        else:
            rejects.append(_reject(demonstration, "over_per_task", f"number {counts[demonstration.task_id]}"))
    return kept, rejects


def uphold(
    demonstrations: Sequence[Demonstration], tasks: Mapping[str, Task], talk: Conversation
) -> tuple[list[Demonstration], list[Reject]]:
    """Keep a demonstration of a fixed answer if the teacher, asked blind, finds that answer likelier than chance.

    Blind: the teacher gets task and text without the output the text was written for. Its label probabilities are
    calibrated over the demonstrations of the task; where a server only chooses, it must choose that answer. A
    demonstration of a task without fixed answers is kept.
    """
    fixed = [d for d in demonstrations if choices(tasks[d.task_id])]
    asked = talk.ask([_blind_question(d, tasks[d.task_id]) for d in fixed], "demonstrations, blind") if fixed else []
    of_task: dict[str, list[tuple[Demonstration, Answer | None]]] = {}
    for demonstration, said in zip(fixed, asked, strict=True):
        answer = None if isinstance(said, Reject) else said.answer
        of_task.setdefault(demonstration.task_id, []).append((demonstration, answer))
    doubts: dict[str, tuple[str, str] | None] = {}
    for answered in of_task.values():
        answers = [answer for _, answer in answered]
        weighed = label_probabilities(answers, prior_of_answers(answers))
        for (demonstration, answer), row in zip(answered, weighed, strict=True):
            doubts[demonstration.id] = _doubt(demonstration.output, row or {}, only_chosen(answer))
    kept = [demonstration for demonstration in demonstrations if not doubts.get(demonstration.id)]
    return kept, [_reject(demonstration, *doubt) for demonstration in fixed if (doubt := doubts[demonstration.id])]


def _doubt(output: str, probabilities: Mapping[str, float], chosen: str | None) -> tuple[str, str] | None:
    """Why an output is not upheld by what the teacher said blind, as reason and detail; None if it is."""
    if chosen:
        return None if chosen == output else ("not_upheld", f"{output} was wanted, {chosen} is chosen")
    if not probabilities:
        return "no_answer", "asked blind"
    if probabilities[output] < 1.0 / len(probabilities):
        return "not_upheld", f"{output} has {probabilities[output]:.2f}"
    return None


def _blind_question(demonstration: Demonstration, task: Task) -> Question[Answer]:
    prompt = with_text(instruction_prompt(task.description, task, []), demonstration.input)
    return label_question(demonstration.id, prompt, choices(task))


def shown_demonstrations(
    task: Task, demonstrations: Sequence[Demonstration], count: int, seed: int
) -> list[Demonstration]:
    """Up to `count` of a task's demonstrations, as many different outputs as possible first, in seeded order."""
    waiting = sorted(demonstrations, key=lambda d: _order(seed, task.id, d.id))
    shown: list[Demonstration] = []
    while waiting and len(shown) < count:
        seen = [demonstration.output for demonstration in shown]
        fresh = min(waiting, key=lambda d: (seen.count(d.output), waiting.index(d)))
        waiting.remove(fresh)
        shown.append(fresh)
    return shown


def build_instructions(
    tasks: Sequence[Task], demonstrations: Sequence[Demonstration], params: DemonstrationsParams, seed: int
) -> list[Instruction]:
    """One instruction a task. A task without demonstrations is shown by its definition alone."""
    seed = stage_seed(seed, STAGE)
    of_task: dict[str, list[Demonstration]] = {}
    for demonstration in demonstrations:
        of_task.setdefault(demonstration.task_id, []).append(demonstration)
    instructions = []
    for task in tasks:
        shown = shown_demonstrations(task, of_task.get(task.id, []), params.shown, seed)
        instructions.append(
            Instruction(
                task_id=task.id,
                perspective_id=task.perspective_id,
                demonstration_ids=[demonstration.id for demonstration in shown],
                prompt=instruction_prompt(task.description, task, [(d.input, d.output) for d in shown]),
                type=task.type,
                labels=task.labels,
                score_range=task.score_range,
                json_schema=task.json_schema,
                exact_spans=task.exact_spans,
                task_name=task.name,
            )
        )
    return instructions
