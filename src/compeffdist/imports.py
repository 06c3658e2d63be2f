"""Importing a library without what it imports and no stage uses.

Great Expectations imports `scipy.stats` and `altair` for one of its sixty expectations, what speaks to databases and
clouds where that is installed, and makes a class of every kind of file that pandas and Spark read; transformers and
sentence-transformers import `sklearn.metrics`, which brings `scipy.stats` and pandas, for assisted generation and for
scores of tasks that are not ours. In a pipeline of processes that work for seconds, imports are most of what they cost.
Seconds of CPU and memory, on two shared cores:

| library                        | as it is      | here          |
|--------------------------------|---------------|---------------|
| great_expectations             | 2.8, 261 MiB  | 1.2, 152 MiB  |
| transformers, a model class    | 4.5, 539 MiB  | 3.3, 402 MiB  |
| sentence_transformers          | 5.4, 586 MiB  | 4.7, 543 MiB  |

What stands in a module's place meanwhile is no stub: the first use of anything in it loads the real module and goes on
with that.
"""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

METRICS = ("sklearn.metrics", "scipy.stats")
"""Modules out of which transformers takes functions by name that it calls in training of other kinds than ours."""
FILE_SOURCES = tuple(
    f"great_expectations.datasource.fluent.{library}_{place}_datasource"
    for library in ("pandas", "spark")
    for place in ("azure_blob_storage", "dbfs", "file_path", "filesystem", "google_cloud_storage", "s3")
)
"""What Great Expectations reads files with, a third of its import: it is given tables in memory."""


class Deferred(ModuleType):
    """Stands for a module that is loaded when something in it is used."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.importing = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} is deferred and has no attribute {name!r}")
        if not self.importing:
            return getattr(importlib.import_module(self.__name__), name)

        # while a library is imported, `from module import name` asks for what will be called later, if at all
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(importlib.import_module(self.__name__), name)(*args, **kwargs)

        call.__name__ = call.__qualname__ = name
        return call


@contextmanager
def lean_imports(deferred: tuple[str, ...] = (), absent: tuple[str, ...] = ()) -> Iterator[None]:
    """Import libraries in this block without some of what they import; modules loaded already stay as they are.

    Garbage is not looked for meanwhile: an import makes objects by the hundred thousand and keeps them.

    Args:
        deferred: modules to be loaded at their first use. What is taken out of one by name is called, not looked at.
        absent: packages that the library can do without, and does as if they were not installed.
    """
    standing: dict[str, ModuleType | None] = {name: Deferred(name) for name in deferred if name not in sys.modules}
    standing |= dict.fromkeys(name for name in absent if name not in sys.modules)
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment]  # None is how Python says "absent"
    modules.update(standing)
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        for name, module in standing.items():
            if modules.get(name) is module:
                modules.pop(name, None)
            if isinstance(module, Deferred):
                module.importing = False


def great_expectations() -> ModuleType:
    """The library, for tables in memory: what it says to databases and clouds is left out."""
    with lean_imports(deferred=("scipy.stats", "altair", *FILE_SOURCES), absent=("google", "sqlalchemy")):
        return importlib.import_module("great_expectations")


def transformers_models() -> ModuleType:
    """The library transformers, with its classes of models loaded, which is what takes the time."""
    with lean_imports(deferred=METRICS):
        library = importlib.import_module("transformers")
        assert library.AutoModelForCausalLM
        return library


def sentence_transformers() -> ModuleType:
    """The library sentence-transformers."""
    with lean_imports(deferred=METRICS):
        return importlib.import_module("sentence_transformers")
