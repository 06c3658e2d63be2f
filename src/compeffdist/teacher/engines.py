"""Which engine a run uses. To add one: a module with a class that fits `Engine`, and a line in `open_engine`."""

from collections.abc import Callable
from pathlib import Path

from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.engine import Engine, ModelCard

EngineOpener = Callable[[ModelCard, TeacherParams, RuntimeParams, Path | None], Engine]


def open_engine(model: ModelCard, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None) -> Engine:
    """The engine that `teacher.engine` names; `folder` holds the weights, None for a model behind an API.

    Raises:
        UserError: if the engine cannot run here or its server cannot be reached.
    """
    if teacher.engine == "openai":
        from compeffdist.teacher.openai_engine import OpenAIEngine

        return OpenAIEngine(model.served_name.rpartition("@")[0], runtime)
    if folder is None:
        raise ValueError(f"engine {teacher.engine} needs the folder of the teacher's weights")
    if teacher.engine == "vllm":
        from compeffdist.teacher.vllm_engine import VllmEngine

        return VllmEngine(folder, model.dtype, teacher, runtime)
    from compeffdist.teacher.transformers_engine import TransformersEngine

    return TransformersEngine(folder, model.dtype, teacher, runtime)
