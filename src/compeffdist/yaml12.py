"""YAML as DVC reads it: version 1.2, where 2e-05 is a number, `no` a word, and a key stands once.

PyYAML's parser in C, with the types of 1.2 in place of its own, by which `no` is a truth value and 2e-05 a string. It
reads a `dvc.lock` of 76 kB in 17 ms, where the loader that DVC uses takes 190; there is a lock in every commit.
"""

import codecs
import re
from typing import Any

import yaml

from compeffdist.errors import UserError


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: dict[tuple[str, str], int] = {}
        for key in [pair[0] for pair in node.value] if isinstance(node, yaml.MappingNode) else []:
            if isinstance(key, yaml.ScalarNode):
                if first := seen.get((key.tag, key.value)):
                    problem = f'the key "{key.value}" stands in line {first} already: merge the two'
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen[key.tag, key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_int(self, node: Any) -> int:
        digits = self.construct_scalar(node).replace("_", "")
        return int(digits, 0 if re.search("[box]", digits) else 10)  # 012 is twelve


for _type, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0b[01][01_]*|0o[0-7][0-7_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|[0-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_type}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)


_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
MOST_VALUES = 1_000_000
"""Of a document, those that aliases repeat counted each time: eight lines of them can stand for millions."""


def read_yaml(text: str | bytes, origin: str) -> Any:
    """The value of a YAML document. Raises UserError naming `origin` and the line that is not YAML; aliases that stand
    in what they name, or for more than MOST_VALUES values."""
    try:
        _refuse_inner_mark(text if isinstance(text, bytes) else text.encode(errors="replace"))
        value = yaml.load(text, Loader=_Loader)
        if ("*" in text if isinstance(text, str) else b"*" in text) and _size(value, {}) > MOST_VALUES:
            raise ValueError(f"its aliases (*) stand for more than {MOST_VALUES} values")
        return value
    except yaml.MarkedYAMLError as error:
        problem = _tab_at(text, error) or error.problem
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{origin}: not valid YAML: {line}{problem}") from None
    except yaml.reader.ReaderError as error:
        raise UserError(f"{origin}: not valid YAML: {_unreadable(text, error)}") from None
    except (LookupError, AttributeError):  # what PyYAML makes of `!!bool x`, `!!float ''` and `!!timestamp x`
        raise UserError(f"{origin}: not valid YAML: a value is not of the type that its tag (!!) names") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a number of thousands of digits
        raise UserError(f"{origin}: not valid YAML: {error}") from None


def _tab_at(text: str | bytes, error: yaml.MarkedYAMLError) -> str:
    """What is wrong if it is a tab, which editors show as spaces and parsers tell in words of their own; else empty."""
    if (mark := error.problem_mark) is None:
        return ""
    lines = _LINE_END.split(text if isinstance(text, str) else text.decode("utf-8", "replace"))
    line, problem = lines[mark.line] if mark.line < len(lines) else "", str(error.problem)
    at_tab = "tab character" in problem or line[mark.column :].startswith("\t")
    # a key behind spaces and a tab is taken for a part of what stands above it
    nested = problem.startswith("mapping values are not allowed")
    if (at_tab or nested) and "\t" in line[: len(line) - len(line.lstrip(" \t"))]:
        return "it begins with a tab, where YAML takes spaces alone"
    return "it has a tab where YAML takes spaces alone" if at_tab else ""


def _unreadable(text: str | bytes, error: yaml.reader.ReaderError) -> str:
    """What is wrong with a character or byte that no YAML has, and in which line."""
    content = text if isinstance(text, bytes) else text.encode(errors="replace")
    try:
        decoded = content.decode()
    except UnicodeDecodeError as fault:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return f"{error.reason} (in UTF-16): save the file as UTF-8"
        line, before = content.count(b"\n", 0, fault.start) + 1, content.rfind(b"\n", 0, fault.start)
        place = f"line {line}: its byte {fault.start - before} (0x{content[fault.start]:02X})"
        return f"{place} is not UTF-8: save the file as UTF-8"
    odd = yaml.reader.Reader.NON_PRINTABLE.search(decoded)
    if odd is None:
        return str(error.reason)
    return f"line {decoded.count(chr(10), 0, odd.start()) + 1}: a control character (U+{ord(odd[0]):04X}): take it out"


def _refuse_inner_mark(text: bytes) -> None:
    """Raise ValueError if a byte order mark stands anywhere but at the beginning: nobody sees it, and readers of YAML
    do not agree on whether it is part of a key."""
    if (place := text.find(codecs.BOM_UTF8, 1)) > 0:
        line = text.count(b"\n", 0, place) + 1
        raise ValueError(f"line {line}: an invisible byte order mark (U+FEFF), which belongs at the beginning alone")


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values there are in one, by the ids of those counted. Raises ValueError if one is in itself."""
    if not isinstance(value, dict | list):
        return 1
    if (size := known.get(id(value))) == 0:
        raise ValueError("an alias (*) stands in what it names")
    if size is None:
        known[id(value)] = 0
        inside = value.values() if isinstance(value, dict) else value
        size = known[id(value)] = 1 + sum(_size(inner, known) for inner in inside)
    return size
