"""How much memory a stage that loads a model will hold at its peak, from the model's size and what is done with it.

A training with full weights holds 16 bytes a parameter (float32 weights, gradients, two moments of Adam), two more
where products are in bfloat16, and what one pass keeps for its way back. That is, of each layer and token, the inputs
of two norms and what they give, the input of each product beside them, four vectors as wide as the MLP, and what
attention works on: queries, keys and values once for each head, and, where it is computed block by block, their
padding and the share of each key in each query, in float32. Each of several processes (`runtime.processes`) holds all
of that, and the gradients once more as it exchanges them.
Scoring and prediction hold the weights, the head once more in float32, keys and values of a batch, and the scorer's
workspace. A server of the teacher holds its weights and the cache that `runtime.engine_memory_gib` asks for.

Told of a CPU alone: what lies on a GPU is not estimated. Nor is what rows take: a stage without a model is known once
it has run here (`peaks`). docs/before-a-run.md says how far these figures were off.
"""

from compeffdist import precision
from compeffdist.costs.amounts import GIB, MIB, NOTHING, UNKNOWN, Amount
from compeffdist.costs.shapes import BYTES, Layers, Shape
from compeffdist.params import FineTuningParams, Params, RuntimeParams

LIBRARIES = 0.6 * GIB
"""A process that has loaded PyTorch and transformers, and nothing else."""
EMBEDDING_LIBRARIES = 0.75 * GIB
"""The same with sentence-transformers."""
MLFLOW = 0.25 * GIB
"""What MLflow adds to either."""
SERVER_LIBRARIES = 3.0 * GIB
"""The three processes of a vLLM server at work, without weights and cache; 2.7 and 3.2 with a 0.5B and a 1.5B model."""
INSTRUCTION_TOKENS, CHARACTERS_A_TOKEN = 80, 3.0
"""Of a training row: chat frame and instruction without its demonstrations; of a text as long as texts may be."""
BLOCK_QUERIES, BLOCK_KEYS = 1.9, 2.9
"""Rows of the padded blocks of attention (`student.blockwise`) for a token of their pass: means over the passes of the
default run."""
RESPONSE_SHARE = 0.1
"""Of the tokens of a training pass, those that are answers and go through the head: most are prompt."""
TRAININGS = ("warm_up_student", "train_student")
SCORING = ("score_difficulty", "predict_difficulty")
EMBEDDING = ("cluster_attributes", "generate_tasks")
STUDENT_LOADING = (*TRAININGS, *SCORING, "evaluate_student", "register_student")


def training_of(stage: str, params: Params) -> FineTuningParams:
    """The settings of a training stage."""
    return params.training if stage == "train_student" else params.warm_up.training


