"""Every knob of the pipeline, typed. This is the only module that reads `params.yaml`.

`load_params` validates the whole file whatever stage asks, so that an unknown key, a wrong type or an impossible
value stops before anything runs, with one line naming the key. The docstring under each field is its reference.
"""

from compeffdist.params.difficulty import DifficultyParams, ProxyParams, SamplingParams
from compeffdist.params.evaluation import EvaluationParams, EvaluationTask, LabelPriorsParams
from compeffdist.params.gates import GatesParams
from compeffdist.params.instructions import (
    AttributesParams,
    ClustersParams,
    DemonstrationsParams,
    OwnTask,
    PairingParams,
    ResponsesParams,
    TasksParams,
)
from compeffdist.params.models import ModelParams, RuntimeParams, TeacherParams
from compeffdist.params.sections import (
    FILE_SUFFIXES,
    LOCAL_MODELS,
    PARAMS_FILE,
    QUESTION_FIELD,
    SOURCES,
    Line,
    Name,
    Section,
    checked,
    dataset_folder,
    fault_of,
    in_sources,
    written_label,
)
from compeffdist.params.student import FineTuningParams
from compeffdist.params.texts import TextSource, TextsParams
from compeffdist.params.whole import Params, PromotionParams, RegistryParams, load_params, stage_seed, validate_params

__all__ = [
    "FILE_SUFFIXES",
    "LOCAL_MODELS",
    "PARAMS_FILE",
    "QUESTION_FIELD",
    "SOURCES",
    "AttributesParams",
    "ClustersParams",
    "DemonstrationsParams",
    "DifficultyParams",
    "EvaluationParams",
    "EvaluationTask",
    "FineTuningParams",
    "GatesParams",
    "LabelPriorsParams",
    "Line",
    "ModelParams",
    "Name",
    "OwnTask",
    "PairingParams",
    "Params",
    "PromotionParams",
    "ProxyParams",
    "RegistryParams",
    "ResponsesParams",
    "RuntimeParams",
    "SamplingParams",
    "Section",
    "TasksParams",
    "TeacherParams",
    "TextSource",
    "TextsParams",
    "checked",
    "dataset_folder",
    "fault_of",
    "in_sources",
    "load_params",
    "stage_seed",
    "validate_params",
    "written_label",
]
