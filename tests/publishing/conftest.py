"""The finished miniature run of lineage's tests, to be exported."""

from tests.lineage.conftest import empty_registry, own_world, shared, world

__all__ = ["empty_registry", "own_world", "shared", "world"]
