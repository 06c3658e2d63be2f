"""The teacher engines there are, by the word of `teacher.engine`. To add one: a module in `teacher/`, and a line here.

Names of functions in place of functions, so that params can know the words without loading an engine's libraries.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class EngineEntry:
    """Where an engine is opened, and what it asks."""

    opener: str
    """`module:function` of an `EngineOpener` (`teacher/engines.py`)."""
    behind_api: bool = False
    """Whether it asks a model behind a server's API (`models.teacher.reference: api:…`), not weights of ours."""


ENGINES: Mapping[str, EngineEntry] = {
    "vllm": EngineEntry("compeffdist.teacher.vllm_engine:open_vllm"),
    "openai": EngineEntry("compeffdist.teacher.openai_engine:open_openai", behind_api=True),
    "transformers": EngineEntry("compeffdist.teacher.transformers_engine:open_transformers"),
}


def engines_for(*, behind_api: bool) -> str:
    """Those that ask such a model, as a message lists them."""
    return " or ".join(name for name, entry in ENGINES.items() if entry.behind_api == behind_api)
