"""Somebody else's chat template, held to what a prompt needs of it before anything rests on it.

A template is a program that comes with a model. It may leave out the system turn, write a turn twice, escape what it
is told, or make nothing of a text, and none of these is an error to it. So it is rendered once, with marks in place of
what is said: each must come out as it went in, once, system before user. What stands around them is the frame of every
prompt: no text decides how its prompt is framed, and a template costs one rendering, not one a row.

Contents are given as texts or, to a template that makes nothing of these, as content parts. One that opens a think
block where the answer is to begin is told `enable_thinking` false, which hybrid models' templates know.

Some templates (Llama 3's) write today's date into the system turn. They are told a fixed one: a prompt is the same
whatever the day, or neither answers nor scores could be had again.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from compeffdist.errors import UserError, one_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEMPLATE_DATE = date(2024, 7, 26)
"""What a chat template is told today is: the day Llama 3's own names where it is told none."""

PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}Answer:\n{% endif %}"
)
"""What a student is given that comes without a template, as models before instruction tuning do: it learns this one."""

_CORES = {"system": "⟦system⟧", "user": "⟦user⟧", "assistant": "⟦assistant⟧"}
"""No text of a template's own looks like them."""
_HARD = " Aa\n\n<i>\"b\" & 'c'</i> \\ {d} é"
"""What a template that escapes, folds or prints what it is told does not leave as it is."""
_MARKS = {role: f"{core}{_HARD}{core[-1]}" for role, core in _CORES.items()}
_THINKING_OFF: tuple[Mapping[str, Any], ...] = ({}, {"enable_thinking": False})
"""Where a template opens a think block before the answer, what hybrid models' templates are told to close it."""
_OPENS_THOUGHTS, _CLOSES_THOUGHTS = "<think>", "</think>"


class Frame(NamedTuple):
    """What a chat template writes: before the system message, between it and the user's, after that up to where the
    answer begins, and closing an assistant's message (empty if it writes nothing there)."""

    before: str
    between: str
    after: str
    closing: str


_FRAMES: "WeakKeyDictionary[PreTrainedTokenizerBase, tuple[Any, Frame]]" = WeakKeyDictionary()
"""Frames found before, each with the template that it is of."""


def chat_frame(tokenizer: "PreTrainedTokenizerBase") -> Frame:
    """The frame of a tokenizer's chat template, which is checked when it is first asked for.

    Raises:
        UserError: naming the model: it has no template, or only named ones and no default among them; or its template
            cannot be rendered, refuses a system turn, or does not write both messages as they are, once each, in order.
    """
    template, known = tokenizer.chat_template, _FRAMES.get(tokenizer)
    if known is None or known[0] != template:
        known = _FRAMES[tokenizer] = template, _find_frame(tokenizer)
    return known[1]


def _find_frame(tokenizer: "PreTrainedTokenizerBase") -> Frame:
    model, template = tokenizer.name_or_path or "the model", tokenizer.chat_template
    if not template:
        raise UserError(f"{model}: no chat template; use an instruction-tuned model")
    if isinstance(template, dict) and "default" not in template:
        named = one_line(", ".join(sorted(map(str, template))), 120)
        raise UserError(
            f"{model}: its chat templates have names ({named}) and none of them is `default`; name the one to use so "
            "in its tokenizer_config.json, or use another model"
        )
    faults: list[str] = []
    opening: Frame | None = None
    for variables, forms in product(_THINKING_OFF, _forms(2)):
        try:
            rendered = _render(tokenizer, _turns(forms), variables, add_generation_prompt=True)
            before, between, after = _pieces(rendered)
            frame = Frame(before, between, after, _closing(tokenizer, forms, variables))
        except ValueError as fault:
            faults.append(str(fault))
            continue
        if after.rfind(_OPENS_THOUGHTS) <= after.rfind(_CLOSES_THOUGHTS):
            return frame
        opening = opening or frame
    if opening:  # a model that cannot but think
        return opening
    raise UserError(f"{model}: {faults[0]}; use another model")


def _forms(turns: int) -> Iterator[tuple[bool, ...]]:
    """Which of the first turns are written as content parts: none, all, then each other way."""
    return iter(sorted(product((False, True), repeat=turns), key=lambda form: len(set(form))))


def _turns(parts: Sequence[bool]) -> list[dict[str, Any]]:
    """Turns in their order, system first, whose contents are marks: texts, or lists of content parts."""
    return [
        {"role": role, "content": [{"type": "text", "text": mark}] if in_parts else mark}
        for (role, mark), in_parts in zip(_MARKS.items(), parts, strict=False)
    ]


def _closing(tokenizer: "PreTrainedTokenizerBase", forms: Sequence[bool], variables: Mapping[str, Any]) -> str:
    """What follows an answer, given in the same form as the user's message or, if it is not written then, the other."""
    faults: list[ValueError] = []
    for in_parts in (forms[-1], not forms[-1]):
        try:
            rendered = _render(tokenizer, _turns((*forms, in_parts)), variables, add_generation_prompt=False)
        except ValueError as fault:
            faults.append(fault)
            continue
        _, found, closing = rendered.rpartition(_MARKS["assistant"])
        if found:
            return closing
    if len(faults) > 1:
        raise faults[0]
    return ""


def _pieces(rendered: str) -> tuple[str, str, str]:
    """The text before, between and after the marks. Raises ValueError if they are not what they should be."""
    if any("\ud800" <= character <= "\udfff" for character in rendered):
        raise ValueError("the chat template holds half a character")
    fault = "the chat template rewrites what it is told: it "
    named = {"system": "the system turn", "user": "what the user says"}
    for role, what in named.items():
        found = rendered.casefold().count(_CORES[role].casefold())
        if not found:
            raise ValueError(f"{fault}leaves out {what}")
        if found > 1:
            raise ValueError(f"{fault}writes {what} {found} times")
        if _MARKS[role] not in rendered:
            raise ValueError(f"{fault}changes the letters of {what}")
    before, _, rest = rendered.partition(_MARKS["system"])
    between, found_user, after = rest.partition(_MARKS["user"])
    if not found_user:
        raise ValueError(f"{fault}writes what the user says before the system turn")
    return before, between, after


def _render(
    tokenizer: "PreTrainedTokenizerBase",
    turns: list[dict[str, Any]],
    variables: Mapping[str, Any],
    *,
    add_generation_prompt: bool,
) -> str:
    """The conversation as the template writes it. Raises ValueError if the template fails, whatever it fails with."""

    def rendered(turns: list[dict[str, Any]]) -> str:
        text = tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            strftime_now=TEMPLATE_DATE.strftime,  # the function by which templates ask for the date
            **variables,
        )
        return str(text)

    try:
        return rendered(turns)
    except Exception as error:  # a template is a program: it fails as any type
        told = f"{one_line(error, 160)} ({type(error).__name__})"
    try:
        rendered(turns[1:])
    except Exception:
        if "system" not in told.casefold():
            raise ValueError(f"the chat template cannot be rendered: {told}") from None
    raise ValueError(f"the chat template refuses a system turn: {told}")
