"""JSON schemas of what the teacher is to answer: every property required, none beside them, everything bounded."""

from collections.abc import Mapping
from typing import Any


def object_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object with these properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def string_of(shortest: int, longest: int) -> dict[str, Any]:
    """A string of so many characters."""
    return {"type": "string", "minLength": shortest, "maxLength": longest}


def array_of(items: Mapping[str, Any], least: int, most: int) -> dict[str, Any]:
    """A list of so many items."""
    return {"type": "array", "items": dict(items), "minItems": least, "maxItems": most}


FIELD_KINDS: Mapping[str, dict[str, Any]] = {
    "string": {"type": "string", "maxLength": 60},
    "list": array_of({"type": "string", "maxLength": 40}, 0, 3),
    "boolean": {"type": "boolean"},
}
"""What a field of a structured answer may hold."""