def model_memory(stage: str, params: Params, student: Shape | None, embedder: Shape | None) -> Amount:
    """Bytes that a stage's own process holds at its peak with the models that it loads, a teacher apart."""
    if stage == "predict_difficulty" and params.difficulty.mode == "direct":
        return UNKNOWN  # it loads nothing
    if stage in EMBEDDING and embedder is not None and not on_gpu(params.runtime):
        return Amount.estimated(EMBEDDING_LIBRARIES + 4 * embedder.parameters)
    if stage not in STUDENT_LOADING or student is None or student.layers is None or on_gpu(params.runtime):
        return UNKNOWN
    libraries = LIBRARIES + (MLFLOW if stage in ("train_student", "register_student") else 0.0)
    if stage in TRAININGS:
        settings, processes = training_of(stage, params), params.runtime.processes
        row = _row_tokens(params)
        pass_tokens = min(settings.pass_tokens, -(-settings.batch_size // processes) * row)
        each = training_bytes(student, student.layers, settings, pass_tokens, row)
        if processes > 1:
            copies = LIBRARIES + each + 4 * _trained_parameters(student, student.layers, settings)
            return Amount.estimated(libraries + processes * copies)
        return Amount.estimated(libraries + each)
    return Amount.estimated(libraries + _asking_bytes(stage, params, student, student.layers))


def server_memory(params: Params, teacher: Shape | None) -> Amount:
    """Bytes of the teacher's server, or of a teacher in the process that asks."""
    if params.teacher.engine.startswith("openai"):
        return NOTHING
    # vLLM takes a GPU where there is one
    elsewhere = precision.resolve_device("auto") != "cpu" if params.teacher.engine == "vllm" else on_gpu(params.runtime)
    if teacher is None or elsewhere:
        return UNKNOWN
    weights = teacher.parameters * BYTES[precision.affordable_dtype(params.models.teacher.dtype, on_cpu=True)]
    if params.teacher.engine == "vllm":
        return Amount.estimated(weights + params.runtime.engine_memory_gib * GIB + SERVER_LIBRARIES)
    if teacher.layers is None:
        return UNKNOWN
    return Amount.estimated(weights + LIBRARIES + _batch_bytes(teacher.layers, params.runtime.token_budget, 4))


def training_bytes(
    student: Shape, layers: Layers, settings: FineTuningParams, pass_tokens: float, row_tokens: float
) -> float:
    """Bytes of a fine-tuning on a CPU, libraries apart, with so many tokens in its largest pass and its longest row."""
    bf16 = settings.compute_dtype == "auto" and precision.cpu_multiplies("bfloat16")
    trained, weights = _trained_parameters(student, layers, settings), 0.0
    if settings.method == "full":
        weights = student.parameters * (16 + 2 * bf16)
    else:
        weights = student.parameters * _width(student.stored_width) + 16 * trained
    if settings.average_last:
        weights += 4 * trained
    attention = _kept_by_attention(layers, bf16, row_tokens if settings.group_rows > 1 else 0.0)
    kept = _kept_for_the_way_back(layers, bf16, attention, settings.gradient_checkpointing)
    return weights + pass_tokens * kept


def _trained_parameters(student: Shape, layers: Layers, settings: FineTuningParams) -> float:
    return student.parameters if settings.method == "full" else adapter_parameters(layers, settings.lora_rank)


def _row_tokens(params: Params) -> float:
    """Of a training row: its text and its demonstrations are at most as long as texts may be."""
    return INSTRUCTION_TOKENS + (1 + params.demonstrations.shown) * params.texts.max_characters / CHARACTERS_A_TOKEN


def adapter_parameters(layers: Layers, rank: int) -> int:
    """Parameters of LoRA on every linear layer of a decoder: rank x (width in + width out) each."""
    attention = 2 * 2 * layers.hidden + 2 * (layers.hidden + layers.key_values)
    return layers.count * rank * (attention + 3 * (layers.hidden + layers.inner))


def on_gpu(runtime: RuntimeParams) -> bool:
    """Whether models are computed elsewhere than on the CPU, which need not be on this machine."""
    return (precision.resolve_device("auto") if runtime.device == "auto" else runtime.device) != "cpu"


def _kept_by_attention(layers: Layers, bf16: bool, block: float) -> float:
    """Bytes a token of a pass in one layer; `block`: tokens of the longest block, 0 where rows are read whole."""
    if not block:
        return (2 if bf16 else 4) * 2 * (layers.hidden + layers.key_values)
    return 4 * ((BLOCK_QUERIES + 2 * BLOCK_KEYS) * layers.hidden + BLOCK_QUERIES * layers.heads * block)


def _kept_for_the_way_back(layers: Layers, bf16: bool, attention: float, checkpointing: bool) -> float:
    """Bytes a token of a pass."""
    width = 2 if bf16 else 4
    norms = 2 * (4 + 4) * layers.hidden
    inputs = 6 * width * layers.hidden if bf16 else 2 * width * layers.hidden  # rounded for each product apart
    layer = norms + inputs + attention + width * 4 * layers.inner
    logits = RESPONSE_SHARE * layers.vocabulary * (width + 3 * 4)
    return logits + (layers.count * 4 * layers.hidden + layer if checkpointing else layers.count * layer)


def _asking_bytes(stage: str, params: Params, student: Shape, layers: Layers) -> float:
    """Weights and batches of a stage that scores with a student or asks it."""
    warm_up, trained = (_saved_width(settings, student) for settings in (params.warm_up.training, params.training))
    if stage == "register_student":  # a version is loaded by MLflow and once more by us, and asked a question
        return 2 * student.parameters * _width(trained)
    widths = [_width(width) for width in ((student.stored_width, trained) if stage not in SCORING else (warm_up,))]
    head = layers.vocabulary * layers.hidden * 4
    weights = sum(student.parameters * width + (head if width < 4 else 0) for width in widths)
    workspace = params.runtime.scoring_workspace_mib * MIB if stage in SCORING else 0.0
    return weights + workspace + _batch_bytes(layers, params.runtime.token_budget, max(widths))


def _batch_bytes(layers: Layers, tokens: int, width: int) -> float:
    """Keys and values of every layer, and the states of one."""
    return tokens * width * (2 * layers.count * layers.key_values + 8 * layers.hidden + 4 * layers.inner)


def _saved_width(settings: FineTuningParams, student: Shape) -> int:
    """Bytes of a parameter in the files of what a training makes; an adapter is merged into its base in float32."""
    return student.stored_width if settings.method == "full" and settings.saved_dtype == "base" else 4


def _width(stored: int) -> int:
    """Bytes of a parameter as a student is computed (`student.loading.student_dtype`)."""
    return 2 if stored == 2 and precision.cpu_multiplies("bfloat16") else 4
