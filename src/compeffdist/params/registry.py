"""Registered versions: where they are kept, what one is served within, who signs them, what makes one champion."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator

from compeffdist.params.sections import Line, Name, NonNegativeInt, PositiveFloat, PositiveInt, Section


class RegistryParams(Section):
    """The MLflow registry. Where it lives is MLFLOW_TRACKING_URI, sqlite:///mlflow.db by default."""

    model_name: Name = "compeffdist-student"
    """Registered model that students become versions of."""
    experiment: Name = "compeffdist"
    """Of MLflow's, in which trainings and registrations are runs."""


class ServingParams(Section):
    """The most that is asked of a version at once. A version is registered with these and keeps to them wherever it is
    asked; the environment of a server or command may set others (COMPEFFDIST_SERVING_ROWS=100, and so on). What is
    beyond them is refused before any work; `compeffdist predict` sends a file in requests that fit, and takes the time
    that they take."""

    rows: PositiveInt = 1024
    """Of a request."""
    characters: PositiveInt = 8000
    """Of one text or prompt."""
    tokens: PositiveInt = 200_000
    """Of a request: those read, prompts with their instructions, once for each branching of the labels, and those that
    may be written in free answers."""
    seconds: PositiveFloat = 30.0
    """That a request may take, estimated by the speed that the version measured of this machine. MLflow's
    server gives up on one after 60 (MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT)."""
    body_bytes: PositiveInt = 4_000_000
    """Of the body of a request to a server."""
    waiting: NonNegativeInt = 32
    """Requests to a server that may wait for the one being answered; more are told to come back (503, Retry-After)."""
    wait_seconds: PositiveFloat = 60.0
    """That a request waits for its turn, at most; then it is told the same."""


class SigningParams(Section):
    """Signatures of registered versions, by OpenSSF model signing with keys of one's own (elliptic curve, PEM).
    Keys are named here, and lie outside git: a path, or `env:NAME`, a variable of the environment that holds the
    path."""

    private_key: Line | None = None
    """Signs each version when it is registered. null: none is signed."""
    public_key: Line | None = None
    """`compeffdist audit` and `promote` check signatures by it. null: they are not checked."""
    required: bool = False
    """Whether a version without a signature fails its audit, and so is not promoted. Needs `public_key`: without it
    any signature would do."""

    @field_validator("required")
    @classmethod
    def _by_a_key(cls, required: bool, others: ValidationInfo) -> bool:
        if required and others.data.get("public_key", "at fault itself") is None:
            raise ValueError("true needs a signing.public_key to check signatures by")
        return required


class PromotionParams(Section):
    """What a student must show to become champion. No stage reads these, so changing them re-runs nothing."""

    margin: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Macro-F1 a task may be worse than the champion's, at the lower end of the interval of the difference. The first
    champion has none before it and is judged as by gate `student`."""
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    """Of that interval, a paired bootstrap over the same evaluation rows."""
    resamples: PositiveInt = 2000
    """Of that bootstrap."""
