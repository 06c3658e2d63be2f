"""Control tokens that a text spells out, made harmless where somebody else tokenises it.

An engine that holds the weights reads them as plain characters (`formatting`). A server behind an API that puts what it
is told into its chat template, as vLLM, Ollama and llama.cpp do, reads `<|im_end|>` in a text as the end of the turn.
With a space behind its first character no tokenizer finds it, and a model still sees what was written.
"""

import re

_WORDS = (
    *("s", "bos", "eos", "pad", "unk", "mask", "sop", "eop", "eoh", "eoa", "eot", "think", "thinking"),
    *("tool_call", "tool_response", r"(?:start|end)_of_\w+", r"reserved_\d+", r"unused\d+"),
)
"""Of tokens in angle brackets: Llama 2, Gemma, Qwen, Baichuan, InternLM, GLM."""
_CAPITALS = (
    *("INST", "SYSTEM_PROMPT", "AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_RESULTS", "TOOL_CONTENT", "THINK", "IMG"),
    *("CLS", "SEP", "MASK", "PAD", "UNK", "BOS", "EOS", "gMASK"),
)
"""Of tokens in square brackets: Mistral, GLM, BERT."""
_BEGINNING = re.compile(rf"<(?=[|｜]|/?(?:{'|'.join(_WORDS)})>|</?SYS>>)|\[(?=/?(?:{'|'.join(_CAPITALS)})\])")
"""The first character of a token; between bars (ChatML, Llama 3, Phi, Command, DeepSeek, GPT-OSS) any name is one."""


def disarmed(text: str) -> str:
    """`text` with no control token in it; a text without any is as it was."""
    return _BEGINNING.sub(r"\g<0> ", text)
