"""A checkout in miniature: the stages that ask the teacher, run as they are, with an engine that answers by schema."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from compeffdist.artefacts import ATTRIBUTES, CLUSTERS, EVALUATION, SAMPLED, TEXTS, TRIPLETS
from compeffdist.artefacts import PAIRS as PAIRED
from compeffdist.canonical import hash_text
from compeffdist.exchange.questions import REPLAYS
from compeffdist.files import hash_file, write_json
from compeffdist.models import ModelIdentity, cache_folder, resolve_model
from compeffdist.params import ModelParams, RuntimeParams, TeacherParams, load_params
from compeffdist.profiles import compose
from compeffdist.record_files import write_perspectives
from compeffdist.teacher.engine import OnAnswer, OnFailure
from compeffdist.teacher.requests import Answer, Request
from compeffdist.teacher.spending import Meter, Spent
from tests.factories import make_draw, make_perspective, make_row, make_text
from tests.fakes import SENTIMENT, put_domains
from tests.models.making import make_folder
from tests.stages import ROOT, run_stage

THINGS, MOODS = ("film", "plot", "kettle", "radio"), ("great", "dreadful", "dull")
PAIRS, PART = 20, 12
WEIGHTS = "weights"
"""Folder of the teacher's."""
WORDS = ("amber", "brisk", "civil", "dense", "eager", "frail", "gaunt", "hardy", "ironic", "jaunty", "keen", "lofty")


def said(request: Request) -> Answer:
    """What a teacher says to a question: always the same, now and then nothing of use."""
    number = int(hash_text(request.prompt + "|".join(request.labels)), 16)
    if request.labels:
        scores = [1 + (number >> 8 * place) % 97 for place in range(len(request.labels))]
        logprobs = {label: math.log(s / sum(scores)) for label, s in zip(request.labels, scores, strict=True)}
        return Answer.of_labels(logprobs, 9, 4, 1)
    if number % 6 == 0:
        return Answer("no idea", None, 9, 4, 2, "stop")
    text = json.dumps(instance(json.loads(request.schema), number)) if request.schema else "quite something"
    return Answer(text, None, 9, 4, 2, "stop")


def instance(schema: dict[str, Any], number: int, name: str = "") -> Any:
    """A value that meets a schema of ours."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][number % len(schema["enum"])]
    match schema["type"]:
        case "object":
            return {
                key: instance(part, number // 7 + place, key)
                for place, (key, part) in enumerate(schema["properties"].items())
            }
        case "array":
            return [instance(schema["items"], number + place) for place in range(max(1, schema.get("minItems", 0)))]
        case "integer":
            return schema.get("minimum", 1)
        case "boolean":
            return bool(number % 2)
    words = [WORDS[(number + place) % len(WORDS)] for place in range(5 if name in ("description", "input") else 1)]
    return " ".join(words).ljust(schema.get("minLength", 0), "x")


@dataclass
class Engine:
    """Answers with `said`, and keeps what it was asked."""

    asked: list[Request] = field(default_factory=list)
    opened: int = 0
    name: str = "mini"
    starts: int = 1
    meter: Meter = field(default_factory=Meter)

    def open(
        self, identity: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None
    ) -> "Engine":
        assert folder is not None and (folder / "model.safetensors").exists()
        self.opened += 1
        return self

    def answer(self, requests: Sequence[Request], on_answer: OnAnswer, on_failure: OnFailure) -> None:
        self.asked += requests
        for index, request in enumerate(requests):
            answer = said(request)
            self.meter.count(answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens)
            on_answer(index, answer)

    def at_most(self, request: Request) -> Spent:
        return Spent()

    def close(self) -> None:
        pass


def never(identity: ModelIdentity, teacher: TeacherParams, runtime: RuntimeParams, folder: Path | None) -> Engine:
    """The opener of an engine that nothing may need."""
    raise AssertionError("an answer was to be bought")


@dataclass
class Checkout:
    """A folder in which the asking stages ran, and what they asked."""

    folder: Path
    engine: Engine

    def set(self, **runtime: Any) -> None:
        """Change params of `runtime`."""
        path = self.folder / "params.yaml"
        raw = yaml.safe_load(path.read_text())
        raw["runtime"] |= runtime
        path.write_text(yaml.safe_dump(raw))

    def artefacts(self) -> dict[str, str]:
        """SHA-256 by path of what the stages wrote, metrics apart: they tell where answers came from."""
        files = sorted((self.folder / "data").rglob("*"))
        return {str(path.relative_to(self.folder)): hash_file(path) for path in files if path.is_file()}

    def this_run(self) -> dict[str, dict[str, int]]:
        """By stage, where the answers came from."""
        read = {name: json.loads((self.folder / f"metrics/{name}.json").read_text()) for name in REPLAYS}
        return {name: metrics["teacher"]["this_run"] for name, metrics in read.items()}


@contextmanager
def checkout(folder: Path) -> Iterator[Checkout]:
    """Run every asking stage in a new folder, which is the working folder while this lasts."""
    with pytest.MonkeyPatch.context() as patch:
        enter(patch, folder)
        made = Checkout(folder, Engine())
        _write_inputs(folder)
        patch.setattr("compeffdist.teacher.asking.open_engine", made.engine.open)
        run_stages(first=True)
        yield made


def enter(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Work in a folder, with vectors in place of an embedder."""
    folder.mkdir(parents=True, exist_ok=True)
    patch.chdir(folder)
    put_domains()
    patch.delenv("COMPEFFDIST_CACHE", raising=False)
    patch.setattr("compeffdist.embedding.embed", lambda texts, folder, device: np.eye(len(texts)))


