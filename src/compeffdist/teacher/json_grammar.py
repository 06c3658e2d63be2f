"""The grammar that holds a generating teacher to a JSON schema: JSON as models write it, and no other white space.

Left free, weak models write white space without end. Without any, they are led off their ground: of 48 lists that
Qwen2.5-Coder-1.5B was asked for, 23 held bare punctuation or the beginning of another turn, and none with a space after
each comma and colon.

In xgrammar's grammar a string of bounded length holds no escape, hence no quotation mark and no backslash: a span that
has one cannot be copied whole.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from xgrammar import CompiledGrammar


def json_grammar(schema: str) -> str:
    """A JSON schema as a grammar in xgrammar's EBNF, with `, ` and `: ` between the parts."""
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
