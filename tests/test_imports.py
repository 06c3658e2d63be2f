"""Lean imports: what is left out is loaded when it is used, and nothing of it stays behind."""

import gc
import subprocess
import sys

import pytest

from compeffdist.imports import lean_imports


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_module_stands_in_for_another_only_while_a_library_is_imported() -> None:
    kept = sys.modules.pop("colorsys", None)
    try:
        with lean_imports(deferred=("colorsys",)):
            import colorsys as later
            from colorsys import rgb_to_hsv
        assert "colorsys" not in sys.modules
        assert rgb_to_hsv(1, 1, 1) == (0.0, 0.0, 1)
        assert later.hsv_to_rgb(0.0, 0.0, 1) == (1, 1, 1)
        with pytest.raises(AttributeError):
            _ = later.no_such_thing
        assert sys.modules["colorsys"] is not later
    finally:
        if kept is not None:
            sys.modules["colorsys"] = kept


def test_an_absent_package_cannot_be_imported_meanwhile_and_can_afterwards() -> None:
    code = """
from compeffdist.imports import lean_imports
with lean_imports(absent=("fractions",)):
    try:
        import fractions
    except ImportError:
        print("absent")
import fractions
print(fractions.Fraction(1, 2))
"""
    assert run(code) == "absent\n1/2"


def test_modules_that_are_loaded_stay_as_they_are() -> None:
    import json

    with lean_imports(deferred=("json",), absent=("json",)):
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json


def test_a_block_that_fails_leaves_nothing_behind() -> None:
    with pytest.raises(RuntimeError), lean_imports(deferred=("wave",), absent=("aifc",)):
        raise RuntimeError
    assert "wave" not in sys.modules and "aifc" not in sys.modules


@pytest.mark.parametrize(
    ("library", "left_out"),
    [
        ("great_expectations", ("scipy.stats", "altair", "google", "sqlalchemy")),
        ("transformers_models", ("sklearn", "scipy.stats")),
        ("sentence_transformers", ("sklearn", "scipy.stats")),
    ],
)
def test_libraries_are_imported_without_what_no_stage_uses(library: str, left_out: tuple[str, ...]) -> None:
    code = f"""
import sys
from compeffdist import imports
imports.{library}()
print([name for name in {left_out!r} if name in sys.modules])
import sklearn.metrics, scipy.stats, sqlalchemy
print(scipy.stats.spearmanr([1, 2, 3], [1, 2, 4]).statistic > 0.99, sklearn.metrics.roc_curve.__module__)
"""
    assert run(code).splitlines() == ["[]", "True sklearn.metrics._ranking"]


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_collected_afterwards_if_it_was_before(collects: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if collects else gc.disable)()
        with pytest.raises(RuntimeError), lean_imports():
            raise RuntimeError
        assert gc.isenabled() is collects
    finally:
        (gc.enable if before else gc.disable)()


def test_great_expectations_can_still_read_files() -> None:
    code = """
from compeffdist.imports import great_expectations
great_expectations()
from great_expectations.datasource.fluent.pandas_filesystem_datasource import PandasFilesystemDatasource
print(PandasFilesystemDatasource.__name__)
"""
    assert run(code) == "PandasFilesystemDatasource"
