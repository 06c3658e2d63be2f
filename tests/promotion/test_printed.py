"""What docs/promotion.md shows of promote, rollback and history is what they print, one after the other."""

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from compeffdist.params import Params
from compeffdist.registry.artifacts import verify_version
from compeffdist.registry.tracking import open_tracking
from tests.docs_site.printed import hold, typed
from tests.fakes import put_domains
from tests.promotion import versions


def test_a_promotion_a_refusal_an_override_a_rollback_and_the_history(
    params: Params, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
    put_domains()
    for setting in ("init -q", "config user.name 'Ada Lovelace'", "config user.email ada@example.org"):
        subprocess.run(["git", *shlex.split(setting)], check=True)
    name, tasks = params.registry.model_name, ("movies", "products", "tweets")
    monkeypatch.setattr(versions, "TASKS", tasks)
    monkeypatch.setattr(versions, "BASE_RIGHT", dict.fromkeys(tasks, 20))

    def found(version: int) -> list[str]:
        """These versions come from no pipeline: their audit is of what the registry holds."""
        return verify_version(open_tracking(), name, version)

    monkeypatch.setattr("compeffdist.lineage.checkout.version_problems", found)
    versions.make_version(params, dict.fromkeys(tasks, 32))
    versions.make_version(params, dict.fromkeys(tasks, 22))
    hold("promotion.md", "promotion", lambda command: typed(command, capsys).replace(name, "compeffdist-student"))
