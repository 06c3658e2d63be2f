"""The session's store; a checkout (an empty folder) and a registered model for each test."""

from collections.abc import Callable

import pytest

from compeffdist.params import Params, validate_params
from compeffdist.profiles import PROFILES, compose
from compeffdist.registry.tracking import open_tracking
from tests.registry.conftest import tracking
from tests.stages import ROOT

__all__ = ["tracking"]


@pytest.fixture
def params(request: pytest.FixtureRequest) -> Params:
    """The laptop's, with a registered model of the test's own and no recorded answers."""
    values = compose("laptop", ROOT / PROFILES)
    values["runtime"]["recorded"] = []
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    values["registry"] = {"model_name": name, "experiment": "tests"}
    return validate_params(values, "test")


@pytest.fixture
def aliases(params: Params) -> Callable[[], dict[str, int]]:
    """Reads the registered model's aliases."""

    def read() -> dict[str, int]:
        model = open_tracking().get_registered_model(params.registry.model_name)
        return {alias: int(version) for alias, version in model.aliases.items()}

    return read
