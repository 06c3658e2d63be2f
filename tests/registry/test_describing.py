"""A version in words: from whom, on what, how good, whether it passed, under which licence; nothing in it acts."""

from pathlib import Path

import pytest
import yaml

from compeffdist.artefacts import TRAINING
from compeffdist.files import hash_file, write_json
from compeffdist.params import Params
from compeffdist.registry.describing import description
from tests.factories import make_text, make_triplet
from tests.models.making import make_identity
from tests.report.making import make_run
from tests.stages import ROOT

PARAMS = Params.model_validate(yaml.safe_load((ROOT / "params.yaml").read_text()))
TAGS = {"gates": "failed: student", "gate.student": "failed", "git_commit": "0123456789abcdef-dirty"}


@pytest.fixture(autouse=True)
def student(tmp_path: Path) -> Path:
    write_json(Path("student/student.json"), {"method": "lora", "rows": 2267})
    TRAINING.write([make_triplet()])
    return Path("student")


def said(student: Path, reference: str = "hf:org/base@0123abc") -> str:
    teacher = make_identity("teacher", reference="api:big@there", served_name="big@there", parameters=None)
    base = make_identity("student", reference=reference, parameters=135_000_000, licence="Apache-2.0")
    texts = [make_text("one", licence="MIT"), make_text("two", licence="CC0-1.0")]
    return description(PARAMS, teacher, base, student, texts, 12, make_run("plain").evaluation, TAGS)


def test_it_says_what_from_whom_on_what_how_good_and_under_which_licence(student: Path) -> None:
    assert said(student).split("\n\n") == [
        "`org/base` (135 M parameters), taught by `big@there`: lora fine-tuning, domain sentiment, profile laptop, "
        "commit 0123456789-dirty.",
        f"Trained on 2,267 rows of 12 tasks, drawn from 2 texts (data/training.parquet, MD5 "
        f"{hash_file(Path(TRAINING), 'md5')}).",
        "Macro-F1 x 100, mean of 1 evaluation tasks with 2 rows: student 50.0, base 50.0, teacher 50.0. Gain over the "
        "base student +50.0 [+40.0, +60.0], 95% interval.",
        "Gate student: failed; all gates: failed: student.",
        "Licences, as they were stated: base weights Apache-2.0; texts CC0-1.0, MIT.",
    ]


def test_a_model_s_name_stays_in_its_place(student: Path) -> None:
    told = said(student, "path:/home/me/`<img src=x>`\n# heading")
    assert "home" not in told and told.count("`") == 4 and "\n# heading" not in told
