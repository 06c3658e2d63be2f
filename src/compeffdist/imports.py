"""Importing a library without what it imports and no stage uses.

Great Expectations imports `scipy.stats` and `altair` for one of its sixty expectations, what speaks to databases and
clouds where that is installed, and makes a class of every kind of file that pandas and Spark read; transformers and
sentence-transformers import `sklearn.metrics`, which brings `scipy.stats` and pandas, for assisted generation and for
scores of tasks that are not ours, and PyTorch's compiler to mark functions for it; MLflow what its server is made of;
pyarrow pandas, with the first list that it makes an array of.
In a pipeline of processes that work for seconds, imports are most of what they cost.
Seconds of CPU and memory, on two shared cores:

| library                        | as it is      | here          |
|--------------------------------|---------------|---------------|
| great_expectations             | 2.8, 261 MiB  | 1.2, 152 MiB  |
| transformers, a model class    | 5.3, 541 MiB  | 2.6, 262 MiB  |
| mlflow, with a database        | 2.1, 238 MiB  | 1.6, 209 MiB  |
| sentence_transformers          | 5.4, 586 MiB  | 4.7, 543 MiB  |
| pyarrow, an array              | 1.4, 118 MiB  | 0.1, 61 MiB   |

What stands in a module's place meanwhile answers any name with something that loads the real module when it is called,
and so has every name, right or wrong; of the compiler it answers but the names of MARKS. Whatever else is asked of the
compiler, or is imported from within a deferred package, loads the real modules there and then.
"""

import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from inspect import isroutine
from types import ModuleType
from typing import Any

METRICS = ("sklearn.metrics", "scipy.stats", "scipy.optimize")
"""Modules out of which transformers takes functions by name that it calls in training of other kinds than ours."""
COMPILER = "torch._dynamo"
"""PyTorch's compiler, which brings sympy and triton: transformers marks functions for it, and nothing here compiles."""
MARKS = ("allow_in_graph", "assume_constant_result", "disable")
"""Its decorators that PyTorch and transformers mark functions with while they are imported."""
MANY_MACHINES = (
    *("torch.distributed.fsdp", "torch.distributed._composable.fsdp"),
    *("transformers.distributed.tensor_parallel", "transformers.distributed.sharding_utils"),
)
"""Weights spread over several devices."""
SPREAD = "torch.distributed.tensor"
"""What such weights are made of."""
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
        self.__path__: list[str] = []  # of a package: what is in it is looked for by _Within
        self.importing = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} is deferred and has no attribute {name!r}")
        if not self.importing or (self.__name__ == COMPILER and name not in MARKS):
            return getattr(_loaded(self.__name__), name)
        # while a library is imported, `from module import name` asks for what will be called later, if at all
        return (_Mark if self.__name__ == COMPILER else _Later)(self.__name__, name)


def _loaded(name: str) -> ModuleType:
    """The real module. What stands for others goes as well: it may take things out of those and look at them."""
    for other, module in list(sys.modules.items()):
        if isinstance(module, Deferred):
            del sys.modules[other]
    return importlib.import_module(name)


class _Within:
    """Finds modules within deferred packages, which it loads first."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        """As `importlib.abc.MetaPathFinder`."""
        package = name.rpartition(".")[0]
        if not isinstance(sys.modules.get(package), Deferred):
            return None
        places = getattr(_loaded(package), "__path__", None)
        if name in sys.modules:  # the package imports it: once is enough
            return ModuleSpec(name, _There(sys.modules[name]))
        return PathFinder.find_spec(name, places) if places is not None else None


class _There(Loader):
    """Loads a module that is loaded."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """It."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """It ran already: only what the import system wrote into it is put back."""
        module.__spec__ = self._spec


class _Later:
    """A function or class of a deferred module, taken out of it by name."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self.__name__ = self.__qualname__ = name

    def _real(self) -> Any:
        return getattr(_loaded(self._module), self.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)


class _Mark(_Later):
    """A decorator of the compiler's: what it marks means nothing until the compiler is loaded, and all of it then."""

    def __call__(self, function: Any = None, *args: Any, **kwargs: Any) -> Any:
        if function is None:  # @disable(recursive=False)
            return lambda marked: self(marked, *args, **kwargs)
        if not isroutine(function):  # a class, or several
            return self._real()(function, *args, **kwargs)

        @cache
        def marked() -> Any:
            return self._real()(function, *args, **kwargs)

        @wraps(function)
        def call(*given: Any, **named: Any) -> Any:
            compiles = COMPILER in sys.modules and not isinstance(sys.modules[COMPILER], Deferred)
            return (marked() if compiles else function)(*given, **named)

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
    within: Any = _Within()
    sys.meta_path.insert(0, within)
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        sys.meta_path.remove(within)
        for name, module in standing.items():
            if modules.get(name) is module:
                modules.pop(name, None)
            if isinstance(module, Deferred):
                module.importing = False


