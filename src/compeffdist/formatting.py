"""How a prompt and a response become token ids: one format for training, scoring, prediction and
evaluation.

Prompt and response are tokenised apart and joined as ids, so that the boundary between them is exact and no
merge reaches across it; the price is that a response's first token may differ from what joint tokenisation
would give, in every use alike. The system turn is always ours: templates otherwise insert their own, which
costs tokens and differs from model to model.

Some templates (Llama 3's) write today's date into the system turn. They are told a fixed one: a prompt is the same
whatever the day, or neither answers nor scores could be had again.

Texts are hostile: a special token spelled out in a text (`<|im_end|>`) is tokenised as plain characters, so
that no text can end its own turn.
"""

import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from compeffdist.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STUDENT_SYSTEM = "You analyse sentiment."
"""The student's system prompt. Short on purpose: every token of it is paid for in every row."""

TEMPLATE_DATE = date(2024, 7, 26)
"""What a chat template is told today is: the day Llama 3's own names where it is told none."""

# Stand-ins for message contents: no text of a template's own looks like them.
_SYSTEM_SLOT, _USER_SLOT, _ASSISTANT_SLOT = "⟦system⟧", "⟦user⟧", "⟦assistant⟧"


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model folder, from local files only. Raises UserError if there is none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no tokenizer could be loaded: {error}") from None


def encode_prompt(tokenizer: "PreTrainedTokenizerBase", system: str, prompt: str) -> list[int]:
    """Token ids of the system and user turns and the opening of the assistant's.

    Raises:
        UserError: if the tokenizer has no chat template, or its template refuses a system turn, or it rewrites what it
            is told where that spells out a special token.
    """
    if not _holds_special_token(tokenizer, system + prompt):
        return _encode(tokenizer, _render(tokenizer, system, prompt))
    # Template and contents apart: only the template's own special tokens may count as such.
    contents = {_SYSTEM_SLOT: system, _USER_SLOT: prompt}
    pieces = re.split(f"({'|'.join(contents)})", _render(tokenizer, *contents))
    if _USER_SLOT not in pieces or any(_SYSTEM_SLOT[0] in piece for piece in pieces if piece not in contents):
        raise UserError(
            f"{tokenizer.name_or_path}: the chat template rewrites what it is told, so that special tokens spelled out "
            "in a text cannot be told from its own; use another model"
        )
    return [token for piece in pieces for token in _encode(tokenizer, contents.get(piece, piece), piece in contents)]


def encode_response(tokenizer: "PreTrainedTokenizerBase", response: str, *, end: bool) -> list[int]:
    """Token ids of a response, with the token that ends the assistant's turn if `end`."""
    ids = _encode(tokenizer, response, plain=True)
    return [*ids, end_token_id(tokenizer)] if end else ids


def end_token_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The token the chat template writes after an assistant's message; the tokenizer's eos if it writes
    none.

    Raises:
        UserError: if there is neither.
    """
    turns = [
        {"role": "system", "content": _SYSTEM_SLOT},
        {"role": "user", "content": _USER_SLOT},
        {"role": "assistant", "content": _ASSISTANT_SLOT},
    ]
    following = _encode(tokenizer, _apply_template(tokenizer, turns).partition(_ASSISTANT_SLOT)[2])
    if following and following[0] in _special_ids(tokenizer):
        return following[0]
    if tokenizer.eos_token_id is None:
        raise UserError(f"{tokenizer.name_or_path}: neither the chat template nor the tokenizer ends a turn")
    return int(tokenizer.eos_token_id)


def _render(tokenizer: "PreTrainedTokenizerBase", system: str, prompt: str) -> str:
    turns = [{"role": "system", "content": system}, {"role": "user", "content": prompt}]
    return _apply_template(tokenizer, turns, add_generation_prompt=True)


def _apply_template(
    tokenizer: "PreTrainedTokenizerBase", turns: list[dict[str, str]], add_generation_prompt: bool = False
) -> str:
    from jinja2.exceptions import TemplateError

    if not tokenizer.chat_template:
        raise UserError(f"{tokenizer.name_or_path}: no chat template; use an instruction-tuned model")
    try:
        text = tokenizer.apply_chat_template(
            turns,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            strftime_now=TEMPLATE_DATE.strftime,  # the function by which templates ask for the date
        )
    except TemplateError as error:
        raise UserError(f"{tokenizer.name_or_path}: the chat template refuses a system turn: {error}") from None
    return str(text)


def _encode(tokenizer: "PreTrainedTokenizerBase", text: str, plain: bool = False) -> list[int]:
    """Ids of `text` with nothing added; `plain` reads special tokens in it as ordinary characters."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=plain).input_ids) if text else []


def _special_ids(tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    return {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}


def _holds_special_token(tokenizer: "PreTrainedTokenizerBase", text: str) -> bool:
    return any(str(token) in text for token in tokenizer.added_tokens_decoder.values() if token.special)
