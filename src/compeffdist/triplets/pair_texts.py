"""Instructions x texts (method section 8; the official pairing script was never released).

Pairs decide what the teacher is asked, so an edit must not reshuffle them: each answer would be bought again.
A plain shuffle moves everything when one instruction changes. Here every instruction ranks the texts by a
hash of the seed, its own key and the text id, and takes the best of those used least so far. The key is
perspective and task name, so rewording a task keeps its texts and moves no other pair. In exchange for texts
being used equally often, plus or minus one, a renamed, new or dropped instruction does move some pairs of
others: with 80 instructions, 1,000 texts and 2,000 pairs, renaming moves 54 and dropping 157.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compeffdist.accounting import account
from compeffdist.errors import UserError
from compeffdist.instructions.own_tasks import is_own
from compeffdist.params import PairingParams
from compeffdist.records import Instruction, Mention, Pair, Perspective, Reject, Text
from compeffdist.seeds import stage_seed
from compeffdist.texts.draw import draw_evenly, even_shares

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]

STAGE = "pair_texts"


def pair_texts(
    instructions: Sequence[Instruction],
    texts: Sequence[Text],
    params: PairingParams,
    seed: int,
    mentions: Sequence[Mention] = (),
    perspectives: Sequence[Perspective] = (),
    limits: Mapping[str, int] = MappingProxyType({}),
) -> tuple[list[Pair], list[Reject]]:
    """Choose `params.pairs` distinct (instruction, text) pairs, or all that are possible if there are fewer.

    `random`: any text may go with any instruction; instructions get equally many texts, and texts are used
    equally often, each plus or minus one. `matched`: only texts with a mention of an attribute of the
    instruction's perspective; an instruction with too few gets all of those, and the others share the rest.
    An instruction of the user's own (`tasks.own`, and the seed task) is paired with every text, or as many as `limits`
    says, beyond `params.pairs`. Instructions of `params.left_out` are paired with none, and of the generated ones no
    more than `params.tasks`.

    Args:
        mentions, perspectives: needed by `matched` only.
        limits: name of a task of the user's own -> how many texts it is paired with, drawn evenly over domains.

    Returns:
        Pairs sorted by instruction id, then text id (instructions together, so that a prefix cache pays); and
        one reject for each text (`unpaired`) and each instruction (`left_out`, `not_drawn`, `no_text`) that is in no
        pair. The result does not depend on the order of any argument.

    Raises:
        UserError: `params.left_out` names an instruction that is not there.
    """
    everyone, left_out = instructions, _left_out(instructions, params)
    asked = [instruction for instruction in everyone if instruction.id not in left_out]
    drawn = _drawn([i for i in asked if not is_own(i)], params.tasks, seed)
    instructions = sorted(drawn, key=lambda instruction: instruction.id)
    texts = sorted(texts, key=lambda text: text.id)
    candidates = _candidates(instructions, texts, params, mentions, perspectives)
    ranks, text_hashes = _hashes(_keys(instructions), seed), _hashes([text.id for text in texts], seed)
    chosen = _assign(candidates, ranks, text_hashes, params.pairs)
    pairs = [
        Pair(instruction_id=instruction.id, text_id=texts[index].id, method=params.method)
        for instruction, indices in zip(instructions, chosen, strict=True)
        for index in sorted(indices.tolist())
    ]
    domains = {text.id: text.domain for text in texts}
    pairs += [
        Pair(instruction_id=own.id, text_id=text_id, method="own")
        for own in filter(is_own, asked)
        for text_id in draw_evenly(
            domains, limits.get(own.task_name, len(texts)), stage_seed(seed, f"own:{own.task_name}")
        )
    ]
    pairs.sort(key=lambda pair: (pair.instruction_id, pair.text_id))
    idle = dict.fromkeys((i.id for i in everyone), "no_text")
    idle |= dict.fromkeys({i.id for i in asked if not is_own(i)} - {i.id for i in drawn}, "not_drawn")
    return pairs, _rejects(pairs, idle | dict.fromkeys(left_out, "left_out"), texts)


def _left_out(instructions: Sequence[Instruction], params: PairingParams) -> set[str]:
    known = {instruction.id for instruction in instructions}
    if unknown := sorted(set(params.left_out) - known):
        raise UserError(f"pairing.left_out: data/instructions.jsonl has no instruction {unknown[0]}")
    return set(params.left_out)


def _drawn(instructions: Sequence[Instruction], tasks: int | None, seed: int) -> list[Instruction]:
    """`tasks` of the generated instructions, evenly over perspectives; more of them hold nearly all of the fewer."""
    if tasks is None:
        return list(instructions)
    keyed = dict(zip(_keys(instructions), instructions, strict=True))
    perspectives = {key: instruction.perspective_id for key, instruction in keyed.items()}
    return [keyed[key] for key in draw_evenly(perspectives, tasks, stage_seed(seed, "pairing.tasks"))]


def _candidates(
    instructions: Sequence[Instruction],
    texts: Sequence[Text],
    params: PairingParams,
    mentions: Sequence[Mention],
    perspectives: Sequence[Perspective],
) -> list[Integers]:
    """For each instruction the indices of the texts it may be paired with."""
    everything = np.arange(len(texts))
    if params.method == "random":
        return [everything] * len(instructions)
    perspective_of = {name: perspective.id for perspective in perspectives for name in perspective.member_names}
    place = {text.id: index for index, text in enumerate(texts)}
    found: defaultdict[str, set[int]] = defaultdict(set)
    for mention in mentions:
        for name in mention.names:
            if name in perspective_of and mention.text_id in place:
                found[perspective_of[name]].add(place[mention.text_id])
    matched = {key: np.array(sorted(indices), dtype=np.int64) for key, indices in found.items()}
    nothing = everything[:0]
    return [matched.get(instruction.perspective_id, nothing) for instruction in instructions]


def _keys(instructions: Sequence[Instruction]) -> list[str]:
    """What an instruction's choice of texts hangs on: perspective and task name, or its id if those are not its own."""
    named = [f"{instruction.perspective_id}:{instruction.task_name}" for instruction in instructions]
    uses = Counter(named)
    return [key if uses[key] == 1 else item.id for key, item in zip(named, instructions, strict=True)]