def run_stages(first: bool = False) -> None:
    """The stages that ask, and on a first run what stands between them."""
    run_stage("enumerate_attributes")
    if first:
        _cluster()
    run_stage("generate_tasks")
    run_stage("write_demonstrations")
    if first:
        run_stage("pair_texts")
    run_stage("collect_responses")
    if first:
        _sample()
    run_stage("collect_sampled")
    run_stage("evaluate_teacher")


def _write_inputs(folder: Path) -> None:
    raw: dict[str, Any] = compose("smoke", ROOT / "profiles")
    for seed, role in enumerate(("teacher", "student", "embedder")):
        weights = make_folder(folder / (WEIGHTS if role == "teacher" else role), seed=seed)
        reference = f"path:{weights}#sha256={hash_file(weights / 'model.safetensors')}"
        raw["models"][role] = {"reference": [reference], "licence": "MIT", "dtype": "float32"}
    raw["runtime"] |= {"cache": "cache", "store": "answers.sqlite"}
    raw["attributes"] |= {"texts": 6, "max_per_text": 4}
    raw["tasks"] |= {"per_perspective": 3, "analysis_per_perspective": 1, "near_duplicate_similarity": 0.99}
    raw["tasks"]["types"] = ["closed_classification", "scoring", "extraction", "open_classification", "structured"]
    raw["pairing"]["pairs"] = PAIRS
    raw["difficulty"] |= {"mode": "proxy", "proxy": {"rows": PART}}
    raw["warm_up"]["rows"] = 4
    (folder / "params.yaml").write_text(yaml.safe_dump(raw))
    params = load_params()
    for role in ("teacher", "embedder"):
        identity = resolve_model(role, ModelParams(**raw["models"][role]), cache_folder(params.runtime.cache))
        write_json(folder / f"models/{role}.json", identity.to_row())
    labels = SENTIMENT.monitored.labels
    TEXTS.write([make_text(f"the {thing} was {mood} as ever") for thing in THINGS for mood in MOODS])
    EVALUATION.write([make_row(t.name, f"nothing like {one}", one) for t in params.evaluation.tasks for one in labels])


def _cluster() -> None:
    write_perspectives(Path(CLUSTERS), [make_perspective(one) for one in ATTRIBUTES.read()[:4]], {})


def _sample() -> None:
    """Every pair is kept, those without an answer, too."""
    known = {triplet.pair_id: triplet for triplet in TRIPLETS.read()}
    drawn = [pair for pair in PAIRED.read() if pair.part == "predicted" or pair.id in known]
    SAMPLED.write([make_draw(pair, triplet_id=known[pair.id].id if pair.id in known else "") for pair in drawn])