def great_expectations() -> ModuleType:
    """The library, for tables in memory: what it says to databases and clouds is left out."""
    with lean_imports(deferred=("scipy.stats", "altair", *FILE_SOURCES), absent=("google", "sqlalchemy")):
        return importlib.import_module("great_expectations")


def mlflow(in_database: bool = False) -> ModuleType:
    """The library MLflow without what its server is made of; with what asks a store that is `in_database`."""
    with lean_imports(deferred=("fastapi",), absent=("polars",)):
        library = importlib.import_module("mlflow")
        for of in ("tracking", "model_registry") if in_database else ():
            importlib.import_module(f"mlflow.store.{of}.sqlalchemy_store")
        return library


def transformers_models() -> ModuleType:
    """The library transformers, with its classes of models loaded, which is what takes the time."""
    with lean_imports(deferred=(*METRICS, COMPILER, f"{COMPILER}._trace_wrapped_higher_order_op", *MANY_MACHINES)):
        library = importlib.import_module("transformers")
        _ask_for_no_spread_weights()
        assert library.AutoModelForCausalLM
        _load_without_compiler(library.PreTrainedModel)
        return library


def _ask_for_no_spread_weights() -> None:
    """Let transformers not load what spread weights are made of to see that a parameter is none of them."""
    places: Any = importlib.import_module("transformers.distributed.utils")
    is_spread = places.is_dtensor
    if not hasattr(is_spread, "__wrapped__"):
        places.is_dtensor = wraps(is_spread)(lambda parameter: SPREAD in sys.modules and is_spread(parameter))


def _load_without_compiler(models: Any) -> None:
    """Let a model be made without the compiler, which PyTorch loads to switch it off where tensors have no data yet."""
    load = models.from_pretrained.__func__
    if not hasattr(load, "__wrapped__"):

        @wraps(load)
        def lean(*args: Any, **kwargs: Any) -> Any:
            with lean_imports(deferred=(COMPILER,)):
                return load(*args, **kwargs)

        models.from_pretrained = classmethod(lean)


def sentence_transformers() -> ModuleType:
    """The library sentence-transformers."""
    with lean_imports(deferred=METRICS):
        return importlib.import_module("sentence_transformers")


def spare_pandas() -> None:
    """Let pyarrow, when it is imported, do without pandas until somebody imports that. Called as a process begins.

    pyarrow imports pandas to see whether a list is one of its series; before pandas is loaded, there are none.
    """
    if not any(isinstance(finder, _Frames) for finder in sys.meta_path):
        finder: Any = _Frames()
        sys.meta_path.insert(0, finder)


class _Frames:
    """Finds pyarrow, which is loaded as if there were no pandas, and pandas, of which pyarrow is told then."""

    def __init__(self) -> None:
        self._spared = False

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        """As `importlib.abc.MetaPathFinder`."""
        then = {"pyarrow": self._look_for_no_pandas, "pandas": self._look_for_pandas}.get(name)
        spec = PathFinder.find_spec(name) if then else None
        if then and spec and spec.loader:
            spec.loader = _Followed(spec.loader, then)
        return spec

    def _look_for_no_pandas(self, pyarrow: ModuleType) -> None:
        """Let pyarrow look for pandas, which it does once of itself, and find none."""
        if "pandas" in sys.modules:
            return
        meta_path: list[Any] = sys.meta_path
        absent = _NoPandas()
        meta_path.insert(0, absent)
        try:
            pyarrow.array([])
        finally:
            meta_path.remove(absent)
        self._spared = True

    def _look_for_pandas(self, pandas: ModuleType) -> None:
        """Let pyarrow look again. One that has not looked yet may be at it, and must not be asked."""
        if self._spared:
            assert sys.modules["pyarrow.lib"]._pandas_api.pd is pandas


class _Followed(Loader):
    """Loads a module as its loader does, and does something then."""

    def __init__(self, loader: Loader, then: Callable[[ModuleType], None]) -> None:
        self._loader, self._then = loader, then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the loader, which is the module's from then on."""
        module.__loader__ = self._loader
        if module.__spec__:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._then(module)


class _NoPandas:
    """Finds no pandas, though there is one."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """As `importlib.abc.MetaPathFinder`. Raises ModuleNotFoundError for pandas."""
        if name == "pandas":
            raise ModuleNotFoundError("not now", name=name)
