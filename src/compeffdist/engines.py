"""The teacher engines there are, by the word of `teacher.engine`. To add one: a module in `teacher/`, and a line here.

Names in place of classes and functions, so that params can know the words without loading an engine's libraries.
"""

from collections.abc import Mapping

ENGINES: Mapping[str, str] = {
    "vllm": "compeffdist.teacher.vllm_replicas:open_vllm",
    "openai": "compeffdist.teacher.replicated_engine:open_servers",
    "openai-batch": "compeffdist.teacher.batch_engine:BatchEngine",
    "transformers": "compeffdist.teacher.transformers_engine:TransformersEngine",
}
"""`module:name` of the `EngineOpener` of each (`teacher/engine.py`)."""
BEHIND_API = {"openai", "openai-batch"}
"""Those that ask a model behind a server's API (`models.teacher.reference: api:…`), not weights of ours."""
