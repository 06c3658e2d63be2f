"""What people call a model, or a place that data comes from: no credentials, no folders of this machine."""

import re
from pathlib import PurePosixPath

from compeffdist.credentials import without_credentials
from compeffdist.errors import UserError
from compeffdist.models.identity import ModelIdentity
from compeffdist.models.references import parse_reference

OUTSIDE = r"(?:[~/]|(?:[^\s/:'\"]*/)*\.\./)"
"""How a path begins, or goes on, that leads out of the project."""
_OWN_FOLDERS = re.compile(rf"^(path:)?{OUTSIDE}(?:.*/)?(?=[^/])", re.DOTALL)


def public(reference: str) -> str:
    """A reference or location without credentials, and without the folders of this machine that it may name."""
    return _OWN_FOLDERS.sub(r"\1", without_credentials(reference))


def short_name(identity: ModelIdentity) -> str:
    """What people call a model: the file, repository or package of its reference, or the name it is served by."""
    if identity.served_name:
        return public(identity.reference).removeprefix("api:")
    try:
        reference = parse_reference(identity.reference)
    except UserError:
        return public(identity.reference)
    member = reference.member.rstrip("/*")
    told = member if member.endswith(".gguf") and "*" not in member else reference.location
    return PurePosixPath(told).name if reference.scheme != "hf" else reference.location
