"""The short part of `make chaos`: each of the stages that ask the teacher first is killed once."""

from pathlib import Path

import pytest

from tests.chaos.killing import Pipeline, chaos
from tests.chaos.teacher import teaching

pytestmark = pytest.mark.pipeline

ASKING = ("enumerate_attributes", "generate_tasks", "write_demonstrations", "collect_responses")


def test_a_run_that_is_killed_ends_as_one_in_peace_and_buys_again_only_what_was_in_flight(tmp_path: Path) -> None:
    with teaching() as (server, asked):
        pipeline = Pipeline(tmp_path / "checkout", server.url, until="collect_responses")
        report = chaos(pipeline, asked, len(ASKING), seed=4, only="|".join(ASKING))
    assert report.failures == []
    assert report.kills.total() == len(ASKING)
    assert report.asked_again <= report.in_flight
