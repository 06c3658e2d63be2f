"""What an audit finds wrong with a model version."""

from compeffdist.registry.artifacts import verify_version
from compeffdist.registry.tracking import open_tracking


def version_problems(model_name: str, version: int) -> list[str]:
    """One line each; empty if the version is sound. Raises UserError if there is no such version."""
    return verify_version(open_tracking(), model_name, version)
