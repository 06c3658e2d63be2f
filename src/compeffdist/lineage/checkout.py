"""The lineage of the checkout one works in: its repository, registry, answers and ledgers, opened as params.yaml names
them. All raise UserError if one of them cannot be read. What only one command needs is imported for that alone."""

from functools import partial
from typing import TYPE_CHECKING

from compeffdist.artefacts import REGISTRATION
from compeffdist.files import home_path
from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.trace import Tracer
from compeffdist.lineage.versions import Version, absent_store, find_version, read_versions
from compeffdist.models import cache_folder
from compeffdist.params import Params, load_params
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import named_records
from compeffdist.texts.withdrawals import WITHDRAWALS

if TYPE_CHECKING:
    from compeffdist.lineage.audit import Auditor
    from compeffdist.lineage.forget import Forgetting


def open_tracer() -> Tracer:
    """A tracer over the working folder."""
    _, repository, versions, known = _opened()
    return Tracer(repository, versions, known, Ledger(PROMOTIONS).entries(), absent_registry(repository))


def open_auditor() -> "Auditor":
    """An auditor over the working folder."""
    from compeffdist.lineage.audit import Auditor

    params, repository, versions, known = _opened()
    cache, ledgers = cache_folder(params.runtime.cache), (PROMOTIONS, WITHDRAWALS)
    return Auditor(repository, versions, known, cache, ledgers, params.signing)


def open_forgetting() -> "Forgetting":
    """What withdraws texts from the working folder."""
    from compeffdist.exchange.questions import questions_of
    from compeffdist.lineage.forget import Forgetting
    from compeffdist.texts.ingest_texts import whole_ids

    params, repository, versions, known = _opened()
    whole = partial(whole_ids, params.texts, cache_folder(params.runtime.cache))
    unlooked = list(filter(None, [absent_registry(repository)]))
    return Forgetting(repository, versions, known, whole, partial(questions_of, params, known), unlooked)


def version_problems(number: int) -> list[str]:
    """What an audit finds wrong with a model version and with the data it was trained on, one line each; empty if the
    version is sound. Raises UserError if there is no such version, too."""
    auditor = open_auditor()
    audit = auditor.version_audit(find_version(auditor.versions, str(number)))
    return [f"{link.check} {link.subject}: {link.detail}" for link in audit.failures]


def _opened() -> tuple[Params, Repository, list[Version], KnownAnswers]:
    params, repository = load_params(), Repository()
    versions = read_versions(repository, params.registry.model_name)
    return params, repository, versions, KnownAnswers(home_path(params.runtime.store), named_records(params.runtime))


def absent_registry(repository: Repository) -> str:
    """A line on the registry if a version was registered, but not in a store that is here; else empty."""
    absent = absent_store(repository)
    if not absent or not (repository.root / REGISTRATION).exists():
        return ""
    return f"the registry of the version in {REGISTRATION}: there is no {absent} here (MLFLOW_TRACKING_URI)"
