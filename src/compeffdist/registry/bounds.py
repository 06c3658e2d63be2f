"""What a version is asked within (`params.ServingParams`): kept with it, overridden by the environment, told apart."""

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from compeffdist.errors import UserError, one_line
from compeffdist.params import ServingParams, fault_of
from compeffdist.registry.artifacts import SERVING

VARIABLE = "COMPEFFDIST_SERVING_"
"""How the environment's variables begin, one a bound: COMPEFFDIST_SERVING_ROWS."""
TOO_LARGE = "too_large"
"""The `reason` of a refusal that smaller requests with the same rows would not meet."""


class TooLarge(ValueError):
    """A request as a whole is out of bounds: its rows may be asked in smaller ones."""


def to_file(bounds: ServingParams) -> dict[str, Any]:
    """What a version carries of them, by name."""
    return {SERVING: bounds.model_dump()}


def read_bounds(files: Mapping[str, str | Path]) -> ServingParams:
    """What `to_file` gave, from the artifacts of a version (name -> path), under what the environment says. A version
    without has the defaults. Raises UserError naming the variable that is no bound."""
    kept = json.loads(Path(files[SERVING]).read_text(encoding="utf-8")) if SERVING in files else {}
    for name, said in os.environ.items():
        if name.startswith(VARIABLE):
            kept |= {_bound(name): _number(name, said)}
    try:
        return ServingParams.model_validate(kept)
    except ValidationError as error:
        raise UserError(f"what requests are bounded by ({VARIABLE}…): {one_line(fault_of(error), 200)}") from None


def without_effort(bounds: ServingParams) -> ServingParams:
    """The same, but that a row may be of any length and a request any work: for a version that is asked whether it
    answers at all."""
    return without_time(bounds).model_copy(update={"characters": sys.maxsize, "tokens": sys.maxsize})


def without_time(bounds: ServingParams) -> ServingParams:
    """The same, but that a request may take any time: for who asks in a process of their own, where nobody waits, and
    what is answered must not hang on how busy the machine is."""
    return bounds.model_copy(update={"seconds": math.inf})


def _bound(variable: str) -> str:
    name = variable.removeprefix(VARIABLE).lower()
    if name not in ServingParams.model_fields:
        known = ", ".join(VARIABLE + key.upper() for key in ServingParams.model_fields)
        raise UserError(f"{variable}: there is no such bound; there are {known}")
    return name


def _number(variable: str, said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError:
        raise UserError(f"{variable}: expected a number, got {one_line(said, 40)!r}") from None
