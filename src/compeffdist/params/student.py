"""Training."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from compeffdist.params.sections import PositiveFloat, PositiveInt, Probability, Section


class FineTuningParams(Section):
    """One training run of the student (trl SFT; loss on the response only)."""

    method: Literal["lora", "full"] = "full"
    learning_rate: PositiveFloat | None = None
    """Of the first step after the warm-up; null takes that of the method, 5e-5 for full weights and 5e-4 for LoRA."""
    epochs: PositiveFloat = 4.0
    batch_size: PositiveInt = 8
    """Rows a device step."""
    gradient_accumulation: PositiveInt = 1
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.1
    warmup_ratio: Probability = 0.0
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    max_gradient_norm: PositiveFloat = 1.0
    max_length: PositiveInt = 2048
    """Rows longer than this many tokens are rejected before training."""
    gradient_checkpointing: bool = False
    group_rows: PositiveInt = 8
    """Rows of one instruction that go into a step together, where they read what they share once. Fewer of them are
    more instructions a step and less noise in its gradient; 1 reads every row whole. A row's weight does not depend on
    it."""
    pass_tokens: PositiveInt = 2048
    """Tokens that go through the model at once, at most, but for a longer row: memory hangs on it. A GPU wants more."""
    soft_labels: Probability = 0.0
    """How much of the target of an answer that is a label is the teacher's calibrated probability of every label, in
    place of its answer alone. 0: the answer alone."""
    average_last: Probability = 0.0
    """Share of the steps, the last ones, over whose ends the weights are averaged; 0 takes the last weights. Costs 4
    bytes of memory a trained parameter."""
    compute_dtype: Literal["auto", "float32"] = "auto"
    """Precision of matrix products; `auto` is bfloat16 where GPU or CPU multiplies it, else float32. Weights that are
    trained, their gradients and moments are float32 either way."""
    saved_dtype: Literal["float32", "base"] = "float32"
    """Precision a full fine-tuning is stored in. `base` rounds to that of the base model: half the size, and right
    after thousands of steps; a few steps move weights by less than bfloat16 tells apart, and are lost."""
    lora_rank: PositiveInt = 16
    lora_alpha: PositiveInt = 32
    lora_dropout: Probability = 0.0

    @property
    def step_size(self) -> float:
        """The learning rate, or what `method` takes where none is set: an adapter starts from nothing and wants about
        ten times as much as weights that only need a nudge."""
        return self.learning_rate or {"full": 5e-5, "lora": 5e-4}[self.method]


class WarmUpParams(Section):
    """The short training that makes the student a scorer."""

    rows: PositiveInt
    """Triplets, drawn at random. Paper: 5,000."""
    training: FineTuningParams
