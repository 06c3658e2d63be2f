"""Data shared by an S3 bucket: pushed from one checkout, pulled in a clone, audited there, purged."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compeffdist.errors import UserError
from tests.lineage.conftest import World, learnt_text

pytestmark = pytest.mark.pipeline

BUCKET = "shared"
SECRET = "between-us-only-0123456789"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "team",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a server on this machine that speaks S3, which takes any credentials, but not none."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket, by boto3."""
    import boto3

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    made = boto3.resource("s3", endpoint_url=endpoint).create_bucket(Bucket=BUCKET)
    yield made
    made.objects.all().delete()
    made.delete()


def pushed(world: World, endpoint: str) -> World:
    """The world with a remote that its data was pushed to."""
    world.run("dvc", "remote", "add", "-d", "shared", f"s3://{BUCKET}/data")
    world.run("dvc", "remote", "modify", "shared", "endpointurl", endpoint)
    world.commit("remote")
    world.run("dvc", "push", "-q")
    return world


def cloned(world: World, folder: Path) -> World:
    world.run("git", "clone", "-q", ".", str(folder))
    return World(folder, world.uri)


def test_a_clone_that_pulled_runs_nothing_and_audits(
    own_world: World, endpoint: str, bucket: Any, tmp_path: Path
) -> None:
    clone = cloned(pushed(own_world, endpoint), tmp_path / "clone")
    clone.run("dvc", "pull", "-q")
    assert clone.run("dvc", "status").strip() == "Data and pipelines are up to date."
    assert "Running stage" not in clone.run("dvc", "repro", "--dry")
    audit = clone.auditor().audit()
    assert audit.passed, audit.failures
    assert not [path for path in (clone.folder / ".dvc").glob("config*") if SECRET in path.read_text()]


@pytest.mark.parametrize("verified", [False, True])
def test_an_object_that_was_changed_in_the_bucket_is_told(
    own_world: World, endpoint: str, bucket: Any, tmp_path: Path, verified: bool
) -> None:
    """DVC takes what a bucket gives for what was put there, unless it is told to hash it; the audit does."""
    md5 = str(pushed(own_world, endpoint).repository.locks()[0].md5("data/pairs.parquet"))
    kept = bucket.Object(f"data/files/md5/{md5[:2]}/{md5[2:]}")
    body = bytearray(kept.get()["Body"].read())
    body[len(body) // 2] ^= 1
    kept.put(Body=bytes(body))
    clone = cloned(own_world, tmp_path / "clone")
    if verified:
        clone.run("dvc", "remote", "modify", "shared", "verify", "true")
        with pytest.raises(pytest.fail.Exception, match="data/pairs"):
            clone.run("dvc", "pull")
    else:
        clone.run("dvc", "pull", "-q")
    assert (clone.folder / "data/pairs.parquet").exists() != verified
    found = [str(link) for link in clone.auditor().audit().failures]
    assert any("data/pairs.parquet" in line for line in found), found


def test_a_withdrawn_text_is_purged_from_the_bucket(
    lone_world: World, endpoint: str, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed(lone_world, endpoint)
    text = learnt_text(lone_world)
    forgetting = lone_world.forgetting()
    forgetting.apply(forgetting.plan(text.id))
    lone_world.repro()
    lone_world.commit("without it")
    lone_world.register(monkeypatch)
    plan = lone_world.forgetting().plan(text.id)
    there = {holding.name for holding in plan.holdings if holding.kind == "remote object"}
    before = {kept.key.removeprefix("data/files/md5/").replace("/", "") for kept in bucket.objects.all()}
    assert there and there <= before
    lone_world.forgetting().purge(plan)
    after = {kept.key.removeprefix("data/files/md5/").replace("/", "") for kept in bucket.objects.all()}
    assert after == before - there


@pytest.mark.parametrize(
    ("setting", "value"),
    [("url", f"s3://{BUCKET}-that-is-not-there/data"), ("endpointurl", "http://127.0.0.1:9")],
    ids=["no such bucket", "nobody answers"],
)
def test_a_bucket_that_cannot_be_asked_is_no_empty_one(
    own_world: World, endpoint: str, bucket: Any, setting: str, value: str
) -> None:
    text = learnt_text(pushed(own_world, endpoint))
    own_world.run("dvc", "remote", "modify", "shared", setting, value)
    with pytest.raises(UserError, match=r"^DVC remote shared: ") as stop:
        own_world.forgetting().plan(text.id)
    assert "\n" not in str(stop.value) and SECRET not in str(stop.value)
