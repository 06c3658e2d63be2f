"""Every knob of the pipeline, typed. This is the only package that reads `params.yaml`.

`load_params` validates the whole file whatever stage asks, so that an unknown key, a wrong type or an impossible
value stops before anything runs, with one line naming the key. The docstring under each field is its reference.
"""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ValidationError, model_validator

from compeffdist.engines import BEHIND_API, ENGINES
from compeffdist.errors import UserError
from compeffdist.measures.registry import MEASURES
from compeffdist.params.evaluation import EvaluationParams, EvaluationTask, LabelPriorsParams
from compeffdist.params.gates import GatesParams
from compeffdist.params.models import ModelParams, ModelsParams, RuntimeParams, TeacherParams
from compeffdist.params.pipeline import (
    AttributesParams,
    ClustersParams,
    DemonstrationsParams,
    DifficultyParams,
    FineTuningParams,
    OwnTask,
    PairingParams,
    ProxyParams,
    ResponsesParams,
    SamplingParams,
    TasksParams,
    TextSource,
    TextsParams,
    WarmUpParams,
)
from compeffdist.params.registry import PromotionParams, RegistryParams, ServingParams, SigningParams
from compeffdist.params.sections import (
    FILE_KINDS,
    FILE_SUFFIXES,
    LOCAL_MODELS,
    PARAMS_FILE,
    QUESTION_FIELD,
    SOURCES,
    Line,
    Name,
    NonNegativeInt,
    Section,
    checked,
    dataset_folder,
    fault_of,
    file_name,
    in_sources,
    is_path,
    lies_in,
    read_section,
)
from compeffdist.params.spending import BudgetParams, Limits, Price, Prices, read_prices
from compeffdist.params.tuples import ABSENT, TuplePart
from compeffdist.yaml12 import read_yaml

__all__ = ["ABSENT", "FILE_KINDS", "FILE_SUFFIXES", "LOCAL_MODELS", "PARAMS_FILE", "QUESTION_FIELD", "SOURCES"]
__all__ += ["checked", "dataset_folder", "fault_of", "in_sources"]
__all__ += ["load_params", "read_section", "validate_params"]
__all__ += ["EvaluationTask", "Line", "Name", "OwnTask", "Section", "TextSource"]
__all__ += ["AttributesParams", "ClustersParams", "DemonstrationsParams", "DifficultyParams", "EvaluationParams"]
__all__ += ["FineTuningParams", "GatesParams", "LabelPriorsParams", "ModelParams", "PairingParams", "Params"]
__all__ += ["PromotionParams", "ProxyParams", "RegistryParams", "ResponsesParams", "RuntimeParams", "SamplingParams"]
__all__ += ["TasksParams", "TeacherParams", "TextsParams", "TuplePart"]
__all__ += ["ServingParams", "SigningParams"]
__all__ += ["BudgetParams", "Limits", "Price", "Prices", "read_prices"]


class Params(Section):
    """The whole of params.yaml."""

    profile: Line
    """The profile this file was composed from."""
    seed: NonNegativeInt
    """The one seed: every stage derives its own generator from it."""
    student_seed: NonNegativeInt | None = None
    """In its place for the sample and the training of the student, so that another student can be drawn from the same
    answers and scores: what chance does to one. null: `seed`."""
    domain: Annotated[str, AfterValidator(file_name)] = "sentiment"
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
    serving: ServingParams
    signing: SigningParams
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
        if self.sampling.confidence_floor and self.difficulty.mode == "proxy":
            raise ValueError(
                "sampling.confidence_floor needs the answers before the draw, and under difficulty.mode 'proxy' most "
                "are asked for after it: set it to 0"
            )
        is_api = any(reference.startswith("api:") for reference in self.models.teacher.reference)
        if is_api != (self.teacher.engine in BEHIND_API):
            fitting = " or ".join(name for name in ENGINES if (name in BEHIND_API) == is_api)
            raise ValueError(
                f"models.teacher.reference {'api:…' if is_api else 'to weights'} does not go with teacher.engine "
                f"{self.teacher.engine!r}: set that to {fitting}"
            )
        servers = len(self.runtime.addresses)
        if self.teacher.engine == "openai-batch" and servers > 1:
            raise ValueError(
                f"teacher.engine 'openai-batch' keeps its batches at one server, and runtime.openai_base_url names "
                f"{servers}: leave one, or set teacher.engine: openai"
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
            if not lies_in(location, SOURCES):
                raise ValueError(
                    f"{what}: {location} must lie in {SOURCES}/, where DVC sees it change: copy or link it there"
                )
        for source in (source for source in self.texts.sources if source.kind == "huggingface"):
            if is_path(source.location) and not dataset_folder(source.location):
                raise ValueError(
                    f"texts.sources {source.name!r}: {source.location} must lie in {SOURCES}/, where DVC sees it "
                    f"change: copy the folder there and name it {SOURCES}/FOLDER:SPLIT"
                )
        for role, model in self.models:
            for reference in model.reference:
                path, pinned, _ = reference.removeprefix("path:").partition("#sha256=")
                if reference.startswith("path:") and not pinned and not lies_in(path, LOCAL_MODELS):
                    raise ValueError(
                        f"models.{role}: {path} must lie in {LOCAL_MODELS}/, where DVC sees it change (copy it there, "
                        "or link its files: cp -rs), or be pinned by #sha256=…"
                    )
        return self


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate a params file, by the YAML that DVC reads and writes: there 2e-05 is a number, `no` a word.
    Raises UserError: one line naming the file and the key: missing file, broken YAML, unknown key, wrong type,
    bound."""
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
