"""A param's value as DVC's `--set-param` takes it: in the grammar of Hydra's overrides, which is not JSON's."""

from typing import Any


def hydra_value(value: Any) -> str:
    """Text that Hydra reads as the value.

    Raises:
        ValueError: a mapping, of which keys are set one by one, or text with control characters, which Hydra has no
            way to write.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(hydra_value, value))}]"
    if isinstance(value, str):
        if not value.isprintable():
            raise ValueError("must be text on one line, without control characters")
        # a backslash stands for itself but before a quote, where each is doubled
        parts = value.split('"')
        quoted = '\\"'.join(_doubled_at_the_end(part) for part in parts)
        return f'"{quoted}"'
    raise ValueError("must be a number, text, a truth value, nothing or a list: set the keys of a section one by one")


def _doubled_at_the_end(part: str) -> str:
    bare = part.rstrip("\\")
    return bare + "\\" * 2 * (len(part) - len(bare))
