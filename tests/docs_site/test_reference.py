"""The reference pages hold every param and every command, each with a word on what it is."""

import re

import pytest

from compeffdist.params import Params, Prices, Section
from docs_site import commands_page, params_page

FIELDS = [*params_page.fields_below(Params), *params_page.fields_below(Prices, "prices")]


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[name for name, _ in FIELDS])
def test_every_param_is_described_under_its_field_or_by_its_section(name: str, field: params_page.FieldInfo) -> None:
    section = params_page.section_of(field)
    assert field.description or (section and section.__doc__)


def told_at_home(kind: type[Section], prefix: str, homes: dict[type[Section], str]) -> set[str]:
    """Names of fields, those of a section that stands at several places once."""
    names = set()
    for name, field in kind.model_fields.items():
        whole = f"{prefix}.{name}" if prefix else name
        names.add(whole)
        section = params_page.section_of(field)
        if section and homes[section] == whole:
            many = "[]" if "[" in str(field.annotation) else ""
            names |= told_at_home(section, f"{whole}{many}", homes)
    return names


def test_the_page_has_a_row_for_each_param_and_none_twice() -> None:
    page = params_page.page().partition(f"## {params_page.PRICES}")[0]
    told = re.findall(r"^(?:\| `([^`]+)` \||## (.+))", page, re.MULTILINE)
    names = [row or heading for row, heading in told]
    assert len(names) == len(set(names))
    assert set(names) == told_at_home(Params, "", params_page._homes())


def test_a_section_at_two_places_is_told_at_the_shorter_of_its_names() -> None:
    page = params_page.page()
    assert "| `training.learning_rate` |" in page and "| `warm_up.training.learning_rate` |" not in page
    [row] = [line for line in page.splitlines() if line.startswith("| `warm_up.training` |")]
    assert "those of `training`" in row


def test_a_row_has_type_bounds_default_and_words() -> None:
    page = params_page.page()
    assert "| `sampling.rate` | number, above 0, at most 1 | `0.5` | Expected share kept. Paper: 0.5. |" in page
    assert "| `sampling.own_rate` | number above 0 at most 1 or null | `null` |" in page
    assert "| `pairing.pairs` | whole number, above 0 | needed | Pairs in all. Paper: 100,000. |" in page
    assert "| `gates.texts.action` | `stop` or `warn` | `stop` |" in page


def test_no_cell_parts_its_row_and_a_page_that_is_named_is_a_link() -> None:
    assert params_page.cell("one | two\n    lines (docs/records.md).") == (
        "one \\| two lines ([records.md](../records.md))."
    )


PARSERS = list(commands_page.parsers())


@pytest.mark.parametrize(("parser", "helped"), PARSERS, ids=[parser.prog for parser, _ in PARSERS])
def test_every_command_says_what_it_is_for_and_what_each_argument_is(
    parser: commands_page.argparse.ArgumentParser, helped: str
) -> None:
    assert helped
    assert all(action.help for action in commands_page.arguments_of(parser))
    page = commands_page.page()
    assert re.search(rf"^##+ {re.escape(parser.prog.removeprefix('compeffdist '))}$", page, re.MULTILINE)


def test_every_command_has_an_example_of_itself_or_in_that_of_the_command_it_is_a_part_of() -> None:
    page = commands_page.page()
    for parser, _ in PARSERS:
        command = parser.prog.split()[1]
        own = page.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
        assert parser.prog in own.partition("```sh\n")[2]
