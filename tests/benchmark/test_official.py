"""`--parity official`: each quirk of the authors' scripts in a case worked by hand, beside what counts without it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compeffdist.benchmark.asking import Asked
from compeffdist.benchmark.figures import judge
from compeffdist.benchmark.rows import BenchmarkRow, load_benchmark_rows
from compeffdist.benchmark.tasks import BenchmarkTask, load_benchmark_tasks
from compeffdist.cli.main import main
from compeffdist.errors import UserError
from tests.benchmark.folder import TASKS, labelled, write_benchmark, write_split, write_tasks
from tests.stages import ROOT

ATSA = {"repeated": "each", "malformed": "wrong", "cut": "nothing"}
ACSA = {"repeated": "each", "malformed": "wrong", "cut": "three"}
ASQP = {"repeated": "once", "malformed": "dropped", "cut": "three"}
SSA = {"repeated": "once", "malformed": "loses_the_row", "cut": "all"}
TEXT = "The food was good , the waiter was not , nor the bill"


def pairs(script: Mapping[str, str]) -> BenchmarkTask:
    sentiment = {"name": "sentiment", "values": ["positive", "negative"]}
    fields = [{"name": "term", "from_text": True}, sentiment]
    given = {"name": "pairs", "family": "F", "question": "Which?", "fields": fields, "official": script}
    return BenchmarkTask.model_validate(given)


GRAPHS = BenchmarkTask.model_validate(
    {
        "name": "graphs",
        "family": "F",
        "question": "Whose?",
        "metric": "sentiment_graph_f1",
        "official": SSA,
        "fields": [
            {"name": "holder", "from_text": True, "may_be_absent": True},
            {"name": "target", "from_text": True, "may_be_absent": True},
            {"name": "expression", "from_text": True},
            {"name": "sentiment", "values": ["positive", "negative"]},
        ],
    }
)


def written(task: BenchmarkTask, *tuples: Sequence[str], more: str = "") -> str:
    """A whole answer, or one that was cut off in `more`."""
    names = [part.name for part in task.fields]
    answer = json.dumps([dict(zip(names, parts, strict=False)) for parts in tuples])
    return f"{answer[:-1]}, {more}" if more else answer


def both(task: BenchmarkTask, *rows: tuple[BenchmarkRow, str]) -> tuple[float, float]:
    """The official figure of answers to rows, and ours."""
    asked = Asked({42: [answer for _, answer in rows]}, 1.0)
    results = [judge(task, [row for row, _ in rows], asked, official) for official in (True, False)]
    official, own = (float(result.counts["none"][0].sampled(0, 1)[0]) for result in results)
    return official, own


def reviewed(*gold: tuple[str, str], text: str = TEXT) -> BenchmarkRow:
    return BenchmarkRow("pairs/val/0", text, [list(parts) for parts in gold], None)


GOOD, RUDE, DEAR = ("food", "positive"), ("waiter", "negative"), ("bill", "negative")
WRONG = ("waiter", "positive")


def f1(precision: float, recall: float) -> float:
    return round(2 * precision * recall / (precision + recall), 4)


def test_a_pair_that_is_said_twice_is_right_or_wrong_twice() -> None:
    answer = written(pairs(ATSA), GOOD, GOOD, WRONG)
    official, own = both(pairs(ATSA), (reviewed(GOOD), answer))
    assert official == f1(2 / 3, 1) and own == pytest.approx(f1(1 / 2, 1), abs=1e-4)
    # a script that makes a set of them first
    assert both(pairs(ASQP), (reviewed(GOOD), answer))[0] == f1(1 / 2, 1)


def test_a_gold_pair_that_stands_at_two_places_is_found_twice() -> None:
    official, own = both(pairs(ATSA), (reviewed(GOOD, GOOD, RUDE), written(pairs(ATSA), GOOD)))
    assert official == f1(1, 2 / 3) and own == pytest.approx(f1(1, 1 / 2), abs=1e-4)


def test_a_tuple_with_a_part_too_few_is_wrong_or_dropped() -> None:
    answer = written(pairs(ASQP), GOOD, ("food",))
    official, own = both(pairs(ASQP), (reviewed(GOOD), answer))
    assert official == 1.0 and own == pytest.approx(f1(1 / 2, 1), abs=1e-4)
    assert both(pairs(ATSA), (reviewed(GOOD), answer))[0] == f1(1 / 2, 1)


@pytest.mark.parametrize("other", [("soup", "positive"), ("food", "odd"), ("food", "conflict"), WRONG])
@pytest.mark.parametrize("script", [ATSA, ACSA, ASQP])
def test_what_the_text_or_the_sets_do_not_hold_is_wrong_in_both(other: tuple[str, str], script: dict[str, str]) -> None:
    official, own = both(pairs(script), (reviewed(GOOD), written(pairs(script), GOOD, other)))
    assert official == pytest.approx(own, abs=1e-4) == f1(1 / 2, 1)


@pytest.mark.parametrize(("script", "right"), [(ATSA, 0), (ACSA, 3), (ASQP, 3), (SSA, 4)])
def test_of_a_cut_answer_is_read_what_the_script_reads(script: dict[str, str], right: int) -> None:
    plenty = [GOOD, RUDE, DEAR, ("nor", "negative")]
    answer = written(pairs(script), *plenty, more='{"term": "th')
    official, own = both(pairs(script), (reviewed(*plenty), answer))
    assert own == 1.0 and official == (f1(1, right / 4) if right else 0.0)


def test_space_around_a_part_is_not_looked_at() -> None:
    spaced = written(pairs(ATSA), (" food", "positive"))
    assert both(pairs(ATSA), (reviewed(GOOD), spaced)) == (1.0, 0.0)


def test_saying_nothing_where_nothing_is_to_be_said_is_perfect() -> None:
    rows = [(reviewed(), "[]"), (reviewed(), "[]")]
    assert both(pairs(ATSA), *rows) == (1.0, 0.0)
    # one wrong pair: precision 0; one missed: recall 0
    assert both(pairs(ATSA), *rows, (reviewed(), written(pairs(ATSA), GOOD)))[0] == 0.0
    assert both(pairs(ATSA), *rows, (reviewed(GOOD), "[]"))[0] == 0.0


@pytest.mark.parametrize("answer", ["none", '{"term": "food"}'])
def test_an_answer_that_cannot_be_read_misses_its_row_in_both(answer: str) -> None:
    rows = [(reviewed(GOOD), answer), (reviewed(GOOD), written(pairs(ATSA), GOOD))]
    official, own = both(pairs(ATSA), *rows)
    assert official == pytest.approx(own, abs=1e-4) == f1(1, 1 / 2)


def test_each_seed_s_figure_is_rounded_before_the_mean_is_taken() -> None:
    mood = BenchmarkTask(name="mood", family="F", question="Which?", labels=["glad", "sad"])
    rows = [BenchmarkRow(f"mood/val/{n}", "text", gold, None) for n, gold in enumerate(("glad", "sad"))]
    glad: list[Mapping[str, float]] = [{"glad": -0.1, "sad": -2.4}] * 2
    asked = Asked({42: glad, 52: glad}, 1.0)
    # of glad 2/3, of sad 0: a third
    official, own = (judge(mood, rows, asked, how).counts["none"] for how in (True, False))
    assert [float(one.sampled(0, 1)[0]) for one in official] == [0.3333, 0.3333]
    assert float(own[0].sampled(0, 1)[0]) == pytest.approx(1 / 3, abs=1e-12)


# ---------------------------------------------------------------- sentiment graphs

STAY = "We liked the staff and the staff liked us , unfriendly AND slow as it was"


def marked(*opinions: tuple[list[str], list[str], list[str], str], text: str = STAY) -> BenchmarkRow:
    """A row whose gold parts lie at given places."""
    told, gold = [], []
    for *parts, polarity in opinions:
        pieces = [[text[slice(*map(int, place.split(":")))] for place in part] for part in parts]
        placed = [[own, list(part)] for own, part in zip(pieces, parts, strict=True)]
        keys = ("Source", "Target", "Polar_expression")
        told.append({**dict(zip(keys, placed, strict=True)), "Polarity": polarity.capitalize()})
        gold.append([" AND ".join(own) or "NULL" for own in pieces] + [polarity])
    return BenchmarkRow("graphs/val/0", text, gold or [["NULL"] * 4], None, told)


def test_places_are_where_the_annotators_marked_them() -> None:
    # the second staff; the words stand first at 13
    row = marked(([], ["27:32"], ["33:38"], "positive"))
    assert row.gold == [["NULL", "staff", "liked", "positive"]]
    assert both(GRAPHS, (row, written(GRAPHS, row.gold[0]))) == (0.0, 1.0)
    first = marked(([], ["13:18"], ["3:8"], "positive"))
    assert both(GRAPHS, (first, written(GRAPHS, first.gold[0]))) == (1.0, 1.0)


def test_a_weight_may_be_that_of_a_tuple_of_another_polarity() -> None:
    # predicted covers 'the staff': half of it with the tuple of its polarity, all with the other's
    row = marked(([], ["13:18"], ["3:8"], "positive"), ([], ["9:18"], ["3:8"], "negative"))
    official, own = both(GRAPHS, (row, written(GRAPHS, ("NULL", "the staff", "liked", "positive"))))
    # recall: the first alone is met, with its one token of the target
    assert official == f1(1, 1 / 2)
    assert own == pytest.approx(f1((1 + 1 / 2 + 1) / 3, 1 / 2), abs=1e-4)


def test_a_part_that_begins_inside_a_token_lies_nowhere() -> None:
    # as an expression it meets nothing; as a target it is like an absent one
    begin = STAY.index("unfriendly")
    row = marked(([], [], [f"{begin}:{begin + 10}"], "negative"))
    assert both(GRAPHS, (row, written(GRAPHS, ("NULL", "NULL", "friendly", "negative")))) == (0.0, 1.0)
    assert both(GRAPHS, (row, written(GRAPHS, ("NULL", "friendly", "unfriendly", "negative")))) == (1.0, 0.0)


def test_a_part_that_ends_inside_a_token_goes_on_to_the_end() -> None:
    # from the second of 16 tokens on
    assert len(STAY.split()) == 16
    row = marked(([], [], ["3:8"], "positive"))
    official, own = both(GRAPHS, (row, written(GRAPHS, ("NULL", "NULL", "lik", "positive"))))
    assert official == f1((1 + 1 + 1 / 15) / 3, 1) and own == 1.0


def test_pieces_are_parted_at_the_letters_and_those_that_stand_nowhere_are_passed_over() -> None:
    text = "GRAND view"
    row = marked(([], ["6:10"], ["0:5"], "positive"), text=text)
    # GR and nothing: GR ends inside the first token, the empty piece begins it, so both go on to the end
    official, own = both(GRAPHS, (row, written(GRAPHS, ("NULL", "view", "GRAND", "positive"))))
    assert official == f1((1 + 1 + 1 / 2) / 3, 1) and own == 1.0
    row = marked(([], ["6:10"], ["0:5"], "positive"), text="Grand view")
    half = written(GRAPHS, ("NULL", "view AND sea", "Grand", "positive"))
    assert both(GRAPHS, (row, half)) == (1.0, 0.0)


def test_a_holder_that_stands_nowhere_is_like_an_absent_one() -> None:
    row = marked(([], ["13:18"], ["3:8"], "positive"))
    assert both(GRAPHS, (row, written(GRAPHS, ("guests", "staff", "liked", "positive")))) == (1.0, 0.0)


def test_a_gold_tuple_that_is_marked_twice_counts_twice() -> None:
    staff = ([], ["13:18"], ["3:8"], "positive")
    begin = STAY.index("slow")
    row = marked(staff, staff, ([], [], [f"{begin}:{begin + 4}"], "negative"))
    official, own = both(GRAPHS, (row, written(GRAPHS, row.gold[0])))
    assert official == f1(1, 2 / 3) and own == pytest.approx(f1(1, 1 / 2), abs=1e-4)


def test_capital_letters_of_a_polarity_are_not_looked_at() -> None:
    row = marked(([], ["13:18"], ["3:8"], "positive"))
    assert both(GRAPHS, (row, written(GRAPHS, ("NULL", "staff", "liked", "POSITIVE")))) == (1.0, 0.0)


def test_one_tuple_with_a_part_too_few_loses_all_of_its_row() -> None:
    row = marked(([], ["13:18"], ["3:8"], "positive"))
    right = written(GRAPHS, row.gold[0])
    official, own = both(GRAPHS, (row, right), (row, written(GRAPHS, row.gold[0], ("NULL", "staff"))))
    assert official == f1(1, 1 / 2) and own == pytest.approx(f1(2 / 3, 1), abs=1e-4)


def test_a_tuple_of_absent_parts_alone_is_wrong_in_both() -> None:
    rows = [(marked(), written(GRAPHS, ["NULL"] * 4))]
    right = marked(([], ["13:18"], ["3:8"], "positive"))
    official, own = both(GRAPHS, *rows, (right, written(GRAPHS, right.gold[0])))
    assert official == pytest.approx(own, abs=1e-4) == f1(1 / 2, 1)


def test_tokens_stand_between_single_spaces() -> None:
    # the empty token between two spaces counts; a tab parts nothing
    row = marked(([], [], ["0:9"], "positive"), text="good  bed\there")
    official, _ = both(GRAPHS, (row, written(GRAPHS, ("NULL", "NULL", "good", "positive"))))
    assert official == f1(1, (1 + 1 + 1 / 3) / 3)


# ---------------------------------------------------------------- the command


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    scripted = TASKS | {"aspects": TASKS["aspects"] + f"official: {json.dumps(ATSA)}\n"}
    write_tasks(tmp_path / "benchmarks/sentibench", scripted)
    write_benchmark(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    main(["evaluate", "--benchmark", "data", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def test_labels_are_read_without_priors_and_figures_have_four_digits(
    checkout: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = f"path:{base_folder}"
    official, own = told(capsys, "--model", model, "--parity", "official"), told(capsys, "--model", model)
    assert (official["benchmark"]["parity"], own["benchmark"]["parity"]) == ("official", None)
    for name in ("mood", "stance"):
        figure, ours = (one["tasks"][name]["models"][model]["none"]["estimate"] for one in (official, own))
        assert figure == np.round(ours, 4)
    main(["evaluate", "--model", model, "--benchmark", "data", "--tasks", "mood", "--parity", "official"])
    said = capsys.readouterr().out
    assert "counted as the benchmark's own scripts count" in said and "label likelihoods: as they are" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--benchmark", "data", "--parity", "official", "--prior", "batch"],
            "--prior batch: the authors take",
        ),
        (["--tasks", "rows.jsonl", "--parity", "official"], "--parity: is of a benchmark"),
    ],
)
def test_what_does_not_go_with_it_is_one_line(
    checkout: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--model", "path:nowhere", *arguments])
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def one_task(checkout: Path, task: str, row: Mapping[str, Any]) -> None:
    """Leave one task, `aspects`, with one row."""
    write_tasks(checkout / "benchmarks/sentibench", {"aspects": task})
    stated = write_split(checkout / "data/aspects/val.jsonl", [{**labelled("aspects", "val", 1)[0], **row}])
    (checkout / "data/manifest.json").write_text(json.dumps({"tasks": {"aspects": {"splits": {"val": stated}}}}))


OPENER = (ROOT / "benchmarks/sentibench/opener.yaml").read_text()


@pytest.mark.parametrize(
    ("task", "said"), [(TASKS["aspects"], "task aspects does not say"), (OPENER, "row aspects/val/0 has no `opinions`")]
)
def test_a_task_that_names_no_script_or_a_row_without_places_is_refused_first(
    checkout: Path, task: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one_task(checkout, task, {"gold": []})
    with pytest.raises(SystemExit):
        told(capsys, "--model", "path:nowhere", "--tasks", "aspects", "--parity", "official")
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("place", ["13-18", "a:b", 13, None])
def test_a_place_that_is_none_is_a_line(checkout: Path, place: object) -> None:
    part = [["staff"], [place]]
    broken = {"Source": [[], []], "Target": part, "Polar_expression": part, "Polarity": "Positive"}
    one_task(checkout, OPENER, {"gold": [], "opinions": [broken]})
    [task] = load_benchmark_tasks(checkout / "benchmarks/sentibench", ["aspects"])
    with pytest.raises(UserError, match=r"val\.jsonl:1: opinions: expected"):
        load_benchmark_rows(checkout / "data", task, "val")


def test_sentibench_s_tasks_of_tuples_name_their_scripts() -> None:
    scripts = {task.name: task.official for task in load_benchmark_tasks(ROOT / "benchmarks/sentibench") if task.fields}
    wanted = {"atsa_rest16": ATSA, "acsa_rest16": ACSA, "asqp_rest16": ASQP, "opener": SSA}
    assert {name: script and script.model_dump() for name, script in scripts.items()} == wanted