def _hashes(keys: Sequence[str], seed: int) -> Hashes:
    digests = (hashlib.sha256(f"{seed}:{key}".encode()).digest()[:8] for key in keys)
    return np.array([int.from_bytes(digest, "big") for digest in digests], dtype=np.uint64)


def _assign(candidates: Sequence[Integers], ranks: Hashes, text_hashes: Hashes, pairs: int) -> list[Integers]:
    """For each instruction the indices of its texts: as many as the others as far as its candidates allow, among these
    those used least, ties by pairwise hash.

    Hashes are made for the least used candidates only, and the best are selected, not sorted. With 3,707 instructions,
    100,000 texts and 100,000 pairs the whole of `pair_texts` takes 13 s on one shared core; matched, with 220,000
    mentions, 5 s.
    """
    capacities = {(rank, place): len(candidates[place]) for place, rank in enumerate(ranks.tolist())}
    uses = np.zeros(len(text_hashes), dtype=np.int32)
    chosen: list[Integers] = [np.empty(0, dtype=np.int64)] * len(candidates)
    # the scarcest first: the others can still avoid the texts these had to take
    for (_, place), quota in even_shares(capacities, pairs).items():
        chosen[place] = _least_used(candidates[place], uses, quota, ranks[place], text_hashes)
        uses[chosen[place]] += 1
    return chosen


def _least_used(pool: Integers, uses: NDArray[np.int32], quota: int, rank: np.uint64, text_hashes: Hashes) -> Integers:
    """`quota` of `pool`, by uses, then by hash: whole levels of use while they fit, and the best of the next."""
    taken: list[Integers] = []
    levels = uses[pool]
    level = int(levels.min()) if quota else 0
    while quota:
        found = pool[levels == level]
        if len(found) > quota:
            hashes = _mix(text_hashes[found] ^ rank)
            found = found[np.argpartition(hashes, quota - 1)[:quota]]
        taken.append(found)
        quota -= len(found)
        level += 1
    return np.concatenate(taken) if taken else pool[:0]


def _mix(values: Hashes) -> Hashes:
    """A bijection of 64-bit words in which every input bit reaches every output bit (splitmix64's finaliser)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _rejects(pairs: Sequence[Pair], instructions: Mapping[str, str], texts: Sequence[Text]) -> list[Reject]:
    used = {key for pair in pairs for key in (pair.text_id, pair.instruction_id)}
    idle = [*((text.id, "unpaired") for text in texts), *instructions.items()]
    return [Reject(stage=STAGE, record_id=key, reason=reason) for key, reason in idle if key not in used]


def pairing_metrics(
    pairs: Sequence[Pair],
    rejects: Sequence[Reject],
    instructions: Sequence[Instruction],
    texts: Sequence[Text],
    params: PairingParams,
) -> dict[str, Any]:
    """The stage's metrics: texts and instructions accounted for apart, pairs wanted and made, and their spread."""
    per_instruction = Counter(pair.instruction_id for pair in pairs)
    per_text = Counter(pair.text_id for pair in pairs)
    unpaired = [reject for reject in rejects if reject.reason == "unpaired"]
    idle = [reject for reject in rejects if reject.reason != "unpaired"]
    made = sum(pair.method != "own" for pair in pairs)
    return {
        "method": params.method,
        "pairs": {"requested": params.pairs, "made": made, "missing": params.pairs - made, "own": len(pairs) - made},
        "texts": account(STAGE, len(texts), len(per_text), unpaired),
        "instructions": account(STAGE, len(instructions), len(per_instruction), idle),
        "texts_per_instruction": _spread(per_instruction),
        "instructions_per_text": _spread(per_text),
    }


def _spread(counts: Mapping[str, int]) -> dict[str, int]:
    return {"min": min(counts.values()), "max": max(counts.values())} if counts else {}
