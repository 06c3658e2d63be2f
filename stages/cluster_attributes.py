"""Stage cluster_attributes: counted attributes become analytical perspectives."""

from pathlib import Path

from compeffdist.embedding import embed
from compeffdist.files import write_json
from compeffdist.instructions.clusters import cluster_attributes, write_perspectives
from compeffdist.models import cache_folder, model_folder, read_identity
from compeffdist.params import load_params, stage_seed
from compeffdist.record_files import read_records
from compeffdist.records import Attribute
from compeffdist.running import run_stage

STAGE = "cluster_attributes"


def main() -> None:
    params = load_params()
    attributes = read_records(Path("data/attributes.parquet"), Attribute)
    folder = model_folder(read_identity(Path("models/embedder.json")), cache_folder(params.runtime.cache))
    vectors = embed([attribute.name for attribute in attributes], folder, params.runtime.device)
    seed = stage_seed(params.seed, STAGE)
    perspectives, diagnostics = cluster_attributes(attributes, vectors, params.clusters, seed)
    write_perspectives(Path("data/clusters.json"), perspectives, diagnostics)
    write_json(Path("metrics/cluster_attributes.json"), diagnostics)


if __name__ == "__main__":
    run_stage(main)
