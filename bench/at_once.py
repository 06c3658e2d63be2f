"""What needs all texts or all attributes at once, and stays on one node: python bench/at_once.py

Near-duplicates of texts and clusters of attributes, each size in a process of its own: seconds of CPU, and the most
memory that it held. Texts are those of the default run's package corpora and, beyond their number, halves of two of
them put together; one in ten is another with a word more. Attributes are made up: unit vectors around random centres.
Linux only: peaks are read from /proc.
"""

import argparse
import multiprocessing
import random
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from compeffdist.instructions.cluster_attributes import cluster_attributes
from compeffdist.models import cache_folder
from compeffdist.params import load_params
from compeffdist.peaks import peak_memory
from compeffdist.records import Attribute
from compeffdist.texts.corpora import load_corpus
from compeffdist.texts.duplicates import near_duplicates
from compeffdist.texts.normalise import normalise

PARAMS = load_params(Path(__file__).parents[1] / "params.yaml")
DIMENSIONS = 384
"""Of a vector, as the default embedder makes them."""
PER_CENTRE = 10
"""Attributes around a centre."""
SPREAD = 0.6
"""Standard deviation around it; the centre has length 1."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--texts", type=int, nargs="*", default=[50_000, 200_000], help="numbers of texts")
    parser.add_argument("--attributes", type=int, nargs="*", default=[1500, 3000], help="numbers of attributes")
    args = parser.parse_args()
    for size in args.texts:
        measure(f"near-duplicates of {size:,} texts", find_duplicates, size)
    for size in args.attributes:
        measure(f"clusters of {size:,} attributes", cluster, size)


def measure(name: str, work: Callable[[int], str], size: int) -> None:
    """Do it in a fresh process, and print what it took."""
    process = multiprocessing.get_context("spawn").Process(target=_told, args=(name, work, size))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"error: {name}: left with {process.exitcode}")


def _told(name: str, work: Callable[[int], str], size: int) -> None:
    print(f"{name}: {work(size)}, {peak_memory() / 2**30:.2f} GiB", flush=True)


def find_duplicates(size: int) -> str:
    texts = {f"{number:08}": text for number, text in enumerate(islice(some_texts(), size))}
    start = time.process_time()
    dropped = near_duplicates(texts, PARAMS.texts.near_duplicate_similarity)
    return f"{len(dropped):,} found, {time.process_time() - start:.1f} s of CPU"


def some_texts() -> Iterator[str]:
    """Without end; every tenth is one before it with a word more."""
    sources = [source for source in PARAMS.texts.sources if source.kind == "package"]
    folder, longest = cache_folder(PARAMS.runtime.cache), PARAMS.texts.max_characters
    found = (row.text for one in sources for row in load_corpus(one.location, one.part, folder))
    corpus = list(dict.fromkeys(normalise(text)[:longest] for text in found if text))
    draw = random.Random(1)
    number = 0
    while True:
        if number < len(corpus):
            text = corpus[number]
        else:
            one, other = (text.split() for text in draw.choices(corpus, k=2))
            text = " ".join([*one[: len(one) // 2], *other[len(other) // 2 :]])
        yield f"{corpus[draw.randrange(min(number + 1, len(corpus)))]} indeed" if number % 10 == 9 else text
        number += 1


def cluster(size: int) -> str:
    draw = np.random.default_rng(1)
    centres = draw.normal(size=(size // PER_CENTRE, DIMENSIONS))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    vectors = np.repeat(centres, PER_CENTRE, axis=0)
    vectors += draw.normal(size=vectors.shape) * SPREAD / DIMENSIONS**0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    counts = draw.zipf(2.0, size=len(vectors)).clip(max=1000)
    attributes = [
        Attribute(name=f"attribute {n}", count=int(count), text_count=int(count), raw_names=[], descriptions=[])
        for n, count in enumerate(counts)
    ]
    start = time.process_time()
    perspectives, told = cluster_attributes(attributes, vectors, PARAMS.clusters, PARAMS.seed)
    seconds = time.process_time() - start
    return f"{len(perspectives):,} clusters after {told['iterations']} iterations, {seconds:.1f} s of CPU"


if __name__ == "__main__":
    main()
