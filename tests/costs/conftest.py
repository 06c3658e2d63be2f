"""The run of the asking stages that tests of exchange have."""

from tests.exchange.conftest import no_hub, package_index, ran, shared

__all__ = ["no_hub", "package_index", "ran", "shared"]
