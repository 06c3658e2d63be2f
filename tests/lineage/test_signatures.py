"""What an audit says of signatures, and that promotion hears it."""

from pathlib import Path

import pytest
import yaml

from compeffdist.lineage.checkout import version_problems
from compeffdist.lineage.links import Link
from compeffdist.lineage.model_checks import signature_links
from compeffdist.params import SigningParams
from compeffdist.registry.artifacts import SIGNATURE, log_attachments, model_files
from compeffdist.registry.signing import sign_files
from compeffdist.registry.tracking import open_tracking
from tests.lineage.conftest import World
from tests.registry.test_signing import write_keys


def sign(world: World, private_key: Path) -> None:
    """Sign the newest version as registration does."""
    client, version = open_tracking(), world.versions[0]
    with model_files(client, version.name, str(version.number)) as files:
        signature = sign_files(files, private_key)
    run = str(client.get_model_version(version.name, str(version.number)).run_id)
    for tag, value in log_attachments(client, run, {SIGNATURE: signature}).items():
        client.set_model_version_tag(version.name, str(version.number), tag, value)


def links(world: World, **signing: object) -> list[Link]:
    return list(signature_links(world.versions[0], SigningParams.model_validate(signing)))


def test_unsigned_signed_and_invalid_are_told_apart(lone_world: World, tmp_path: Path) -> None:
    own, other = write_keys(tmp_path, "own"), write_keys(tmp_path, "other")
    key = str(own[1])
    assert links(lone_world) == []
    assert [(link.status, link.detail) for link in links(lone_world, public_key=key)] == [("SKIP", "unsigned")]
    [demanded] = links(lone_world, public_key=key, required=True)
    assert demanded.status == "FAIL" and demanded.detail.startswith("unsigned, and signing.required")

    sign(lone_world, own[0])
    assert [link.status for link in links(lone_world)] == ["SKIP"]
    [held] = links(lone_world, public_key=key, required=True)
    assert (held.check, held.status) == ("signature", "PASS") and "own.pub" in held.detail
    [strange] = links(lone_world, public_key=str(other[1]))
    assert strange.status == "FAIL" and strange.detail.startswith("invalid: ")

    version = lone_world.versions[0]
    with model_files(open_tracking(), version.name, str(version.number)) as files:
        weights = next(files.glob("artifacts/student/*.safetensors"))
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    [broken] = links(lone_world, public_key=key)
    assert broken.detail == f"invalid: artifacts/student/{weights.name} was changed"


def test_promotion_is_refused_what_has_no_signature_that_holds(
    lone_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = write_keys(tmp_path, "own"), write_keys(tmp_path, "other")
    number = lone_world.versions[0].number

    def problems(**signing: object) -> list[str]:
        params = yaml.safe_load(Path("params.yaml").read_text())
        params["registry"]["model_name"] = lone_world.versions[0].name
        Path("params.yaml").write_text(yaml.safe_dump(params | {"signing": signing}, sort_keys=False))
        return [line for line in version_problems(number) if line.startswith("signature")]

    assert problems(public_key=str(own[1])) == []
    assert "unsigned" in problems(public_key=str(own[1]), required=True)[0]
    sign(lone_world, other[0])
    assert "invalid" in problems(public_key=str(own[1]))[0]
    sign(lone_world, own[0])
    assert problems(public_key=str(own[1]), required=True) == []
