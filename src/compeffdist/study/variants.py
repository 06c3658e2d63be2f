"""The same triplets scored in other ways: another top-p, a warm-up of another size, another seed.

A variant is scored as the pipeline would score it with that one setting changed. What a variant depends on is
hashed into the name of its file, so that one that was scored before, by whatever command, is not scored
again. The warm-up of a variant is trained in a temporary folder and let go.
"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from compeffdist.artefacts import BASE, TRIPLETS, WARM_UP
from compeffdist.difficulty.passes import code_versions
from compeffdist.difficulty.score_difficulty import STAGE as SCORING_STAGE
from compeffdist.difficulty.score_difficulty import score_triplets
from compeffdist.domain import domain_of
from compeffdist.errors import UserError
from compeffdist.files import hash_file
from compeffdist.fingerprints import own_fingerprint
from compeffdist.measures.registry import COLUMNS
from compeffdist.models import ModelIdentity, cache_folder, model_folder, read_identity
from compeffdist.params import Params, validate_params
from compeffdist.record_files import write_records
from compeffdist.records import ScoredTriplet, content_id
from compeffdist.seeds import stage_seed
from compeffdist.student.loading import student_id, system_prompt_of
from compeffdist.student.runs import WARM_UP as WARM_UP_STAGE
from compeffdist.student.runs import warm_up_rows
from compeffdist.student.training import fine_tune
from compeffdist.study.measures import Scores, read_scores


@dataclass(frozen=True)
class Variant:
    """A scorer that differs from the pipeline's in one setting."""

    name: str
    """The setting and its value, as in params."""
    params: Params
    """With that setting."""
    retrained: bool
    """Whether the warm-up is another, or only how it is asked."""


def make_variants(
    params: Params, top_ps: Sequence[float] = (), warm_up_rows: Sequence[int] = (), seeds: Sequence[int] = ()
) -> list[Variant]:
    """A variant for every value that is not already the pipeline's. Raises UserError if a value is none the params
    allow."""
    settings: list[tuple[str, float]] = [("difficulty.top_p", value) for value in top_ps]
    settings += [("warm_up.rows", value) for value in warm_up_rows] + [("seed", value) for value in seeds]
    variants = [_variant(params, key, value) for key, value in dict.fromkeys(settings)]
    return [variant for variant in variants if variant.params != params]


def _variant(params: Params, key: str, value: float) -> Variant:
    raw = params.model_dump()
    *sections, last = key.split(".")
    target = raw
    for section in sections:
        target = target[section]
    target[last] = value
    return Variant(f"{key}={value:g}", validate_params(raw, f"{key}={value:g}"), retrained=key != "difficulty.top_p")


def score_variants(variants: Iterable[Variant], folder: Path) -> list[Scores]:
    """Scores of each variant, from `folder` if they are there, else made and put there. Raises UserError as training
    and scoring do; or none of a variant's rows could be scored."""
    base = read_identity(Path(BASE))
    return [read_scores(_scored(variant, base, folder), variant.name) for variant in variants]


def _scored(variant: Variant, base: ModelIdentity, folder: Path) -> Path:
    params = variant.params
    system = domain_of(params).system_prompts.student
    if not variant.retrained:  # asked under the prompt that it was trained under
        system = system_prompt_of(Path(WARM_UP), otherwise=system)
    depends = {
        "triplets": hash_file(Path(TRIPLETS)),
        "difficulty": params.difficulty.model_dump(),
        "base": base.id,
        "system": system,
        "code": [own_fingerprint(stage) for stage in (SCORING_STAGE, WARM_UP_STAGE)],
        "libraries": code_versions(),
        "warm_up": [params.warm_up.model_dump(), params.seed] if variant.retrained else student_id(Path(WARM_UP)),
    }
    target = folder / f"{content_id('variant', depends)}.parquet"
    if target.exists():
        return target
    triplets, base_folder = TRIPLETS.read(), model_folder(base, cache_folder(params.runtime.cache))
    with tempfile.TemporaryDirectory() as scratch:
        warm_up = Path(WARM_UP)
        if variant.retrained:
            warm_up = Path(scratch) / "warmup"
            rows = warm_up_rows(Path(TRIPLETS), params)
            if len(rows) < params.warm_up.rows:
                raise UserError(f"{variant.name}: there are only {len(rows)} triplets")
            fine_tune(
                base_folder,
                rows,
                params.warm_up.training,
                base_id=base.id,
                system=system,
                seed=stage_seed(params.seed, WARM_UP_STAGE),
                output=warm_up,
                stage=variant.name,
                device=params.runtime.device,
            )
        scored, _ = score_triplets(  # what has no score is counted when runs are compared
            triplets,
            warm_up,
            params.difficulty,
            params.runtime,
            weights=student_id(warm_up),
            system=system,
            base_folder=base_folder,
        )
    write_records(target, ScoredTriplet, scored, COLUMNS)
    return target
