"""What the teacher is asked, what it answers, and the content id that makes an answer reusable.

A request is complete: the same request to the same teacher is the same purchase, in whatever stage, run or process.
Greedy decoding ignores seed and top_p, so they are left out of its id: changing the seed re-buys sampled answers only.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from compeffdist.canonical import canonical_json
from compeffdist.params import TeacherParams
from compeffdist.records import content_id

LIKELIHOOD_PROTOCOL = 1
"""Part of the id of every answer about labels. Raise it when the same request would get other likelihoods, as after a
change to labels.py or to how an engine asks: then these are bought again, and generated text is not."""

SCHEMA_PROTOCOL = 1
"""The same of every answer under a schema: raise it with `chat.json_grammar`."""


@dataclass(frozen=True)
class Request:
    """One question: text to generate, or, where `labels` is set, the likelihood of each whole label. Raises ValueError
    on settings that contradict each other; these are defects of the caller, not of the user."""

    system: str
    prompt: str
    """The user message."""
    max_tokens: int
    temperature: float
    """0 is greedy."""
    top_p: float
    seed: int
    schema: str = ""
    """Canonical JSON of the JSON schema the answer must meet; empty for free text."""
    labels: tuple[str, ...] = ()
    """Nothing is generated; the answer has a log-probability for each of these."""

    def __post_init__(self) -> None:
        if self.labels and self.schema:
            raise ValueError("a request has labels or a schema, not both")
        if self.labels and (len(set(self.labels)) != len(self.labels) or not all(self.labels)):
            raise ValueError(f"labels must be distinct and not empty: {self.labels}")
        if not self.labels and self.max_tokens < 1:
            raise ValueError(f"max_tokens must be positive, got {self.max_tokens}")
        if self.schema and canonical_json(json.loads(self.schema)) != self.schema:
            raise ValueError("schema must be canonical JSON")

    @classmethod
    def generation(
        cls,
        system: str,
        prompt: str,
        teacher: TeacherParams,
        max_tokens: int,
        seed: int,
        schema: Mapping[str, Any] | None = None,
    ) -> Self:
        """A request for text, or for JSON that meets `schema`, decoded as `teacher` says."""
        held = canonical_json(schema) if schema is not None else ""
        return cls(system, prompt, max_tokens, teacher.temperature, teacher.top_p, seed, held)

    @classmethod
    def likelihood(cls, system: str, prompt: str, labels: tuple[str, ...]) -> Self:
        """A request for the likelihood of each label."""
        return cls(system, prompt, max_tokens=1, temperature=0.0, top_p=1.0, seed=0, labels=labels)

    def decoding(self) -> dict[str, Any]:
        """The settings that bear on the answer; those that cannot are left out."""
        if self.labels:
            return {"labels": list(self.labels), "protocol": LIKELIHOOD_PROTOCOL}
        sampling = {"temperature": self.temperature, "top_p": self.top_p, "seed": self.seed}
        held = {"schema": self.schema} | ({"protocol": SCHEMA_PROTOCOL} if self.schema else {})
        return {"max_tokens": self.max_tokens} | held | (sampling if self.temperature else {})

    @property
    def decoding_id(self) -> str:
        """Content id of how the answer is decoded, prompt apart."""
        return content_id("decoding", self.decoding())

    def key(self, teacher_id: str) -> str:
        """Content id of the answer: teacher identity, exact prompt, decoding, seed, schema, labels."""
        identity = {"teacher_id": teacher_id, "system": self.system, "prompt": self.prompt}
        return content_id("answer", identity | self.decoding())

    def to_json(self) -> str:
        """Canonical JSON of every field."""
        return canonical_json(dataclasses.asdict(self))


WEIGHED, FIRST_TOKENS, CHOSEN = "labels", "first_tokens", "chosen"
STOP, LENGTH = "stop", "length"
_STOPS = frozenset(
    {
        *(STOP, "eos", "eos_token", "stop_sequence", "stop_token", "end_turn", "end_of_text", "endoftext"),
        *("complete", "completed", "finish", "finished", "finish_reason_stop"),
    }
)
"""How servers call it when a model ended its answer: OpenAI, vLLM, llama.cpp, Ollama; Text Generation Inference,
Together; Anthropic; AI21; Cohere; Bedrock; Vertex. In lower case."""
_CUTS = frozenset((LENGTH, "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "model_length"))
"""And when it was cut at the tokens it was allowed (Mistral: or at the model's context)."""


def how_text_ended(finish: str) -> str | None:
    """A server's finish reason as one of two: `stop`, or `length` where the answer was cut at max_tokens. None for
    every other (a filter, an abort, a fault, a call of a tool): whether such an answer is whole nobody knows."""
    said = finish.strip().casefold()
    return STOP if said in _STOPS else LENGTH if said in _CUTS else None


@dataclass(frozen=True)
class Answer:
    """What the teacher said."""

    text: str
    """The generated text, or the likeliest label (the earlier one of a tie)."""
    label_logprobs: dict[str, float] | None
    """Natural-log probability of each label; their probabilities sum to 1. None for generated text, and for a label
    that was only chosen: nothing is made up for the others."""
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens the server had in its prefix cache."""
    completion_tokens: int
    finish_reason: str
    """Of generated text: `stop` or `length` (cut at max_tokens); what else a server says is no answer, but stands in
    stores of older versions. Empty for a label."""
    decided: str = ""
    """How a label was decided: `labels` (likelihood of each whole label), `first_tokens` (of each label's first token)
    or `chosen` (one greedy answer, held to the labels where the server can). Empty for generated text."""

    @classmethod
    def of_labels(
        cls, logprobs: Mapping[str, float], prompt_tokens: int, cached_tokens: int, calls: int, how: str = WEIGHED
    ) -> Self:
        """Answer to a likelihood request that took `calls` forward passes (counted as completion tokens)."""
        best = max(logprobs, key=lambda label: logprobs[label])
        return cls(best, dict(logprobs), prompt_tokens, cached_tokens, calls, "", how)

    @classmethod
    def of_choice(cls, label: str, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> Self:
        """Answer to a likelihood request by a server that cannot weigh labels."""
        return cls(label, None, prompt_tokens, cached_tokens, completion_tokens, "", CHOSEN)

    @property
    def kind(self) -> str:
        """How a label was decided, `generated` for text."""
        return self.decided or "generated"

    @property
    def ended(self) -> bool:
        """Whether it ended in a known way, cut at max_tokens included: else it is asked for again."""
        return bool(self.decided) or how_text_ended(self.finish_reason) is not None

    def whole_text(self) -> str:
        """The text, whole or cut at max_tokens. Raises ValueError if it ended otherwise."""
        if not self.ended:
            raise ValueError(f"the answer ended early, by {self.finish_reason[:40]!r}")
        return self.text

    def to_json(self) -> str:
        """Canonical JSON as stores and records hold it: `finish_reason` says either how the text ended or how the label
        was decided, so that answers of every version are read alike and written alike."""
        fields = dataclasses.asdict(self)
        decided = fields.pop("decided")
        return canonical_json(fields | {"finish_reason": decided or self.finish_reason})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`. Raises ValueError or TypeError if it is not an answer."""
        fields = json.loads(text)
        if isinstance(fields, dict) and fields.get("finish_reason") in (WEIGHED, FIRST_TOKENS, CHOSEN):
            fields |= {"finish_reason": "", "decided": fields["finish_reason"]}
        return cls(**fields)
