"""What was spent is told by stage, day and run, with money where it is known."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from compeffdist.cli.main import main
from compeffdist.costs.spent import grouped, spent_lines
from compeffdist.params import Price, Prices
from compeffdist.teacher.spending import EARLIER, Ledger, Spending, Spent
from tests.stages import ROOT

ROW = Spending("2026-11-29", "r1", "enumerate_attributes", "model_1", "openai", 3, 1, 4, 4000, 1000, 500, 60.0)
ROWS = [
    ROW,
    replace(ROW, day="2026-11-30", run="r2", answers=1, failures=0, calls=1, prompt_tokens=100, seconds=3600.0),
    replace(ROW, stage="collect_responses", run="r2", seconds=30.0),
]
BY_TOKENS = Prices(currency="EUR", date="2026-11-29", prices={"teacher": Price(prompt_tokens=1.0, answer_tokens=4.0)})
BY_HOUR = Prices(currency="EUR", date="2026-11-29", prices={"openai": Price(hour=2.0)})


def sums(rows: Sequence[Spending], by: Sequence[str]) -> dict[tuple[str, ...], int]:
    return {line.of: line.spending.prompt_tokens for line in grouped(rows, by, None)}


def test_lines_add_up_to_the_last_one() -> None:
    assert sums(ROWS, ["stage"]) == {("collect_responses",): 4000, ("enumerate_attributes",): 4100, (): 8100}
    assert sums(ROWS, ["run"]) == {("r1",): 4000, ("r2",): 4100, (): 8100}
    assert len(sums(ROWS, ["day", "stage"])) == 4
    assert grouped([], ["stage"], None) == []


def test_money_by_tokens_or_by_the_hour() -> None:
    assert [line.money for line in grouped(ROWS[:1], ["stage"], BY_TOKENS)] == pytest.approx([0.006, 0.006])
    assert grouped(ROWS, ["stage"], BY_HOUR)[-1].money == pytest.approx(2.0 * (60 + 3600 + 30) / 3600)


def test_money_of_a_part_is_not_told_as_that_of_the_whole() -> None:
    rows = [ROW, replace(ROW, engine="vllm", stage="other")]
    prices = Prices(currency="EUR", date="2026-11-29", prices={"openai": Price(hour=2.0)})
    lines = grouped(rows, ["stage"], prices)
    assert [line.money is None for line in lines] == [False, True, True]
    assert "unknown" in spent_lines(lines, ["stage"], prices)[-2]


def test_hours_before_the_ledger_are_not_known() -> None:
    earlier = replace(ROW, run=EARLIER, seconds=0.0)
    assert grouped([earlier], ["stage"], BY_HOUR)[-1].money is None
    assert grouped([earlier], ["stage"], BY_TOKENS)[-1].money is not None


def test_the_command_prints_the_ledger_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    main(["spend"])
    assert capsys.readouterr().out == "nothing was bought through this store\n"
    with Ledger(tmp_path / ".compeffdist/answers.sqlite") as ledger:
        ledger.add("collect_responses", "model_1", "openai", Spent(2, 900, 100, 30), answers=2, seconds=75)
    (tmp_path / "prices.yaml").write_text(
        "currency: EUR\ndate: 2026-11-29\nprices:\n  teacher: {prompt_tokens: 1.0, answer_tokens: 4.0}\n"
    )
    main(["spend", "--prices", "prices.yaml"])
    heads, line, whole, note = capsys.readouterr().out.splitlines()
    assert heads.split()[:2] == ["stage", "answers"] and heads.endswith("EUR")
    assert line.split() == ["collect_responses", "2", "0", "2", "900", "100", "30", "1:15", "0.00102"]
    assert whole.split() == ["all", *line.split()[1:]]
    assert note == "money by the prices of 2026-11-29, the user's own"
    main(["spend", "--by", "day", "model", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["lines"][0]["model"], told["all"]["calls"], told["all"]["money"]) == ("model_1", 2, None)
