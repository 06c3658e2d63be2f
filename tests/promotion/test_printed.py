"""What docs/promotion.md shows of promote, rollback, history and unlock is what they print, one after the other."""

import shlex
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from compeffdist.params import Params
from compeffdist.promotion import mutex
from compeffdist.registry.artifacts import verify_version
from compeffdist.registry.tracking import open_tracking
from tests.docs_site.printed import hold, typed
from tests.fakes import put_domains
from tests.promotion import versions


@pytest.fixture
def run(params: Params, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Runs a command in a checkout of Ada Lovelace's, whose model the pages call by its usual name."""
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
    put_domains()
    for setting in ("init -q", "config user.name 'Ada Lovelace'", "config user.email ada@example.org"):
        subprocess.run(["git", *shlex.split(setting)], check=True)
    name = params.registry.model_name
    return lambda command: typed(command, capsys).replace(name, "compeffdist-student")


def test_a_promotion_a_refusal_an_override_a_rollback_and_the_history(
    params: Params, run: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = ("movies", "products", "tweets")
    monkeypatch.setattr(versions, "TASKS", tasks)
    monkeypatch.setattr(versions, "BASE_RIGHT", dict.fromkeys(tasks, 20))

    def found(version: int) -> list[str]:
        """These versions come from no pipeline: their audit is of what the registry holds."""
        return verify_version(open_tracking(), params.registry.model_name, version)

    monkeypatch.setattr("compeffdist.lineage.checkout.version_problems", found)
    for right in ((25, 30, 25), (18, 24, 17)):
        versions.make_version(params, dict(zip(tasks, right, strict=True)))
    hold("promotion.md", "promotion", run)


def test_a_lock_of_another_machine_is_removed(params: Params, run: Callable[[str], str]) -> None:
    versions.make_version(params, {"films": 30, "tweets": 30})
    elsewhere = {"scope": "another boot", "host": "ci-7", "pid": "2629"}
    holder = replace(mutex._this_process(), token="3f2a9c1b" * 4, who="Ada Lovelace <ada@example.org>", **elsewhere)
    open_tracking().create_registered_model(f"{params.registry.model_name}{mutex.SUFFIX}", tags=asdict(holder))
    hold("promotion.md", "lock-left-behind", run)
