"""Requests as token ids, and the grammar of their answers: the same for every engine that holds the weights itself."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist.formatting import encode_prompt, encode_response, end_token_id, load_tokenizer
from compeffdist.labels import LabelTrie, build_trie

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from xgrammar import CompiledGrammar

TOO_LONG = "prompt and answer are longer than teacher.max_model_len"


class ChatTokenizer:
    """A model's tokenizer and chat template, used as for the student. Raises UserError if the folder has no tokenizer,
    or one without a chat template that takes a system turn."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = load_tokenizer(folder)
        self.end = end_token_id(self.tokenizer)
        """The token that ends an answer."""
        self._tries: dict[tuple[str, ...], LabelTrie] = {}

    def prompt_ids(self, system: str, prompt: str) -> list[int]:
        """The conversation up to where the answer begins."""
        return encode_prompt(self.tokenizer, system, prompt)

    def trie(self, labels: tuple[str, ...]) -> LabelTrie:
        """The trie over the labels as whole answers. Raises ValueError if their tokens coincide."""
        if labels not in self._tries:
            tokens = {label: encode_response(self.tokenizer, label, end=False) for label in labels}
            self._tries[labels] = build_trie(tokens, self.end)
        return self._tries[labels]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated tokens, special tokens left out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))


def json_grammar(schema: str) -> str:
    """A JSON schema as a grammar in xgrammar's EBNF: JSON as models write it, and no other white space.

    Left free, weak models write white space without end. Without any, they lose the thread: of 48 lists that
    Qwen2.5-Coder-1.5B was asked for, 23 held bare punctuation or the beginning of another turn, and none with a space
    after each comma and colon. A string of bounded length holds no escape in it, hence no quotation mark and no
    backslash: a span that has one cannot be copied whole.
    """
    import xgrammar

    return str(xgrammar.Grammar.from_json_schema(schema, any_whitespace=False, separators=(", ", ": ")))


def compiled_schema(
    tokenizer: "PreTrainedTokenizerBase", vocabulary: int, end: int, schema: Mapping[str, Any]
) -> "CompiledGrammar":
    """The grammar of a JSON schema over a tokenizer's tokens.

    Args:
        vocabulary: columns of the model's logits.
        end: the token that ends an answer.
    """
    import xgrammar

    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary, stop_token_ids=[end])
    return xgrammar.GrammarCompiler(info).compile_grammar(json_grammar(json.dumps(schema)))
