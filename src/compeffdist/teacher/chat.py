"""Requests as token ids, the same way for every engine that holds the weights itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compeffdist.errors import UserError
from compeffdist.teacher.labels import LabelTrie, build_trie


class ChatTokenizer:
    """A model's tokenizer and chat template.

    Raises:
        UserError: if the folder has no tokenizer or no chat template.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: no usable tokenizer: {error}") from None
        if not self.tokenizer.chat_template:
            raise UserError(f"{folder}: the teacher has no chat template; use an instruction-tuned model")
        self.end: int = self.tokenizer.eos_token_id
        self._special = [
            token.content
            for token in self.tokenizer.added_tokens_decoder.values()
            if token.special and token.content
        ]
        self._tries: dict[tuple[str, ...], LabelTrie] = {}

    def prompt_ids(self, system: str, prompt: str) -> list[int]:
        """The conversation up to where the answer begins. The system message is always given, else templates add
        their own; a special token spelled out in a text is taken apart, so that no text can end its turn."""
        messages = [
            {"role": "system", "content": self.defuse(system)},
            {"role": "user", "content": self.defuse(prompt)},
        ]
        ids = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        return [int(token) for token in ids]

    def defuse(self, text: str) -> str:
        """`text` with a space after the first character of each special token spelled out in it."""
        for special in self._special:
            text = text.replace(special, f"{special[0]} {special[1:]}")
        return text

    def trie(self, labels: tuple[str, ...]) -> LabelTrie:
        """The trie over the labels as the beginning of an answer. Raises ValueError if their tokens coincide."""
        if labels not in self._tries:
            tokens = {label: self.tokenizer.encode(label, add_special_tokens=False) for label in labels}
            self._tries[labels] = build_trie(tokens, self.end)
        return self._tries[labels]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated tokens, special tokens left out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))
