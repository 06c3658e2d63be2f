"""Stage resolve_models: teacher, student and embedder become local weights and identity cards.

Reads params.models; writes models/{teacher,student,embedder}.json and metrics/resolve_models.json. The
weights stay in the cache (params.runtime.cache): downloaded and converted once, shared by all checkouts. A teacher
whose card is in a record of params.runtime.recorded is fetched when an answer has to be bought, not here.
"""

from pathlib import Path

from compeffdist.files import write_json
from compeffdist.models import cache_folder, resolve_model
from compeffdist.params import load_params
from compeffdist.running import run_stage
from compeffdist.teacher.recorded import recorded_cards


def main() -> None:
    params = load_params()
    cache = cache_folder(params.runtime.cache)
    identities = {
        "teacher": resolve_model("teacher", params.models.teacher, cache, recorded_cards(params.runtime)),
        "student": resolve_model("student", params.models.student, cache),
        "embedder": resolve_model("embedder", params.models.embedder, cache),
    }
    for role, identity in identities.items():
        write_json(Path("models") / f"{role}.json", identity.to_json())
    # a model behind an API has no known size: its row is left out rather than filled with a number
    sizes = {
        role: {"parameters": identity.parameters, "weight_bytes": identity.weight_bytes}
        for role, identity in identities.items()
        if not identity.served_name
    }
    write_json(Path("metrics") / "resolve_models.json", sizes)


if __name__ == "__main__":
    run_stage(main)
