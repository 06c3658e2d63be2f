"""`compeffdist cluster`: perspectives from any list of attributes, without the rest of the pipeline."""

import argparse
import json
from pathlib import Path
from typing import Any, get_args

from compeffdist.errors import UserError, one_line
from compeffdist.params import PARAMS_FILE, ClustersParams, ModelParams, Params, RuntimeParams, checked, load_params
from compeffdist.record_files import read_records
from compeffdist.records import Attribute, Perspective
from compeffdist.seeds import stage_seed
from compeffdist.texts.json_values import read_document, repeated_key
from compeffdist.texts.normalise import whole_characters

HELP = "group attributes into perspectives by affinity propagation over their embeddings"
EXAMPLE = "compeffdist cluster --attributes data/attributes.parquet --out perspectives.json"

DEFAULT_SEED = 42
MOST = 2**53
"""Of a count; beyond it, whole numbers are rounded."""
SHOWN = 10
"""Perspectives printed; all are in the file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; what is not given is as in params.yaml, else each param's own default."""
    add = parser.add_argument
    weightings = get_args(ClustersParams.model_fields["weighting"].annotation)
    add(
        "--attributes",
        required=True,
        type=Path,
        metavar="FILE",
        help='attributes.parquet, or JSON: [{"attribute": NAME, "count": N}, …]',
    )
    add("--out", required=True, type=Path, metavar="FILE", help="where to write the perspectives (JSON)")
    add("--embedder", metavar="REF", help="model reference, e.g. path:FOLDER or hf:REPO@REVISION")
    add("--preference-percentile", type=float, metavar="Q", help="0-100; higher gives more perspectives")
    add("--damping", type=float, metavar="D", help="0.5 to below 1; raise it if there is no convergence")
    add("--weighting", choices=weightings, help="how counts weigh")
    add("--json", action="store_true", help="print the diagnostics as JSON")


def run(args: argparse.Namespace) -> None:
    """Read attributes, embed, cluster, write; print a summary."""
    params = load_params() if PARAMS_FILE.exists() else None
    embedder = _embedder(params, args)
    clusters = _override(params.clusters if params else ClustersParams(), args)
    runtime = params.runtime if params else RuntimeParams()
    attributes = read_attributes(args.attributes)
    if not attributes:
        raise UserError(f"{args.attributes}: no attributes in it")

    from compeffdist.embedding import embed
    from compeffdist.instructions.cluster_attributes import cluster_attributes
    from compeffdist.models import cache_folder, model_folder, resolve_model
    from compeffdist.record_files import write_perspectives

    cache = cache_folder(runtime.cache)
    folder = model_folder(resolve_model("embedder", embedder, cache), cache)
    vectors = embed([attribute.name for attribute in attributes], folder, runtime.device)
    seed = stage_seed(params.seed if params else DEFAULT_SEED, "cluster_attributes")
    perspectives, diagnostics = cluster_attributes(attributes, vectors, clusters, seed)
    write_perspectives(args.out, perspectives, diagnostics)
    print(json.dumps(diagnostics) if args.json else _summary(perspectives, diagnostics, args.out))


def read_attributes(source: Path) -> list[Attribute]:
    """Attributes from a Parquet artefact or a JSON list of objects with `attribute` (or `name`) and `count`. Raises
    UserError naming the file and the item that is not as described."""
    if source.suffix != ".json":
        return read_records(source, Attribute)
    items = read_document(source)
    if not isinstance(items, list):
        raise UserError(f'{source}: expected a list of {{"attribute": NAME, "count": N}}')
    attributes = [_attribute(item, f"{source}: item {number}") for number, item in enumerate(items, 1)]
    numbers: dict[str, int] = {}
    for number, attribute in enumerate(attributes, 1):
        if attribute.name in numbers:
            raise UserError(
                f"{source}: items {numbers[attribute.name]} and {number} are both {one_line(attribute.name, 80)!r}; "
                "add up their counts"
            )
        numbers[attribute.name] = number
    return attributes


def _attribute(item: Any, where: str) -> Attribute:
    if not isinstance(item, dict):
        raise UserError(f"{where}: expected an object with attribute and count")
    if (twice := repeated_key(item, ("attribute", "name", "count"))) is not None:
        raise UserError(f"{where} has the key {twice!r} more than once; rename one")
    name, count = item.get("attribute", item.get("name")), item.get("count")
    name = whole_characters(name) if isinstance(name, str) else ""  # half a character is in no model's alphabet
    if not name.strip():
        raise UserError(f"{where}: attribute must be a non-empty string")
    if type(count) is not int or not 1 <= count <= MOST:
        raise UserError(f"{where} ({one_line(name, 80)!r}): count must be a whole number of at least 1, at most {MOST}")
    # such a list does not say in how many texts an attribute was found; clustering does not ask
    return Attribute(name=name, count=count, text_count=count, raw_names=[name], descriptions=[])


def _embedder(params: Params | None, args: argparse.Namespace) -> ModelParams:
    if args.embedder:
        return ModelParams(reference=[args.embedder], licence="unstated", dtype="float32")
    if params is None:
        raise UserError(f"there is no {PARAMS_FILE} here that names an embedder: give --embedder, or run in a checkout")
    return params.models.embedder


def _override(params: ClustersParams, args: argparse.Namespace) -> ClustersParams:
    names = ("preference_percentile", "damping", "weighting")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    return checked(ClustersParams, **params.model_dump() | given)


def _summary(perspectives: list[Perspective], diagnostics: dict[str, Any], out: Path) -> str:
    sizes = diagnostics["sizes"]
    lines = [
        f"{diagnostics['attributes']} attributes in {diagnostics['clusters']} perspectives of {sizes['min']} to "
        f"{sizes['max']} (median {sizes['median']:g}), after {diagnostics['iterations']} iterations"
    ]
    for perspective in perspectives[:SHOWN]:
        members = one_line(", ".join(perspective.member_names[:5]), limit=100)
        lines.append(f"  {perspective.total_count:>7}  {members}")
    return "\n".join([*lines, f"written to {out}"])
