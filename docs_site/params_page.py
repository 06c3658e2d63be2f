"""The reference of params.yaml, from the fields of `compeffdist.params`: type, default, the docstring below each."""

import re
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo

from compeffdist.params import Params, Prices, Section

START = """# Params

Every key of `params.yaml` by its full name. A typo, a wrong type or a value out of its bounds stops with one line that
names the key, before anything runs. *Default* is what a key has where `params.yaml` leaves it out; the
[profiles](../profiles.md) say many of them otherwise, and `compeffdist profile NAME` writes all of them down. `[]` is
each entry of a list.
"""
PRICES = "The file of prices"
HEAD = "| key | type | default | |\n|---|---|---|---|"
BOUNDS = ((Ge, "ge", "at least"), (Gt, "gt", "above"), (Le, "le", "at most"), (Lt, "lt", "below"))
WORDS = {str: "text", int: "whole number", float: "number", bool: "truth value"}


def page() -> str:
    """The whole page, in Markdown."""
    homes = _homes()
    own = [_row(name, field, homes) for name, field in Params.model_fields.items() if not section_of(field)]
    parts = [START, "\n".join([HEAD, *own])]
    for name, field in Params.model_fields.items():
        if section := section_of(field):
            parts += [f"## {name}", _section(section, name, homes)]
    parts += [
        f"## {PRICES}",
        "What `runtime.prices` names ([an example](../spending.md#prices)).",
        _section(Prices, "", homes),
    ]
    return "\n\n".join(parts) + "\n"


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a field is, or that its list or mapping is of."""
    kinds = [field.annotation, *get_args(field.annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def fields_below(kind: type[Section], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every field of a section and of those in it, by its full name."""
    for name, field in kind.model_fields.items():
        whole = f"{prefix}.{name}" if prefix else name
        yield whole, field
        if section := section_of(field):
            yield from fields_below(section, f"{whole}{_many(field)}")


def _homes() -> dict[type[Section], str]:
    """Where the fields of a section that stands at several places are told: at the shortest of its names."""
    places = [(name, section_of(field)) for name, field in fields_below(Params)]
    places.sort(key=lambda place: place[0].count("."))
    return {section: name for name, section in reversed(places) if section}


def _section(kind: type[Section], prefix: str, homes: dict[type[Section], str]) -> str:
    inner: list[tuple[str, type[Section]]] = []
    rows = []
    for name, field in kind.model_fields.items():
        whole, section = f"{prefix}.{name}" if prefix else name, section_of(field)
        rows.append(_row(whole, field, homes))
        if section and homes.get(section, whole) == whole:
            inner.append((f"{whole}{_many(field)}", section))
    told = [cell(kind.__doc__ or ""), "\n".join([HEAD, *rows])]
    told += [f"**`{name}`** {_section(section, name, homes)}" for name, section in inner]
    return "\n\n".join(told)


def _row(name: str, field: FieldInfo, homes: dict[type[Section], str]) -> str:
    section = section_of(field)
    told = cell(field.description or (section and section.__doc__) or "")
    if section and homes.get(section, name) != name:
        told += f" Its keys are those of `{homes[section]}`."
    return f"| `{name}` | {type_of(field)} | {_default(field)} | {told.strip()} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Section):
        return ""
    if value is None or isinstance(value, bool):
        return f"`{'null' if value is None else str(value).lower()}`"
    return f"`{value}`" if value != "" else "`''`"


def cell(docstring: str) -> str:
    """A docstring on one line, with no `|` to part cells; a page of docs/ that it names as a link."""
    text = re.sub(r"\s+", " ", docstring).strip().replace("|", "\\|")
    return re.sub(r"docs/([\w/-]+\.md(?:#[\w-]+)?)", r"[\1](../\1)", text)


def type_of(field: FieldInfo) -> str:
    """A field's type in words, with its bounds."""
    return ", ".join([_words(field.annotation), *_bounds(field.metadata)])


def _bounds(metadata: list[Any]) -> list[str]:
    words = [
        f"{told} {getattr(item, name):g}" for item in metadata for kind, name, told in BOUNDS if isinstance(item, kind)
    ]
    return words + [f"{item.min_length} or more" for item in metadata if isinstance(item, MinLen)]


def _words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        metadata = [part for item in inner[1:] for part in (item.metadata if isinstance(item, FieldInfo) else [item])]
        return " ".join([_words(inner[0]), *_bounds(metadata)])
    if origin is Literal:
        return " or ".join(f"`{word}`" for word in inner)
    if origin in (Union, UnionType):
        return " or ".join("null" if kind is type(None) else _words(kind) for kind in inner)
    if origin is list:
        return f"list of {_words(inner[0])}"
    if origin is dict:
        return f"{_words(inner[0])} → {_words(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    return WORDS[annotation]


def _many(field: FieldInfo) -> str:
    return "[]" if get_origin(field.annotation) in (list, dict) else ""
