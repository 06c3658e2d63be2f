"""How a prompt and a response become token ids: one format for training, scoring, prediction and evaluation.

Prompt and response are tokenised apart and joined as ids, so that no merge reaches across the boundary between them;
the price is that a response's first token may differ from what joint tokenisation would give, in every use alike. The
system turn is always ours: templates otherwise insert their own. A special token spelled out in a text (`<|im_end|>`)
is tokenised as plain characters, so that no text can end its own turn.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from compeffdist.chat_template import PLAIN_TEMPLATE, chat_frame
from compeffdist.errors import UserError, one_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model folder, from local files only. Raises UserError if there is none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # broken files fail anywhere in transformers and tokenizers, as any type
        raise UserError(f"{folder}: no tokenizer could be loaded: {one_line(error, 300)}") from None


def student_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a student, or of what it is trained from: without a chat template it is given PLAIN_TEMPLATE,
    which it then has for good. Raises UserError as `load_tokenizer`."""
    tokenizer = load_tokenizer(folder)
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def encode_prompt(tokenizer: "PreTrainedTokenizerBase", system: str, prompt: str) -> list[int]:
    """Token ids of the system and user turns and the opening of the assistant's. Raises UserError as `chat_frame`."""
    frame = chat_frame(tokenizer)
    if not _holds_special_token(tokenizer, system + prompt):
        return _encode(tokenizer, f"{frame.before}{system}{frame.between}{prompt}{frame.after}")
    # Template and contents apart: only the template's own special tokens may count as such.
    own = [_encode(tokenizer, piece) for piece in (frame.before, frame.between, frame.after)]
    told = [_encode(tokenizer, piece, plain=True) for piece in (system, prompt)]
    return [*own[0], *told[0], *own[1], *told[1], *own[2]]


def encode_response(tokenizer: "PreTrainedTokenizerBase", response: str, *, end: bool) -> list[int]:
    """Token ids of a response, with the token that ends the assistant's turn if `end`."""
    ids = _encode(tokenizer, response, plain=True)
    return [*ids, end_token_id(tokenizer)] if end else ids


def end_token_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The token the chat template writes after an assistant's message; the tokenizer's eos if it writes none. Raises
    UserError if there is neither, or as `chat_frame`."""
    following = _encode(tokenizer, chat_frame(tokenizer).closing)
    if following and following[0] in _special_ids(tokenizer):
        return following[0]
    if tokenizer.eos_token_id is None:
        raise UserError(f"{tokenizer.name_or_path}: neither the chat template nor the tokenizer ends a turn")
    return int(tokenizer.eos_token_id)


def _encode(tokenizer: "PreTrainedTokenizerBase", text: str, plain: bool = False) -> list[int]:
    """Ids of `text` with nothing added; `plain` reads special tokens in it as ordinary characters."""
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=plain).input_ids) if text else []


def _special_ids(tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    return {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}


def _holds_special_token(tokenizer: "PreTrainedTokenizerBase", text: str) -> bool:
    return any(str(token) in text for token in tokenizer.added_tokens_decoder.values() if token.special)
