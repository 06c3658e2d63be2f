"""What a gate leaves: report, page, gate pass, and the tags of a model version."""

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.gates.outcome import Finding, Outcome, gate_tags
from compeffdist.params import GatesParams, Params
from tests.gates import world as plant
from tests.gates.conftest import Check
from tests.stages import GATES

KEYS = {"name", "passed", "value", "low", "high", "above", "param", "advice", "offenders"}


def test_every_gate_has_its_params_and_the_other_way_round() -> None:
    assert tuple(GatesParams.model_fields) == GATES
    assert Params.model_fields["gates"].annotation is GatesParams


@pytest.mark.parametrize("gate", GATES)
def test_sound_artefacts_pass_with_a_report_of_the_agreed_form(check: Check, gate: str) -> None:
    done = check(gate)
    assert (done.code, done.failed(), done.err) == (0, set(), "")
    assert done.gate_pass.exists()
    assert "expectations hold" in done.out
    assert {"gate", "passed", "action", "expectations", "figures"} <= done.report.keys()
    assert (done.report["gate"], done.report["passed"], done.report["action"]) == (gate, True, "stop")
    names = [finding["name"] for finding in done.report["expectations"]]
    assert len(set(names)) == len(names)
    for finding in done.report["expectations"]:
        assert finding.keys() == KEYS
        assert (finding["low"], finding["high"]) != (None, None)
        for param in filter(None, finding["param"].split(", ")):
            section: Any = Params
            for key in param.split("."):
                section = section.model_fields[key].annotation


def test_the_same_artefacts_give_the_same_bytes(check: Check) -> None:
    first, second = check("sample"), check("sample")
    assert (first.report, first.page) == (second.report, second.page)


def test_a_changed_bound_leaves_the_token_as_it_was(check: Check) -> None:
    before = check("clusters").gate_pass.read_bytes()
    after = check("clusters", coherence=0.5, action="warn")
    assert after.gate_pass.read_bytes() == before
    assert after.finding("coherence")["low"] == 0.5


def test_a_changed_artefact_changes_the_token(check: Check) -> None:
    before = check("clusters").gate_pass.read_bytes()
    plant.make_clusters(sizes=[8, 8])
    assert check("clusters").gate_pass.read_bytes() != before


def test_a_gate_that_stops_takes_the_former_token_away(check: Check) -> None:
    assert check("clusters").gate_pass.exists()
    assert not check("clusters", coherence=0.9).gate_pass.exists()


def test_a_gate_set_to_warn_lets_the_run_go_on_and_says_so(check: Check) -> None:
    gate_pass = check("clusters").gate_pass.read_bytes()
    done = check("clusters", coherence=0.9, action="warn")
    assert done.code == 0
    assert done.line("coherence").startswith("warning: clusters: coherence is 0.7, must be at least 0.9")
    assert "error" not in done.err
    assert (done.report["passed"], done.report["action"]) == (False, "warn")
    assert "let on with a warning" in done.page
    assert done.gate_pass.read_bytes() == gate_pass


class Tags(HTMLParser):
    """The elements a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attributes}


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\n\x1b[31m\"' & error: all is well"


def test_hostile_labels_are_escaped_in_the_page_and_folded_in_messages(check: Check) -> None:
    answers = ["positive", HOSTILE, "neutral"]
    plant.make_triplets(lambda instruction, place: answers[place % 3] if instruction.labels else "1")
    plant.make_scores(lambda triplet, number: number * 0.1 + (0.8 if triplet.response == HOSTILE else 0.0))
    plant.make_sample("hard")
    done = check("sample", class_growth=0.25)
    assert "task.class_growth" in done.failed()
    tags = Tags(done.page)
    assert not {"script", "img", "a", "link", "iframe"} & tags.seen
    of_tables = {"role", "tabindex", "aria-label", "scope"}
    assert tags.attributes <= {"lang", "charset", "http-equiv", "name", "content", "class", "style"} | of_tables
    assert "&lt;script&gt;" in done.page
    assert "\x1b" not in done.err
    assert not any(line.startswith("error: all is well") for line in done.err.splitlines())


def test_a_hostile_id_is_escaped_and_folded(check: Check) -> None:
    plant.edit("data/tasks.jsonl", lambda rows: [rows[0] | {"id": HOSTILE}, *rows[1:]])
    done = check("tasks")
    assert done.code == 1
    assert not {"script", "img"} & Tags(done.page).seen
    assert "\x1b" not in done.err
    assert "\x1b" not in json.dumps(done.report, ensure_ascii=False)


def test_no_text_of_a_user_stands_in_report_page_or_message(check: Check) -> None:
    secret = "My neighbour Ada Quill said the parcel was opened by the courier."
    plant.add_text(secret)
    plant.edit("data/texts.parquet", lambda rows: [row | {"domain": ""} for row in rows] + rows)
    done = check("texts")
    assert done.code == 1
    assert "Ada Quill" not in done.page + done.err + json.dumps(done.report)


def test_an_undefined_figure_with_a_bound_fails_and_is_no_nan() -> None:
    finding = Finding("spread", False, None, low=0.1, param="gates.difficulty.spread", advice="look there")
    assert finding.line() == "spread could not be computed, must be at least 0.1 (gates.difficulty.spread). Look there."
    assert Outcome("difficulty", "stop", [finding], {"spread": None}).stops


# ---------------------------------------------------------------- tags of the model version


def reports(**states: tuple[bool, str]) -> dict[str, Any]:
    """A report of each gate: passed, unless named with (passed, action)."""
    found = {gate: states.get(gate, (True, "stop")) for gate in GATES}
    return {gate: {"gate": gate, "passed": passed, "action": action} for gate, (passed, action) in found.items()}


def test_tags_say_that_all_gates_passed() -> None:
    tags = gate_tags(reports(sample=(True, "warn")))
    assert tags == {"gates": "passed", **{f"gate.{gate}": "passed" for gate in GATES}}


def test_tags_name_the_gates_that_warned() -> None:
    tags = gate_tags(reports(sample=(False, "warn"), clusters=(False, "warn")))
    assert (tags["gates"], tags["gate.sample"], tags["gate.texts"]) == ("warned: clusters, sample", "warned", "passed")


def test_there_are_no_tags_past_a_gate_that_stopped_or_has_no_report() -> None:
    with pytest.raises(UserError, match=r"tasks\.json: this gate did not pass"):
        gate_tags(reports(tasks=(False, "stop")))
    for broken in ({}, None, []):
        with pytest.raises(UserError, match=r"tasks\.json: not a report of a gate"):
            gate_tags(reports() | {"tasks": broken})
