"""JSON artefacts that gates judge by: what must be in them for anything to be judged, as a class each."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from compeffdist.artefact_kinds import Artefact
from compeffdist.errors import UserError, one_line
from compeffdist.params.sections import fault_of


class Figures(BaseModel):
    """Keys that are needed, of types that are not coerced; there may be others."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)


def expect_figures(artefact: Artefact[Any], value: Any, needed: type[Figures], judge: str) -> Any:
    """`value`, if it has the figures that are needed. Raises UserError naming the file and the first key that has not
    what it should."""
    try:
        needed.model_validate(value)
    except ValidationError as error:
        fault = one_line(fault_of(error), 160)
        raise UserError(
            f"{artefact}: lacks figures that {judge} judges: {fault}; run the stage that writes it again"
        ) from None
    return value
