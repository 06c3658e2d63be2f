"""A plan says which stages run and why, and how many answers they will buy."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.artefacts import CLUSTERS
from compeffdist.cli.main import main
from compeffdist.costs.expected import EXPECTED, LastRun, expected_perspectives, expected_questions
from compeffdist.costs.plan import Planned, last_run, over_budget, plan, stale, totals
from compeffdist.costs.sampling import buy_sample
from compeffdist.declaration import read_pipeline
from compeffdist.errors import UserError
from compeffdist.exchange.questions import REPLAYS
from compeffdist.files import write_json
from compeffdist.params import Params, Price, Prices, load_params
from compeffdist.params.pipeline import ProxyParams
from compeffdist.profiles import compose
from compeffdist.teacher.spending import spendings
from compeffdist.teacher.store import ResponseStore, stored_keys
from tests.exchange.world import Checkout, run_stages
from tests.stages import ROOT, run_stage

STORE = Path("answers.sqlite")


def changed(key: str) -> list[Any]:
    """What DVC says of a stage whose param was changed."""
    return [{"changed deps": {"params.yaml": {key: "modified"}}}]


def planned(status: dict[str, Any]) -> dict[str, Planned]:
    return {one.stage.name: one for one in plan(load_params(), status)}


def forget(names: set[str]) -> set[str]:
    """Take answers out of the store."""
    with ResponseStore(STORE) as store:
        store.delete(names)
    return names


# ---------------------------------------------------------------- which stages, and why


def test_what_follows_a_stage_that_runs_may_run_too(ran: Checkout) -> None:
    found = planned({"collect_responses": changed("responses.max_tokens")})
    assert found["collect_responses"].why == "responses.max_tokens changed"
    assert found["check_triplets"].why == "follows collect_responses"
    assert (found["collect_responses"].follows, found["check_triplets"].follows) == (False, True)
    assert "enumerate_attributes" not in found and "evaluate_teacher" not in found
    names = list(read_pipeline())
    assert [names.index(name) for name in found] == sorted(names.index(name) for name in found)
    assert planned({}) == {}


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ([{"changed deps": {"code.yaml": {"enumerate_attributes": "modified"}}}], "its code changed"),
        ([{"changed deps": {"domains/sentiment.yaml": "modified"}}], "domains/sentiment.yaml changed"),
        ([{"changed outs": {"data/mentions.parquet": "deleted", "data/attributes.parquet": "not in cache"}}],
         "2 of its outs are missing"),
        ([{"changed deps": {"code.yaml": {"enumerate_attributes": "modified"}}},
          {"changed outs": {"data/elsewhere.parquet": "not in cache", "models/elsewhere": "not in cache"}}],
         "its outs are not here"),
        ([{"changed deps": {"code.yaml": {"enumerate_attributes": "modified"}}},
          {"changed outs": {"data/mentions.parquet": "not in cache"}}],
         "its code changed"),
        ([{"changed outs": {"data/mentions.parquet": "modified"}}], "data/mentions.parquet changed"),
        (["changed command"], "changed command"),
    ],
)  # fmt: skip
def test_the_reason_is_what_dvc_found(ran: Checkout, entry: list[Any], why: str) -> None:
    assert planned({"enumerate_attributes": entry})["enumerate_attributes"].why == why


def test_dvc_is_asked_for_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, check=True)
    Path("dvc.yaml").write_text("stages:\n  one:\n    cmd: 'true'\n    deps: [in.txt]\n")
    Path("in.txt").write_text("x")
    monkeypatch.setattr("compeffdist.costs.plan.check_fingerprint", lambda stage: None)
    assert stale() == {"one": [{"changed deps": {"in.txt": "modified"}}]}
    (tmp_path / "file").touch()
    with monkeypatch.context() as home:
        home.setenv("HOME", str(tmp_path / "file/home"))
        with pytest.raises(UserError, match=r"^dvc status: .*Not a directory: .*/file/home"):  # and no word on support
            stale()
    shutil.rmtree(".dvc")
    with pytest.raises(UserError, match=r"^dvc status: "):
        stale()


# ---------------------------------------------------------------- what is asked


def test_nothing_is_to_be_bought_of_what_is_in_the_store(ran: Checkout) -> None:
    found = planned({name: changed("x") for name in ("enumerate_attributes", "evaluate_teacher")})
    for name in ("enumerate_attributes", "evaluate_teacher"):
        asking = found[name].asking
        assert asking is not None and asking.exact and asking.known == asking.questions > 0 and asking.to_buy == 0
        assert (asking.prompt_tokens, asking.completion_tokens, asking.seconds) == (0, 0, 0)


@pytest.mark.parametrize("stage", ["enumerate_attributes", "collect_responses", "evaluate_teacher"])
def test_the_plan_of_a_stage_is_what_it_then_buys(ran: Checkout, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    forget(set(keys(stage)[::3]))
    asking = _asking(stage)
    assert asking.exact and 0 < asking.to_buy < asking.questions
    monkeypatch.setattr("compeffdist.teacher.asking.open_engine", ran.engine.open)
    run_stage(stage)
    assert ran.this_run()[stage]["bought"] == asking.to_buy
    assert _asking(stage).to_buy == 0


def _asking(stage: str) -> Any:
    asking = planned({stage: changed("x")})[stage].asking
    assert asking is not None
    return asking


def test_questions_that_follow_from_answers_that_are_not_there_are_counted_by_params(ran: Checkout) -> None:
    forget(stored_keys(STORE))
    asking = _asking("generate_tasks")
    assert not asking.exact and asking.known == 0
    assert asking.questions >= len(asking.unknown) > 0


def test_where_inputs_are_made_anew_the_number_follows_from_params(ran: Checkout) -> None:
    found = planned({"enumerate_attributes": changed("attributes.texts"), "generate_tasks": changed("x")})
    asking = found["generate_tasks"].asking
    assert asking is not None and not asking.exact and asking.known is None
    assert asking.questions == expected_questions("generate_tasks", load_params(), last_run())


def test_the_plan_of_a_run_is_within_a_fifth_of_what_it_then_buys(
    ran: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls and tokens of each stage, told before anything is bought, by params and what the last run left."""
    write_json(Path("metrics/cluster_attributes.json"), {"clusters": len(CLUSTERS.read())})
    declared = {"tasks": {"per_perspective": 3}, "demonstrations": {"calls": 1}}
    lock = {"stages": {"write_demonstrations": {"cmd": "", "params": {"params.yaml": declared}}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    forget(stored_keys(STORE))
    told = {name: one.asking for name, one in planned({name: changed("x") for name in REPLAYS}).items()}
    monkeypatch.setattr("compeffdist.teacher.asking.open_engine", ran.engine.open)
    run_stages()
    for stage in REPLAYS.keys() - {"collect_sampled"}:  # of which this world keeps every pair
        asking, took = told[stage], ran.this_run()[stage]
        assert asking is not None
        assert asking.to_buy == pytest.approx(took["bought"], rel=0.2), stage
        assert asking.prompt_tokens == pytest.approx(took["prompt_tokens"], rel=0.2), stage
        assert asking.completion_tokens == pytest.approx(took["completion_tokens"], rel=0.2), stage


def test_tokens_are_told_by_the_answers_that_are_there(ran: Checkout) -> None:
    asking = _asking("evaluate_teacher")
    forget({key for key in stored_keys(STORE) if key in keys("evaluate_teacher")[:4]})
    partly = _asking("evaluate_teacher")
    assert partly.to_buy == 4 and partly.questions == asking.questions
    assert partly.prompt_tokens == pytest.approx(4 * 9, rel=0.3)
    assert partly.completion_tokens == pytest.approx(4)


def keys(stage: str) -> list[str]:
    from compeffdist.costs.plan import _rebuilt
    from compeffdist.teacher.known import known_answers

    params = load_params()
    found = _rebuilt(read_pipeline()[stage], params, known_answers(params.runtime))
    assert found is not None
    return sorted(found[0])


def test_without_answers_alike_tokens_are_those_of_the_last_run_or_unknown(ran: Checkout) -> None:
    forget(stored_keys(STORE))
    before = _asking("evaluate_teacher")
    assert before.prompt_tokens == pytest.approx(9 * before.to_buy)
    Path("metrics/evaluate_teacher.json").unlink()
    after = _asking("evaluate_teacher")
    assert (after.prompt_tokens, after.completion_tokens) == (None, None)
    whole = totals(list(planned({"evaluate_teacher": changed("x"), "enumerate_attributes": changed("x")}).values()))
    assert whole is not None and whole.prompt_tokens is None and whole.to_buy > 0


# ---------------------------------------------------------------- a sample


def test_a_sample_is_bought_once_and_the_run_finds_it(ran: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(set(keys("evaluate_teacher")))
    Path("metrics/evaluate_teacher.json").unlink()
    monkeypatch.setattr("compeffdist.teacher.asking.open_engine", ran.engine.open)
    params, status = load_params(), {"evaluate_teacher": changed("x")}
    before = _asking("evaluate_teacher")
    assert buy_sample(plan(params, status), params, 6) == 6
    after = _asking("evaluate_teacher")
    assert after.to_buy == before.to_buy - 6 and after.prompt_tokens is not None
    assert after.seconds is not None
    assert [row.answers for row in spendings(STORE) if row.stage == "evaluate_teacher"] == [6]
    assert buy_sample(plan(params, {}), params, 6) == 0


# ---------------------------------------------------------------- from params alone


@pytest.mark.parametrize("profile", ["laptop", "own", "smoke", "workstation", "paper"])
def test_every_asking_stage_has_an_expectation_in_every_profile(profile: str) -> None:
    assert EXPECTED.keys() == REPLAYS.keys()
    params = Params.model_validate(compose(profile, ROOT / "profiles"))
    for stage in EXPECTED:
        assert expected_questions(stage, params, LastRun()) >= 0


def test_the_default_run_is_expected_as_its_metrics_say_it_was() -> None:
    """Its committed figures, from its params alone."""
    params = Params.model_validate(compose("laptop", ROOT / "profiles"))
    for stage in ("enumerate_attributes", "generate_tasks", "write_demonstrations", "collect_responses"):
        answers = json.loads((ROOT / f"metrics/{stage}.json").read_text())["teacher"]["answers"]
        assert expected_questions(stage, params, LastRun()) == pytest.approx(answers["used"], rel=0.2), stage
        assert expected_questions(stage, params, last_run(ROOT)) == pytest.approx(answers["used"], rel=0.02), stage


def test_perspectives_are_told_for_few_texts_as_there_were() -> None:
    params = Params.model_validate(compose("smoke", ROOT / "profiles"))
    known = LastRun(1050, 65)
    assert params.attributes.texts == 8  # a run with a teacher over HTTP had 3 of them, one with vLLM 2
    assert (
        expected_perspectives(params, LastRun()) == expected_perspectives(params, known) == pytest.approx(2.5, abs=0.1)
    )
    assert expected_questions("generate_tasks", params, known) == pytest.approx(9, rel=0.2)
    assert expected_questions("write_demonstrations", params, known) == pytest.approx(9, rel=0.2)
    more = params.model_copy(
        update={
            "attributes": params.attributes.model_copy(update={"texts": 4200}),
            "texts": params.texts.model_copy(update={"count": 4200}),
        }
    )
    assert expected_perspectives(more, known) == pytest.approx(130)


def test_every_text_in_a_pair_is_asked_the_monitored_question_once() -> None:
    """It is the seed task's own question where there is one, and comes on top of the pairs where there is none."""
    params = Params.model_validate(compose("laptop", ROOT / "profiles"))

    def asked(stage: str, **changes: dict[str, Any]) -> int:
        made = {name: getattr(params, name).model_copy(update=fields) for name, fields in changes.items()}
        return expected_questions(stage, params.model_copy(update=made), LastRun())

    assert params.tasks.seed_task
    assert asked("collect_responses") == asked("collect_responses", tasks={"seed_task": False}) == 3300 + 1200
    few: dict[str, dict[str, Any]] = {"pairing": {"pairs": 700}, "tasks": {"seed_task": False}}
    assert asked("collect_responses", **few) == 700 + 700
    half: dict[str, dict[str, Any]] = {"difficulty": {"mode": "proxy", "proxy": ProxyParams(rows=2250)}}
    # half of 3,300 pairs, and the texts in half of 4,500, at 3.75 pairs a text
    assert asked("collect_responses", **half) == pytest.approx(1650 + 1200 * (1 - 0.5**3.75), abs=1)
    kept = asked("collect_sampled", **half)
    assert 1650 * 0.35 < kept < 1650 * 0.35 + 1200 * 0.5**3.75
    assert asked("collect_sampled") == 0


# ---------------------------------------------------------------- budgets, and the command


def test_a_budget_that_does_not_do_is_told(ran: Checkout) -> None:
    forget(set(keys("evaluate_teacher")))
    stages = list(planned({"evaluate_teacher": changed("x")}).values())
    asking = totals(stages)
    assert asking is not None
    price = Price(prompt_tokens=1000.0, answer_tokens=1000.0)
    prices = Prices(currency="EUR", date="2026-11-29", prices={"teacher": price})
    assert over_budget(stages, load_params(), prices) == []
    spent = sum(row.calls for row in spendings(STORE))
    ran.set(budget={"run": {"calls": asking.to_buy - 1}, "total": {"calls": spent + asking.to_buy, "tokens": 5}})
    told = over_budget(stages, load_params(), None)
    assert [line.split(",")[0] for line in told] == [
        f"runtime.budget.run.calls leaves {asking.to_buy - 1}",
        "runtime.budget.total.tokens leaves 0",
    ]
    ran.set(budget={"run": {"money": 0.01}})
    assert over_budget(stages, load_params(), prices)[0].startswith("runtime.budget.run.money leaves 0.01, about")


def test_the_command(ran: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status: dict[str, Any] = {}
    monkeypatch.setattr("compeffdist.costs.plan.stale", lambda: status)
    main(["plan"])
    assert capsys.readouterr().out == "nothing to do: every stage is up to date\n"
    status["evaluate_teacher"] = changed("evaluation.tasks")
    main(["plan"])
    assert "to buy: 0 answers\n" in capsys.readouterr().out
    forget(set(keys("evaluate_teacher")))
    prices = {"currency": "EUR", "date": "2026-11-29", "prices": {"vllm": {"prompt_tokens": 1.0, "answer_tokens": 4.0}}}
    Path("prices.yaml").write_text(yaml.safe_dump(prices))
    main(["plan", "--prices", "prices.yaml"])
    said = capsys.readouterr().out
    line = next(line for line in said.splitlines() if line.startswith("evaluate_teacher"))
    assert line.split()[1:4] == ["evaluation.tasks", "changed", line.split()[-1]]
    assert "to buy: " in said and " EUR" in said
    status["enumerate_attributes"] = changed("attributes.texts")
    main(["plan"])
    assert "perspectives, which is a guess" in capsys.readouterr().out
    del status["enumerate_attributes"]
    main(["plan", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["stages"][0]["stage"] == "evaluate_teacher" and told["all"]["to_buy"] == told["stages"][0]["to_buy"] > 0


def test_what_the_last_run_was_is_read_from_metrics_that_may_be_of_any_shape(tmp_path: Path) -> None:
    assert last_run(tmp_path) == LastRun()
    (tmp_path / "metrics").mkdir()
    write_json(tmp_path / "metrics/cluster_attributes.json", {"clusters": 7})
    write_json(tmp_path / "metrics/enumerate_attributes.json", {"records": {"in": 40}})
    write_json(
        tmp_path / "metrics/write_demonstrations.json", {"teacher": "?"} | {"teacher": {"answers": {"used": "x"}}}
    )
    assert last_run(tmp_path) == LastRun(40, 7, None)
