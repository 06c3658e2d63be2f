"""Stages asked of one server and of three: artefacts have the same bytes, whichever replica gave an answer."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from compeffdist.artefacts import ATTRIBUTES, EVALUATION, TEXTS
from compeffdist.canonical import hash_text
from compeffdist.files import hash_file, write_json
from compeffdist.models import cache_folder, resolve_model
from compeffdist.params import ModelParams, load_params
from compeffdist.profiles import compose
from tests.exchange.world import MOODS, THINGS, enter, instance
from tests.factories import make_row, make_text
from tests.fakes import SENTIMENT
from tests.stages import ROOT, run_stage
from tests.teacher.openai_asking import fast_and_bare
from tests.teacher.server import Body, Reply, chat_reply, serving

__all__ = ["fast_and_bare"]


def respond(body: Body, _: int) -> Reply:
    """The same to the same question, by any server; labels are chosen."""
    number = int(hash_text(body["messages"][-1]["content"]), 16)
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    return Reply(chat_reply(json.dumps(instance(schema, number)) if schema else f"words {number % 97}"))


def run_at(servers: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """SHA-256 by path of what two stages write that ask so many servers."""
    with ExitStack() as stack:
        fakes = [stack.enter_context(serving(respond)) for _ in range(servers)]
        enter(monkeypatch, folder)
        raw: dict[str, Any] = compose("smoke", ROOT / "profiles")
        raw["models"]["teacher"]["reference"] = ["api:big@here"]
        raw["teacher"]["engine"] = "openai"
        raw["attributes"]["texts"] = 9
        urls = [fake.url for fake in fakes]
        address = urls if servers > 1 else urls[0]
        raw["runtime"] |= {"cache": "cache", "store": "answers.sqlite", "openai_base_url": address, "concurrency": 3}
        Path("params.yaml").write_text(yaml.safe_dump(raw))
        params = load_params()
        identity = resolve_model("teacher", ModelParams(**raw["models"]["teacher"]), cache_folder(params.runtime.cache))
        write_json(Path("models/teacher.json"), identity.to_row())
        TEXTS.write([make_text(f"the {thing} was {mood} as ever") for thing in THINGS for mood in MOODS])
        tasks, labels = params.evaluation.tasks, SENTIMENT.monitored.labels
        EVALUATION.write([make_row(task.name, f"nothing like {one}", one) for task in tasks for one in labels])
        run_stage("enumerate_attributes")
        run_stage("evaluate_teacher")
        assert ATTRIBUTES.read()
        assert all(fake.bodies for fake in fakes)
        files = sorted(path for path in Path("data").rglob("*") if path.is_file())
        return {str(path): hash_file(path) for path in files}


def test_artefacts_have_the_same_bytes_at_one_server_and_at_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, three = (run_at(servers, tmp_path / str(servers), monkeypatch) for servers in (1, 3))
    assert len(one) > 2
    assert three == one
