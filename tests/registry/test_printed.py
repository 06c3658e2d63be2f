"""What docs/asking.md shows of a student's tasks is what `predict` prints."""

from pathlib import Path

import pytest
import yaml

from compeffdist.params import RegistryParams
from compeffdist.profiles import compose
from compeffdist.registry.carrying import tasks_carried
from compeffdist.registry.questions import Carried
from compeffdist.registry.register import register_student
from tests.docs_site.printed import hold, typed
from tests.fakes import SENTIMENT, put_domains
from tests.registry.test_questions import instruction
from tests.stages import ROOT

MODEL = "printed"


@pytest.mark.parametrize("student_folder", ["full"], indirect=True)
def test_the_tasks_of_the_candidate(
    student_folder: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = instruction("emotion", "Which emotion does the writer show?", labels=["anger", "joy", "sadness", "fear"])
    taught = instruction("target of anger", "Whom is the writer angry at?", "p", labels=["oneself", "others"])
    carried = Carried(tasks_carried([own, taught], {taught.id}, SENTIMENT.monitored))
    settings = RegistryParams(model_name=MODEL, experiment="tests")
    register_student(student_folder, base_folder, settings, {}, carried=carried.to_files(12))
    params = compose("laptop", ROOT / "profiles")
    params["registry"]["model_name"] = MODEL
    Path("params.yaml").write_text(yaml.safe_dump(params))
    put_domains()
    hold("asking.md", "asked", lambda command: typed(command, capsys))
