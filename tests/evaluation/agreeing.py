"""A run on disk whose student can be held against its teacher: artefacts, a student and its base, no pipeline."""

import shutil
from pathlib import Path

import yaml

from compeffdist.artefacts import (
    BASE,
    CLUSTERS,
    INSTRUCTIONS,
    SAMPLED,
    SCORED,
    STUDENT,
    TRAINING,
    TRIPLETS,
    rejects_of,
)
from compeffdist.canonical import hash_json
from compeffdist.files import write_json
from compeffdist.models import cache_folder, resolve_model
from compeffdist.params import ModelParams
from compeffdist.profiles import compose
from compeffdist.record_files import write_perspectives
from compeffdist.records import Instruction, Triplet
from compeffdist.student.runs import TRAIN
from tests.factories import (
    make_draw,
    make_instruction,
    make_perspective,
    make_score,
    make_task,
    make_text,
    make_triplet,
    write_scored,
)
from tests.fakes import SYSTEM, put_domains
from tests.stages import ROOT

SCREEN, BATTERY = make_perspective("screen"), make_perspective("battery life", "charge")
TEXTS = 12
"""Of each question."""


def questions() -> list[Instruction]:
    """A closed one and a scale on the screen, a closed one on the battery, one of the user's own, an extraction."""
    own = make_task(perspective_id="", name="my own")
    tasks = [
        make_task(perspective_id=SCREEN.id, name="screen verdict"),
        make_task("scoring", perspective_id=SCREEN.id, name="screen score"),
        make_task(perspective_id=BATTERY.id),
        own,
        make_task("extraction", perspective_id=BATTERY.id, name="battery words"),
    ]
    return [make_instruction(task) for task in tasks]


def triplets() -> list[Triplet]:
    """Every question on every text; labels in turn, sevens being the second one."""
    answers = {"scoring": ("2", "4"), "extraction": ('["two days"]', "[]")}
    return [
        make_triplet(one, make_text(f"text {n}"), response=answers.get(one.type, ("good", "bad"))[n % 7 == 0])
        for one in questions()
        for n in range(TEXTS)
    ]


def write_run(folder: Path, base: Path, kept: int = 5) -> list[Triplet]:
    """A run in `folder`, which is the working one: of each question the first `kept` texts were trained on, and the
    last one has no score. The triplets of the extraction are the last of those returned."""
    raw = compose("smoke", ROOT / "profiles")
    raw["runtime"]["cache"] = str(folder / "cache")
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    put_domains(folder)
    made = triplets()
    scored = [make_score(one, (n % TEXTS) / TEXTS) for n, one in enumerate(made) if n % TEXTS != TEXTS - 1]
    trained = [one for n, one in enumerate(made) if n % TEXTS < kept]
    ids = {one.id for one in trained}
    TRIPLETS.write(made)
    write_scored(Path(SCORED), scored)
    SAMPLED.write([make_draw(score, score.triplet_id in ids) for score in scored])
    TRAINING.write(trained)
    INSTRUCTIONS.write(questions())
    write_perspectives(Path(CLUSTERS), [SCREEN, BATTERY], {"converged": True})
    rejects_of(TRAIN).write([])
    reference = ModelParams(reference=[f"path:{base}"], licence="Apache-2.0")
    identity = resolve_model("student", reference, cache_folder(str(folder / "cache")))
    BASE.write(identity.to_row())
    shutil.copytree(base, folder / STUDENT)
    provenance = {"base_id": identity.id, "system_prompt": SYSTEM, "triplet_ids_sha256": hash_json(sorted(ids))}
    write_json(folder / STUDENT / "student.json", provenance)
    return made
