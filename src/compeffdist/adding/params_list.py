"""An entry added to a list of params.yaml, and nothing else in the file touched: comments, order and quotes stay.

A YAML library that writes the whole file anew keeps none of these. So the new lines are put behind the list's last one,
or in place of all it has, and the result is read again: unless it is what was wanted, nothing is written.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from compeffdist.errors import UserError
from compeffdist.files import atomic_file
from compeffdist.params import PARAMS_FILE, validate_params
from compeffdist.yaml12 import read_yaml


class _Dumper(yaml.SafeDumper):
    """With quotes also around what is text to PyYAML and a number to DVC, such as 1e5."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        try:
            plain = read_yaml(text, "")
        except UserError:
            plain = text  # PyYAML quotes it
        quoted = not isinstance(plain, str | dict | list)
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def with_entry(
    text: str, keys: Sequence[str], entry: Mapping[str, Any], origin: str = str(PARAMS_FILE), *, alone: bool = False
) -> str:
    """The text of a params file with an entry behind the last of the list at `keys`, or `alone` in it.

    Raises:
        UserError: the params are not valid with it, or the list is written in a way that cannot be added to (by an
            anchor, for one).
    """
    before = read_yaml(text, origin)
    found = _list_at(yaml.compose(text, Loader=yaml.SafeLoader), keys)
    made = "" if found is None else _alone(text, found, entry) if alone else _inserted(text, found, entry)
    wanted = _added(before, keys, entry, alone)
    validate_params(wanted, origin)
    try:
        same = bool(made) and read_yaml(made, origin) == wanted
    except UserError:
        same = False
    if not same:
        raise UserError(
            f"{origin}: {'.'.join(keys)} is not written as a list that can be added to; add this to it by hand"
            f"{', in place of what is there' if alone else ''}: "
            f"{json.dumps(dict(entry), ensure_ascii=False)}"
        )
    return made


def entry_lines(entry: Mapping[str, Any], indent: str = "", newline: str = "\n") -> str:
    """An entry of a list as YAML lines, each with its end."""
    written = yaml.dump([dict(entry)], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"{indent}{line}{newline}" for line in written.splitlines())


def read_text(path: Path = PARAMS_FILE) -> str:
    """A params file as it is written. Raises UserError if it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; write it with: compeffdist profile laptop") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8") from None


def write_text(text: str, path: Path = PARAMS_FILE) -> None:
    """Write a params file whole, line ends as they are."""
    target = path.resolve()  # what a link leads to
    with atomic_file(target) as temporary:
        temporary.write_bytes(text.encode("utf-8"))


def _list_at(node: Any, keys: Sequence[str]) -> yaml.SequenceNode | None:
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        node = next((value for name, value in pairs if name.value == key), None)
    return node if isinstance(node, yaml.SequenceNode) else None


def _added(value: Any, keys: Sequence[str], entry: Mapping[str, Any], alone: bool) -> Any:
    if not keys:
        return [*([] if alone else value), dict(entry)] if isinstance(value, list) else value
    if not isinstance(value, dict):
        return value
    return {key: _added(of, keys[1:], entry, alone) if key == keys[0] else of for key, of in value.items()}


def _alone(text: str, found: yaml.SequenceNode, entry: Mapping[str, Any]) -> str:
    """With the entry in place of all that the list has, and of the comments between them."""
    if found.flow_style:
        inside = json.dumps(dict(entry), ensure_ascii=False)
        return f"{text[: found.start_mark.index + 1]}{inside}{text[found.end_mark.index - 1 :]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    made = entry_lines(entry, " " * found.start_mark.column, newline)
    return "".join([*lines[: found.start_mark.line], made, *lines[_last_line(found) + 1 :]])


def _inserted(text: str, found: yaml.SequenceNode, entry: Mapping[str, Any]) -> str:
    if found.flow_style:
        end = found.end_mark.index - 1  # of the bracket
        inside = text[found.start_mark.index + 1 : end].rstrip()
        comma = ", " if found.value and not inside.endswith(",") else " " if found.value else ""
        at = found.start_mark.index + 1 + len(inside)
        return f"{text[:at]}{comma}{json.dumps(dict(entry), ensure_ascii=False)}{text[at:]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    place = _last_line(found) + 1
    if lines[place - 1] == lines[place - 1].rstrip("\r\n"):  # the file's last, without an end
        lines[place - 1] += newline
    made = entry_lines(entry, " " * found.start_mark.column, newline)
    return "".join([*lines[:place], made, *lines[place:]])


def _last_line(node: Any) -> int:
    """The line that a node's last value ends in, counted from 0: collections end where the next thing begins."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        end = node.end_mark
        return int(end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line)
    last = node.value[-1]
    return max(_last_line(part) for part in (last if isinstance(last, tuple) else (last,)))
