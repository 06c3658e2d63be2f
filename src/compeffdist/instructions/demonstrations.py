"""Demonstrations: worked examples of each task, on texts the teacher writes in the style of real ones.

Method section 7 (official scripts 7, 8): several calls a task, two instances a call, two real texts as references of
style. Where the official code shows stage-2 examples as a template of the answer, we set the form by schema, and for
a closed label set or a scale we ask for instances of given outputs in turn, so that demonstrations are balanced and
right by construction. Demonstrations are attached to tasks by id; the official code attaches them by position.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from compeffdist.files import canonical_json
from compeffdist.instructions.rendering import definition, instruction_prompt
from compeffdist.params import DemonstrationsParams, TeacherParams, stage_seed
from compeffdist.prompting import clipped, inline
from compeffdist.records import Demonstration, Instruction, Reject, Task, Text
from compeffdist.teacher.asking import Asked, Teacher
from compeffdist.teacher.parsing import is_worded, parse_json, spans_missing
from compeffdist.teacher.requests import Request
from compeffdist.texts.words import word_grams, words

STAGE = "write_demonstrations"
INSTANCES = 2
"""Instances a call, and reference texts a call."""
INPUT_CHARACTERS = 180


def _order(seed: int, *parts: object) -> bytes:
    return hashlib.sha256(":".join(str(part) for part in (seed, *parts)).encode()).digest()


def is_demonstrated(task: Task) -> bool:
    """Whether a task gets demonstrations: not analysis (as in the official data), nor the overall-polarity seed task,
    whose prompt must stay the one that every text and evaluation row is asked with."""
    return task.type != "analysis" and bool(task.perspective_id)


def reference_texts(texts: Sequence[Text], task_id: str, call: int, seed: int) -> list[Text]:
    """Two texts for one call of one task, chosen by hash of their ids."""
    return sorted(texts, key=lambda text: _order(seed, task_id, call, text.id))[:INSTANCES]


def wanted_outputs(task: Task, call: int) -> list[str]:
    """The outputs the two instances of a call are to have, in turn over labels or over the scale; else none."""
    if task.type == "closed_classification":
        choices = task.labels
    elif task.type == "scoring":
        low, high = task.score_range
        # the ends first: they say most about what the scale means
        choices = [str(low), str(high), *(str(score) for score in range(low + 1, high))]
    else:
        return []
    return [choices[(call * INSTANCES + offset) % len(choices)] for offset in range(INSTANCES)]


def demonstration_request(
    task: Task,
    call: int,
    references: Sequence[Text],
    params: DemonstrationsParams,
    teacher: TeacherParams,
    seed: int,
) -> Request:
    """The question of one call."""
    outputs = wanted_outputs(task, call)
    wish = (
        f"The right output of the first is {outputs[0]!r}, that of the second {outputs[1]!r}."
        if outputs
        else "Give each the right output."
    )
    styles = "\n".join(f"- {inline(clipped(text.text, params.reference_characters))}" for text in references)
    prompt = (
        f"Task: {definition(task.description, task)}\n\n"
        f"Make up {INSTANCES} short input texts for this task, of one or two sentences each. {wish}\n"
        "Write them in the style of these real texts, but about other things and in other words:\n"
        f"{styles}\n\nAnswer in JSON."
    )
    return Request(
        system=teacher.system_prompt,
        prompt=prompt,
        max_tokens=params.max_tokens,
        temperature=teacher.temperature,
        top_p=teacher.top_p,
        seed=seed,
        schema=canonical_json(_schema(task, outputs)),
    )


def _schema(task: Task, outputs: Sequence[str]) -> dict[str, Any]:
    def instance(output: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {
                "input": {"type": "string", "minLength": 8, "maxLength": INPUT_CHARACTERS},
                "output": output,
            },
            "required": ["input", "output"],
            "additionalProperties": False,
        }

    free = json.loads(task.json_schema) if task.json_schema else {"type": "string", "minLength": 1, "maxLength": 200}
    items: list[dict[str, Any]] = [{"const": output} for output in outputs] or [free] * INSTANCES
    properties = {f"instance_{number}": instance(item) for number, item in enumerate(items, 1)}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse_instances(
    task: Task, call: int, asked: Asked, references: Sequence[Text]
) -> tuple[list[Demonstration], list[Reject]]:
    """The usable demonstrations of one call, and a reject with reason for each of the others."""

    def reject(number: int, reason: str, detail: str) -> Reject:
        return Reject(stage=STAGE, record_id=task.id, reason=reason, detail=f"call {call}.{number}: {detail}")

    if asked.answer is None:
        return [], [reject(number, "no_answer", asked.reason) for number in range(1, INSTANCES + 1)]
    try:
        value = parse_json(asked.answer.text, _schema(task, wanted_outputs(task, call)))
    except ValueError as error:
        return [], [reject(number, "unparsable", str(error)) for number in range(1, INSTANCES + 1)]
    kept, rejects = [], []
    for number, instance in enumerate(value.values(), 1):
        given, output = inline(instance["input"]), instance["output"]
        answer = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        missing = spans_missing(output, given) if task.exact_spans else []
        if isinstance(output, list) and not all(is_worded(span) for span in output):
            rejects.append(reject(number, "wordless_span", answer))
        elif missing:
            rejects.append(reject(number, "span_not_in_text", missing[0]))
        elif any(_copies(given, text.text) for text in references):
            rejects.append(reject(number, "copies_reference", given))
        else:
            kept.append(
                Demonstration(
                    task_id=task.id,
                    input=given,
                    output=inline(answer),
                    answer_id=asked.answer_id,
                    reference_text_ids=[text.id for text in references],
                )
            )
    return kept, rejects


def _copies(given: str, reference: str) -> bool:
    """Whether half of the word 5-grams of a made-up text (or all its words) stand in a reference of style."""
    own = word_grams(words(given))
    return bool(own) and 2 * len(own & word_grams(words(reference))) >= len(own)


def write_demonstrations(
    tasks: Sequence[Task],
    texts: Sequence[Text],
    params: DemonstrationsParams,
    teacher_params: TeacherParams,
    teacher: Teacher,
    seed: int,
) -> tuple[list[Demonstration], list[Reject]]:
    """Demonstrations of the tasks that are to have them.

    Every instance asked for comes back as a demonstration or as a reject.
    """
    seed = stage_seed(seed, STAGE)
    calls = [
        (task, call, reference_texts(texts, task.id, call, seed))
        for task in tasks
        if is_demonstrated(task)
        for call in range(params.calls)
    ]
    requests = [demonstration_request(task, call, refs, params, teacher_params, seed) for task, call, refs in calls]
    kept: dict[str, Demonstration] = {}
    per_task: dict[str, int] = {}
    rejects: list[Reject] = []
    for (task, call, references), asked in zip(calls, teacher.ask(requests, "demonstrations"), strict=True):
        found, refused = parse_instances(task, call, asked, references)
        rejects += refused
        for place, demonstration in enumerate(found):
            reason = (
                "duplicate"
                if demonstration.id in kept
                else "over_per_task"
                if per_task.get(task.id, 0) >= params.per_task
                else ""
            )
            if reason:
                detail = f"call {call}, kept {place}: {demonstration.id}"
                rejects.append(Reject(stage=STAGE, record_id=task.id, reason=reason, detail=detail))
            else:
                kept[demonstration.id] = demonstration
                per_task[task.id] = per_task.get(task.id, 0) + 1
    return list(kept.values()), rejects


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
