"""Who may be champion: what is earned is given, what is not is refused with every reason, overrides are on record."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compeffdist.errors import UserError
from compeffdist.evaluation.bootstrap import Predictions, difference_interval
from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.params import Params, validate_params
from compeffdist.promotion.alias_state import HEAD, LENGTH
from compeffdist.promotion.promote import Outcome, promote
from compeffdist.registry.artifacts import verify_version
from compeffdist.registry.tracking import open_tracking
from tests.promotion.versions import (
    BASE_RIGHT,
    LABELS,
    TASKS,
    audit_clean,
    evaluation_rows,
    make_version,
    predictions,
)

GOOD = {"films": 34, "tweets": 34}
BETTER = {"films": 38, "tweets": 38}
Aliases = Callable[[], dict[str, int]]


def audited(params: Params, version: int, **how: Any) -> Outcome:
    """Promote with what the audit finds in the registry; lineage has its own tests."""
    return promote(version, params, lambda v: verify_version(open_tracking(), params.registry.model_name, v), **how)


def test_the_first_champion_is_held_against_the_base_student(params: Params, aliases: Aliases) -> None:
    version = make_version(params, GOOD)
    outcome = audited(params, version)
    assert outcome.entry is not None and outcome.reasons == []
    assert aliases() == {"champion": version}
    entry = Ledger(PROMOTIONS).entries()[-1]
    assert entry == outcome.entry and entry.action == "promote"
    assert (entry.body["from"], entry.body["to"], entry.body["model"]) == (None, version, params.registry.model_name)
    assert entry.body["figures"]["against"] == "base student" and entry.body["figures"]["margin"] == 0.05
    assert entry.body["tags"]["student_id"] == "student_s" and len(entry.body["tags"]["files_sha256"]) == 64
    tags = open_tracking().get_registered_model(params.registry.model_name).tags
    assert (tags[HEAD], tags[LENGTH]) == (entry.hash, "1")


def test_the_figures_are_paired_differences_over_the_same_rows(params: Params) -> None:
    make_version(params, GOOD)
    outcome = promote(make_version(params, BETTER), params, audit_clean)
    rows = evaluation_rows()
    systems = []
    for right in (BETTER, BASE_RIGHT):
        answers = predictions(rows, "student", "s", right)
        systems.append(
            {
                task: Predictions(
                    labels=LABELS,
                    gold={row.id: row.label for row in rows if row.task == task},
                    predicted={answer.row_id: answer.predicted for answer in answers if answer.task == task},
                )
                for task in TASKS
            }
        )
    mean = difference_interval(systems[0], systems[1], "macro_f1", 2000, 0.95, params.seed)
    assert outcome.comparison is not None
    assert outcome.comparison["mean"] == {"estimate": mean.estimate, "low": mean.low, "high": mean.high}
    assert outcome.comparison["rows"] == 80 and set(outcome.comparison["tasks"]) == set(TASKS)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"tags": {"gates": None}}, r"gates: the version carries no result \(tag gates\)"),
        ({"tags": {"gates": "warned: clusters, sample"}}, "gates: tag gates is 'warned: clusters, sample'"),
        ({"dropped": 3}, "evaluation: tweets: the student has no prediction for 3 of 40 rows, such as row_"),
        ({"dropped": 85}, "evaluation: tweets: the base has no prediction for 5 of 40 rows"),
        ({"attachments": ["files.json"]}, "evaluation: evaluation_rows.json is not kept with the version"),
        ({"rows": []}, "evaluation: films: the base's predictions are not of the task's rows"),
        ({"tags": {"metric.macro_f1_base": None}}, "evaluation: the version has no tag metric.macro_f1_base"),
        ({"tags": {"metric.macro_f1_student": "0.9999"}}, "metric.macro_f1_student is 0.9999, but .* give 0.85"),
        ({"tags": {"metric.macro_f1_student": "good"}}, "metric.macro_f1_student is good, but"),
        ({"tags": {"student_id": "student_t"}}, "the student's predictions are of student_s, tag student_id is"),
        (
            {"right": {"films": 21, "tweets": 20}},
            r"first champion: it is not shown to be better than its base student: mean gain \+\d\.\d \[\+0\.0,",
        ),
        (
            {"right": {"films": 40, "tweets": 4}},
            r"first champion: it is worse than its base student beyond chance on tweets$",
        ),
    ],
)
def test_each_thing_that_speaks_against_it_is_said(
    params: Params, aliases: Aliases, how: dict[str, Any], reason: str
) -> None:
    version = make_version(params, **{"right": GOOD, **how})
    outcome = promote(version, params, audit_clean)
    assert outcome.entry is None
    assert len([line for line in outcome.reasons if re.search(reason, line)]) == 1, outcome.reasons
    assert aliases() == {} and not PROMOTIONS.exists()


def test_a_first_champion_needs_no_more_than_its_alias_did(params: Params, aliases: Aliases) -> None:
    """So few rows leave a task's interval wider than the margin, which is for those that take a champion's place."""
    version = make_version(params, {"films": 38, "tweets": 17})
    outcome = promote(version, params, audit_clean)
    assert (outcome.reasons, aliases()) == ([], {"champion": version})
    assert outcome.comparison is not None
    assert outcome.comparison["tasks"]["tweets"]["low"] < -params.promotion.margin


@pytest.mark.parametrize(
    ("right", "reason"),
    [
        (
            {"films": 40, "tweets": 33},
            r"comparison: tweets may be \d+\.\d points worse than the champion, version 1; .* allows 5\.0$",
        ),
        (
            {"films": 33, "tweets": 34},
            r"comparison: the mean is \d\.\d points worse than that of the champion, version 1$",
        ),
    ],
)
def test_a_later_champion_is_held_against_the_one_before_it(
    params: Params, aliases: Aliases, right: dict[str, int], reason: str
) -> None:
    first = make_version(params, {"films": 34, "tweets": 34})
    promote(first, params, audit_clean)
    outcome = promote(make_version(params, right), params, audit_clean)
    assert len([line for line in outcome.reasons if re.search(reason, line)]) == 1, outcome.reasons
    assert aliases() == {"champion": first}


def test_all_reasons_are_said_at_once_and_each_in_a_line(params: Params) -> None:
    def audit(version: int) -> list[str]:
        return ["data/triplets.parquet is not what\nthe lock says", "a second thing"]

    version = make_version(params, {"films": 12, "tweets": 11}, tags={"gates": "warned: sample"})
    checks = [reason.split(":")[0] for reason in promote(version, params, audit).reasons]
    assert checks == ["gates", "audit", "audit", *["first champion"] * 2]
    assert all("\n" not in reason for reason in promote(version, params, audit).reasons)


def test_a_first_champion_that_says_one_thing_of_everything_is_refused_whatever_its_gates_said(params: Params) -> None:
    values = params.model_dump(mode="json")
    values["gates"]["student"]["label_share"] = 0.5
    outcome = promote(make_version(params, {"films": 39, "tweets": 38}), validate_params(values, "test"), audit_clean)
    assert len(outcome.reasons) == 1
    assert re.search(r"^first champion: it gives '\w+' to 2\d of 40 rows of \w+, where 20 are; ", outcome.reasons[0])


def test_a_later_champion_is_held_against_the_one_before_and_not_against_its_base(params: Params) -> None:
    promote(make_version(params, GOOD), params, audit_clean)
    values = params.model_dump(mode="json")
    values["gates"]["student"]["gain_low"] = 0.9
    assert promote(make_version(params, BETTER), validate_params(values, "test"), audit_clean).reasons == []


def test_an_audit_that_cannot_be_done_is_a_reason(params: Params) -> None:
    def audit(version: int) -> list[str]:
        raise UserError("dvc.lock: no such file")

    assert promote(make_version(params, GOOD), params, audit).reasons == ["audit: dvc.lock: no such file"]


def test_a_changed_file_of_the_version_refuses_it(params: Params) -> None:
    version = make_version(params, GOOD)
    found = open_tracking().get_model_version(params.registry.model_name, str(version))
    weights = Path(found.source.removeprefix("file://")) / "weights.bin"
    weights.write_bytes(b"Weights")
    assert audited(params, version).reasons == ["audit: weights.bin of the registered model is not what was registered"]


def test_an_override_promotes_and_is_recorded_with_what_failed(params: Params, aliases: Aliases) -> None:
    version = make_version(params, {"films": 18, "tweets": 20}, tags={"gates": None})
    outcome = promote(version, params, audit_clean, override="the only one\nthat loads")
    body = Ledger(PROMOTIONS).entries()[0].body
    assert aliases() == {"champion": version} and outcome.reasons == body["failed"] != []
    assert body["override"] == "the only one that loads"
    assert [reason.split(":")[0] for reason in body["failed"]] == ["gates", "first champion"]


def test_an_override_nobody_needed_is_not_recorded(params: Params) -> None:
    outcome = promote(make_version(params, GOOD), params, audit_clean, override="to be sure")
    assert outcome.entry is not None and (outcome.entry.body["override"], outcome.reasons) == ("", [])


@pytest.mark.parametrize("override", [None, "because"])
def test_what_no_override_helps_is_one_line(params: Params, aliases: Aliases, override: str | None) -> None:
    promoted = make_version(params, GOOD)
    silent = make_version(params, BETTER, tags={"predict": "failed"})
    promote(promoted, params, audit_clean)
    for version, message in (
        (99, "has no version 99; there are 1, 2"),
        (silent, "version 2 .* was never seen to answer"),
        (promoted, "version 1 .* is champion already"),
    ):
        with pytest.raises(UserError, match=message) as error:
            promote(version, params, audit_clean, override=override)
        assert "\n" not in str(error.value)
    assert aliases() == {"champion": promoted} and len(Ledger(PROMOTIONS).entries()) == 1


def test_an_override_without_a_reason_and_a_model_that_is_not_there_are_one_line(params: Params) -> None:
    with pytest.raises(UserError, match="needs a reason"):
        promote(1, params, audit_clean, override=" ")
    with pytest.raises(UserError, match="run dvc repro first"):
        promote(1, params, audit_clean)


@pytest.mark.parametrize(
    ("champion", "candidate", "accepted"),
    [
        (GOOD, BETTER, True),
        (GOOD, GOOD, True),  # better or equal
        (BETTER, GOOD, False),
        ({"films": 34, "tweets": 34}, {"films": 40, "tweets": 30}, False),  # one task pays for the other
        ({"films": 34, "tweets": 34}, {"films": 33, "tweets": 34}, False),  # within the margin, but worse in the mean
    ],
)
def test_a_candidate_must_beat_the_champion(
    params: Params, aliases: Aliases, champion: dict[str, int], candidate: dict[str, int], accepted: bool
) -> None:
    first, second = make_version(params, champion), make_version(params, candidate)
    assert promote(first, params, audit_clean).entry is not None
    outcome = promote(second, params, audit_clean)
    assert outcome.comparison is not None and outcome.comparison["against"] == "champion, version 1"
    assert (outcome.entry is not None) == accepted
    assert aliases() == ({"champion": second, "former-champion": first} if accepted else {"champion": first})


def test_the_margin_decides_how_much_worse_a_task_may_be(params: Params) -> None:
    promote(make_version(params, {"films": 34, "tweets": 34}), params, audit_clean)
    version = make_version(params, {"films": 38, "tweets": 33})
    tight, wide = (
        params.model_copy(update={"promotion": params.promotion.model_copy(update={"margin": margin})})
        for margin in (0.02, 0.2)
    )
    assert [line.split()[1] for line in promote(version, tight, audit_clean).reasons] == ["tweets"]
    assert promote(version, wide, audit_clean).entry is not None


def test_an_alias_set_by_hand_while_the_checks_run_is_not_run_over(params: Params, aliases: Aliases) -> None:
    first, second, third = (make_version(params, right) for right in (GOOD, BETTER, GOOD))
    promote(first, params, audit_clean)

    def audit(version: int) -> list[str]:
        open_tracking().set_registered_model_alias(params.registry.model_name, "champion", str(third))
        return []

    with pytest.raises(UserError, match="changed while the checks ran"):
        promote(second, params, audit)
    assert aliases() == {"champion": third} and len(Ledger(PROMOTIONS).entries()) == 1
