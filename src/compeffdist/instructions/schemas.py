"""JSON schemas of what the teacher is to answer: every property required, none beside them, everything bounded."""

from collections.abc import Mapping, Sequence
from typing import Any

from compeffdist.params import TuplePart

MOST_TUPLES = 12
MOST_CHARACTERS = 100
"""Of a part copied from the text. A bound, so that a model that finds no end writes something that can be read."""


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


def tuples_of(parts: Sequence[TuplePart]) -> dict[str, Any]:
    """A list of objects with these parts, in their order. Each says of itself what the prompt says of it."""
    properties = {
        part.name: {
            "description": part.described,
            **({"enum": part.values} if part.values else {"type": "string", "maxLength": MOST_CHARACTERS}),
        }
        for part in parts
    }
    return array_of(object_of(properties), 0, MOST_TUPLES)


def tuple_parts(schema: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The parts of a schema that `tuples_of` made, by name, in their order; none of any other."""
    items = schema.get("items", {})
    return {name: items["properties"][name] for name in items.get("required", ())}
