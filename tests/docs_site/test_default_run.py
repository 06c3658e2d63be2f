"""Figures of the default run in the pages are those that git holds: metrics/, records/ and experiments/results/."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from compeffdist.evaluation.table import difference_cell
from compeffdist.files import read_json
from compeffdist.params import Params
from compeffdist.profiles import PROFILES, compose
from docs_site.outputs import text_of
from tests.stages import GATES, ROOT

EVALUATION = read_json(ROOT / "metrics/evaluation.json")
ROWS = sum(task["rows"] for task in EVALUATION["tasks"].values())
AS_IT_IS = EVALUATION["without_priors"]["mean"]
FIGURE = re.compile(r"\d+\.\d ± \d+\.\d|[+-]\d+\.\d \[[^\]]+\]")


def table(page: str, head: str) -> dict[str, list[str]]:
    """Cells of the rows below the row that begins with `head`, by the first, without emphasis."""
    below = text_of(page).partition(f"\n{head}")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip(" *").replace("**", "") for cell in line.strip("|").split("|")] for line in below]
    return {first: rest for first, *rest in cells}


def points(scores: Mapping[str, Any], *systems: str) -> list[str]:
    return [f"{100 * scores['macro_f1'][system]['estimate']:.1f}" for system in systems]


def judged(scores: Mapping[str, Any], rows: int) -> list[str]:
    """As a row of docs/results.md tells them, but for the mean over seeds."""
    gain = difference_cell(scores["student_minus_base"])
    return [str(rows), *points(scores, "teacher", "base", "student"), gain]


def test_the_readme_s_table() -> None:
    told = table("../README.md", "| macro-F1 x 100")
    for row, scores in {"label priors taken out": EVALUATION["mean"], "nothing taken out": AS_IT_IS}.items():
        assert told[row][:5] == judged(scores, ROWS)


def test_the_table_of_results() -> None:
    told = table("results.md", "| | rows | teacher | base student |")
    expected = {task: judged(scores, scores["rows"]) for task, scores in EVALUATION["tasks"].items()}
    expected |= {"mean": judged(EVALUATION["mean"], ROWS), "mean as it is, nothing taken out": judged(AS_IT_IS, ROWS)}
    assert {row: [*cells[:3], *cells[4:]] for row, cells in told.items()} == expected


def metrics(stage: str) -> Any:
    return read_json(ROOT / f"metrics/{stage}.json")


def test_what_came_of_each_step() -> None:
    texts, found, clusters = map(metrics, ("ingest_texts", "enumerate_attributes", "cluster_attributes"))
    tasks, types, seed = metrics("generate_tasks")["records"], metrics("generate_tasks")["types"], 1
    shown, pairs = metrics("write_demonstrations")["records"], metrics("collect_responses")["records"]
    kept, own = metrics("train_student")["records"]["out"], metrics("pair_texts")["pairs"]["own"]
    sampling = Params.model_validate(compose("laptop", ROOT / PROFILES)).sampling
    alone = round(clusters["singletons_share"] * clusters["clusters"])
    names, frequent = found["vocabulary"]["in"], found["vocabulary"]["out"]
    forms = (
        f"{types['closed_classification'] - seed} with closed labels, {types['scoring']} scales, "
        f"{types['extraction']} extractions, {types['open_classification']} free labels"
    )
    expected = {
        "texts": f"{texts['out']:,} of {texts['in']:,}, from four domains",
        "attributes": f"{found['records']['out']:,} texts asked, {found['mentions']['out']:,} mentions of {names} "
        f"names, {frequent} of them named more than once",
        "perspectives": f"{clusters['clusters']}, {alone} of them of one attribute",
        "tasks": f"{tasks['in'] - seed} asked, {tasks['out'] - seed} kept: {forms}; and the seed task, polarity",
        "demonstrations": f"{shown['in']} written, {shown['out']} kept",
        "pairs": f"{pairs['in']:,} asked, {pairs['out']:,} answers kept, {own:,} of these pairs the seed task's",
        "training rows": f"{kept:,}: all of the seed task's, and {sampling.rate:.0%} of each generated task's, ranked "
        "by difficulty within it",
    }
    assert table("default-run.md", "| step |") == {step: [told] for step, told in expected.items()}
    assert sampling.own_rate == 1.0


def test_how_many_answers_are_recorded() -> None:
    answers = read_json(ROOT / "records/laptop/record.json")["answers"]
    size = (ROOT / "records/laptop/answers.parquet").stat().st_size / 1e6
    told = " ".join(text_of("default-run.md").split())
    assert f"It replays `records/laptop`: {answers:,} real answers of that teacher ({size:.1f} MB)" in told
    assert f"It replays {answers:,} real answers of its teacher" in text_of("../README.md")


def test_rows_that_are_exported() -> None:
    kept, scored = (metrics(name)["records"]["out"] for name in ("collect_sampled", "score_difficulty"))
    assert f"Of the default run: {kept:,} training rows and, with `--all`, {scored:,} scored ones" in text_of(
        "export.md"
    )
    assert f"{kept:,} rows kept of {scored:,}" in text_of("gates.md")


def figure(value: float) -> str:
    return str(value) if isinstance(value, int) else re.sub(r"^-?0\.00$", "0", f"{value:.2f}")


def told_of(finding: Mapping[str, Any], values: list[float]) -> str:
    """What stands in brackets behind a param."""
    match finding["name"]:
        case "perspectives":
            return f"{finding['value']}; from {finding['low']} to {finding['high']}"
        case "generated":
            return f"{finding['value']}, at least {finding['low']}"
        case "instructions_lost" if not finding["value"]:
            return "none"
    return ", ".join(map(figure, values))


@pytest.mark.parametrize("gate", GATES)
def test_what_a_gate_found_stands_behind_the_param_that_sets_its_bound(gate: str) -> None:
    row = table("gates.md", "| gate |")[f"`{gate}`"][-1]
    findings = [
        one for one in metrics(f"gates/{gate}")["expectations"] if str(one["param"]).startswith(f"gates.{gate}.")
    ]
    for finding in findings:
        values = [one["value"] for one in findings if one["param"] == finding["param"]]
        key = finding["param"].rpartition(".")[2]
        shown = re.search(rf"`{key}`[^`\[]*\[([^\]]+)\]", row)
        assert shown and shown[1] == told_of(finding, values), key


def test_what_an_experiment_showed_is_what_its_page_says() -> None:
    rows = [cells for cells in table("results.md", "| claim |").values() if "experiments/results/" in cells[-1]]
    assert len(rows) >= 2
    for _, found, made_by in rows:
        [name] = re.findall(r"experiments/results/(\w+)\.md", made_by)
        page = (ROOT / f"experiments/results/{name}.md").read_text("utf-8")
        figures = FIGURE.findall(found)
        assert figures and [one for one in figures if one not in page] == [], name


def test_the_page_of_experiments_names_each_with_its_question() -> None:
    told = table("experiments.md", "| name |")
    files = {path.stem: path.read_text("utf-8") for path in (ROOT / "experiments").glob("*.yaml")}
    assert {name.strip("`") for name in told} == files.keys()
    for name, (question, page) in ((name.strip("`"), cells) for name, cells in told.items()):
        assert files[name].startswith(f"question: {question}\n")
        made = (ROOT / f"experiments/results/{name}.md").exists()
        assert page == (f"[page](../experiments/results/{name}.md)" if made else "not run yet")
