"""Signatures at promotion and rollback: a missing one may be overridden on record, an invalid one never."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compeffdist.errors import UserError
from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.lineage.model_checks import signature_links
from compeffdist.lineage.versions import Version
from compeffdist.params import Params, SigningParams
from compeffdist.promotion.promote import Audit, promote, rollback
from compeffdist.registry.artifacts import SIGNATURE, log_attachments, model_files
from compeffdist.registry.signing import sign_files
from compeffdist.registry.tracking import open_tracking
from tests.promotion.versions import audit_clean, make_version
from tests.registry.test_signing import write_keys

GOOD, BETTER = {"films": 34, "tweets": 34}, {"films": 38, "tweets": 38}
Aliases = Callable[[], dict[str, int]]


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "own")


@pytest.fixture
def signing(params: Params, keys: tuple[Path, Path]) -> Params:
    """Params by which versions are to be signed."""
    demanded = SigningParams(public_key=str(keys[1]), required=True)
    return params.model_copy(update={"signing": demanded})


def sign(params: Params, number: int, private_key: Path) -> int:
    client, name = open_tracking(), params.registry.model_name
    with model_files(client, name, number) as files:
        signature = sign_files(files, private_key)
    run = str(client.get_model_version(name, str(number)).run_id)
    for tag, value in log_attachments(client, run, {SIGNATURE: signature}).items():
        client.set_model_version_tag(name, str(number), tag, value)
    return number


def alter(params: Params, number: int) -> None:
    with model_files(open_tracking(), params.registry.model_name, number) as files:
        (files / "weights.bin").write_bytes(b"Weights")


def plant(params: Params, number: int) -> None:
    """Bytecode that Python would run in place of the signed source; bytecode is not signed."""
    with model_files(open_tracking(), params.registry.model_name, number) as files:
        (files / "code/__pycache__").mkdir(parents=True)
        (files / "code/__pycache__/served.cpython-311.pyc").write_bytes(b"theirs")


def audit_of_signatures(params: Params) -> Audit:
    def audit(number: int) -> list[str]:
        version = Version(params.registry.model_name, number, (), {}, "")
        return [link.detail for link in signature_links(version, params.signing) if link.status == "FAIL"]

    return audit


@pytest.mark.parametrize("override", [None, "because"])
def test_no_override_makes_altered_files_champion(
    signing: Params, keys: tuple[Path, Path], tmp_path: Path, aliases: Aliases, override: str | None
) -> None:
    altered = sign(signing, make_version(signing, GOOD), keys[0])
    strange = sign(signing, make_version(signing, GOOD), write_keys(tmp_path, "other")[0])
    planted = sign(signing, make_version(signing, GOOD), keys[0])
    alter(signing, altered)
    plant(signing, planted)
    for version, told in (
        (altered, r"weights\.bin was changed$"),
        (strange, ""),
        (planted, r"code/__pycache__/served\.cpython-311\.pyc is not bytecode of the source beside"),
    ):
        with pytest.raises(UserError, match=f"^the signature of version {version} of .* is invalid: {told}") as error:
            promote(version, signing, audit_clean, override=override)
        assert "\n" not in str(error.value)
    assert aliases() == {} and not PROMOTIONS.exists()


def test_nor_does_one_return_to_a_champion_whose_files_were_altered_since(
    signing: Params, keys: tuple[Path, Path], aliases: Aliases
) -> None:
    first, second = (sign(signing, make_version(signing, right), keys[0]) for right in (GOOD, BETTER))
    for version in (first, second):
        assert promote(version, signing, audit_clean).entry is not None
    alter(signing, first)
    with pytest.raises(UserError, match=r"weights\.bin was changed"):
        rollback(signing, audit_clean, override="because")
    assert aliases() == {"champion": second, "former-champion": first}
    assert len(Ledger(PROMOTIONS).entries()) == 2


def test_a_version_without_a_signature_is_overridden_on_record(signing: Params, aliases: Aliases) -> None:
    version, audit = make_version(signing, GOOD), audit_of_signatures(signing)
    [reason] = promote(version, signing, audit).reasons
    assert reason.startswith("audit: unsigned, and signing.required") and aliases() == {}
    promote(version, signing, audit, override="from before there were keys")
    body = Ledger(PROMOTIONS).entries()[0].body
    assert aliases() == {"champion": version}
    assert (body["override"], body["failed"]) == ("from before there were keys", [reason])


def test_what_was_signed_and_lies_as_it_was_is_promoted(
    signing: Params, keys: tuple[Path, Path], aliases: Aliases
) -> None:
    version = sign(signing, make_version(signing, GOOD), keys[0])
    assert promote(version, signing, audit_of_signatures(signing)).reasons == []
    assert aliases() == {"champion": version}
