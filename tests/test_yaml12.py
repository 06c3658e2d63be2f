"""YAML is read as DVC reads it, and what is none is one line."""

import pytest
from ruamel.yaml import YAML

from compeffdist.errors import UserError
from compeffdist.yaml12 import read_yaml

VALUES = [
    *("2e-05", "2.0e-05", "1e3", "1.", ".5", "-1.5", "1_0.5", ".inf", "-.INF", ".nan"),
    *("12", "+12", "012", "08", "100_000", "0x1f", "-0o17", "0b11", "0b12", "1:30", "_1", "."),
    *("no", "on", "true", "FALSE", "~", "null", "", "1.2.3", "Yes"),
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_has_the_type_it_has_to_dvc(value: str) -> None:
    text = f"a: {value}"
    assert repr(read_yaml(text, "x.yaml")) == repr(YAML(typ="safe", pure=True).load(text))


def test_mappings_are_merged_as_dvc_merges_them() -> None:
    text = "base: &base {a: 1, b: 2}\nown: {<<: *base, b: 3}"
    assert read_yaml(text, "x.yaml") == YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\n\tb: 2", "line 2: it begins with a tab, where YAML takes spaces alone"),
        (b"a:\n\tb: 2", "line 2: it begins with a tab, where YAML takes spaces alone"),
        (b"a: 1\n  \tb: 2", "line 2: it begins with a tab, where YAML takes spaces alone"),
        (b"- a\n-\tb", "line 2: it has a tab where YAML takes spaces alone"),
        ("a:\tb: c", "line 1: mapping values are not allowed"),
        ("a: 1\nb: 2\na: 3", 'line 3: the key "a" stands in line 1 already: merge the two'),
        ("a: {b: 1, b: 1}", 'line 1: the key "b" stands in line 1 already: merge the two'),
        ("a: !!python/object/new:os.system [x]", "line 1: could not determine a constructor"),
        (b"a: \xff", "line 1: its byte 4 (0xFF) is not UTF-8: save the file as UTF-8"),
        ("a: é\nb: café".encode("latin-1"), "line 1: its byte 4 (0xE9) is not UTF-8: save the file as UTF-8"),
        ("a: é\n".encode() + b"# caf\xe9\nb: 1", "line 2: its byte 6 (0xE9) is not UTF-8: save the file as UTF-8"),
        (b"\xff\xfea\x00:", "(in UTF-16): save the file as UTF-8"),
        (b"a: 1\nb: x\x01y", "line 2: a control character (U+0001): take it out"),
        ("a: " + "1" * 5000, "Exceeds the limit"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_not_yaml_is_named_by_file_and_line(text: str | bytes, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        read_yaml(text, "x.yaml")
    assert str(caught.value).startswith("x.yaml: not valid YAML: ")
    assert problem in str(caught.value)
