"""The base student, as stages come by its weights."""

from pathlib import Path

from compeffdist.artefacts import BASE
from compeffdist.given import Given
from compeffdist.models import ModelIdentity, cache_folder, model_folder, read_identity
from compeffdist.teacher.asking import release_engine


def base_student(given: Given) -> tuple[ModelIdentity, Path]:
    """Identity and folder of the base student, for a stage that is about to load it or one trained from it.

    Lets the teacher's engine go, whichever stages ran before: scoring and training need its memory. Raises UserError:
    the identity is missing or broken, or the weights are not in the cache.
    """
    release_engine()
    identity = read_identity(given.path(BASE))
    return identity, model_folder(identity, cache_folder(given.params.runtime.cache))
