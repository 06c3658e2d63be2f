"""Stage cluster_attributes: counted attributes become analytical perspectives."""

from compeffdist.artefacts import ATTRIBUTE_MAP, ATTRIBUTES, CLUSTERS
from compeffdist.embedding import stage_embedder
from compeffdist.given import Given, Made
from compeffdist.instructions.attribute_map import attribute_map
from compeffdist.instructions.cluster_attributes import cluster_attributes
from compeffdist.record_files import write_perspectives


def run(given: Given) -> Made:
    attributes, embed = given[ATTRIBUTES], stage_embedder(given)
    vectors = embed([attribute.name for attribute in attributes])
    perspectives, diagnostics = cluster_attributes(attributes, vectors, given.params.clusters, given.seed)
    write_perspectives(given.out(CLUSTERS), perspectives, diagnostics)
    return Made({ATTRIBUTE_MAP: attribute_map(attributes, vectors, given.seed)}, metrics=diagnostics)
