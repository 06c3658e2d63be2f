"""Opens the engine a run uses. Which there are, and how to add one: `engines.py` of the package."""

import importlib
from collections.abc import Callable
from pathlib import Path

from compeffdist.engines import ENGINES
from compeffdist.params import RuntimeParams, TeacherParams
from compeffdist.teacher.engine import Engine, TeacherIdentity

EngineOpener = Callable[[TeacherIdentity, TeacherParams, RuntimeParams, Path | None], Engine]
"""Called with the teacher's identity, both sections of params, and the folder of its weights, None behind an API."""


def open_engine(model: TeacherIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None) -> Engine:
    """The engine that `teacher.engine` names; `folder` holds the weights, None for a model behind an API.

    Raises:
        UserError: if the engine cannot run here or its server cannot be reached.
    """
    entry = ENGINES[teacher.engine]
    if folder is None and not entry.behind_api:
        raise ValueError(f"engine {teacher.engine} needs the folder of the teacher's weights")
    module, _, function = entry.opener.partition(":")
    opener: EngineOpener = getattr(importlib.import_module(module), function)
    return opener(model, teacher, runtime, folder)
