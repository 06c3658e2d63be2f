"""Instruction-following difficulty: how much the prompt helps the model to write the response.

    ifd = perplexity of the response given the prompt / perplexity of the response without it

Near 0 the prompt says all; at 1 and above it is no help. Source: Li et al. 2023, "From Quantity to Quality"
(arXiv 2308.12032). Without a prompt means here: after the chat format with an empty user turn, so that both
perplexities are means over the same tokens, the first included, in the format the model was trained in. That
opening is the same for every row and is read once; the second pass costs the responses alone.
"""

from collections.abc import Sequence

from compeffdist.difficulty.shards import RowScore
from compeffdist.student.batching import TokenRow


def without_prompts(rows: Sequence[TokenRow], bare_prompt: Sequence[int]) -> list[TokenRow]:
    """The rows with `bare_prompt`, the format around nothing, in place of each prompt."""
    return [TokenRow(row.id, bare_prompt, row.response_ids) for row in rows]


def instruction_following_difficulty(prompted: RowScore, bare: RowScore) -> float:
    """The ratio above for one row scored both ways."""
    return prompted.perplexity / bare.perplexity
