"""The lineage of the checkout one works in: its repository, registry, response store and ledgers, opened."""

from functools import partial

from compeffdist.artefacts import REGISTRATION
from compeffdist.exchange.questions import questions_of
from compeffdist.files import home_path
from compeffdist.ledger import PROMOTIONS, Ledger
from compeffdist.lineage.audit import Auditor
from compeffdist.lineage.forget import Forgetting
from compeffdist.lineage.repository import Repository
from compeffdist.lineage.trace import Tracer
from compeffdist.lineage.versions import absent_store, read_versions
from compeffdist.models import cache_folder
from compeffdist.params import load_params
from compeffdist.teacher.known import KnownAnswers
from compeffdist.teacher.recorded import named_records
from compeffdist.texts.ingest_texts import whole_ids
from compeffdist.texts.withdrawals import WITHDRAWALS


def open_tracer() -> Tracer:
    """A tracer over the working folder, as params.yaml names store and registry.

    Raises:
        UserError: if one of them cannot be read.
    """
    params = load_params()
    repository = Repository()
    return Tracer(
        repository,
        read_versions(repository, params.registry.model_name),
        known=KnownAnswers(home_path(params.runtime.store), named_records(params.runtime)),
        ledger=Ledger(PROMOTIONS).entries(),
        unlooked=absent_registry(repository),
    )


def open_auditor() -> Auditor:
    """An auditor over the working folder. Raises UserError as `open_tracer`."""
    params = load_params()
    repository = Repository()
    return Auditor(
        repository,
        read_versions(repository, params.registry.model_name),
        home_path(params.runtime.store),
        cache_folder(params.runtime.cache),
        (PROMOTIONS, WITHDRAWALS),
        tuple(named_records(params.runtime)),
    )


def open_forgetting() -> Forgetting:
    """What withdraws texts from the working folder. Raises UserError as `open_tracer`."""
    params = load_params()
    repository = Repository()
    versions = read_versions(repository, params.registry.model_name)
    texts, cache = params.texts, cache_folder(params.runtime.cache)
    whole = partial(whole_ids, texts, cache)
    records = named_records(params.runtime)
    known = KnownAnswers(home_path(params.runtime.store), records)
    questions = partial(questions_of, params, known)
    store, absent = home_path(params.runtime.store), absent_registry(repository)
    unlooked = [absent] if absent else []
    return Forgetting(repository, versions, store, whole, records=records, questions=questions, unlooked=unlooked)


def absent_registry(repository: Repository) -> str:
    """A line on the registry if a version was registered, but not in a store that is here; else empty."""
    absent = absent_store(repository)
    if not absent or not (repository.root / REGISTRATION).exists():
        return ""
    return f"the registry of the version in {REGISTRATION}: there is no {absent} here (MLFLOW_TRACKING_URI)"
