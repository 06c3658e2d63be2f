"""Stage resolve_models: teacher, student and embedder become local weights and identities.

The weights stay in the cache (params.runtime.cache): downloaded and converted once, shared by all checkouts. A teacher
whose identity is in a record of params.runtime.recorded is fetched when an answer has to be bought, not here.
"""

from compeffdist.artefacts import BASE, EMBEDDER, TEACHER
from compeffdist.given import Given, Made
from compeffdist.models import cache_folder, resolve_model
from compeffdist.teacher.recorded import recorded_identities


def run(given: Given) -> Made:
    models, runtime = given.params.models, given.params.runtime
    cache = cache_folder(runtime.cache)
    identities = {
        TEACHER: resolve_model("teacher", models.teacher, cache, recorded_identities(runtime)),
        BASE: resolve_model("student", models.student, cache),
        EMBEDDER: resolve_model("embedder", models.embedder, cache),
    }
    # a model behind an API has no known size: its row is left out rather than filled with a number
    sizes = {
        identity.role: {"parameters": identity.parameters, "weight_bytes": identity.weight_bytes}
        for identity in identities.values()
        if not identity.served_name
    }
    return Made({path: identity.to_row() for path, identity in identities.items()}, metrics=sizes)
