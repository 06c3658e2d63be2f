"""Files of settings: YAML as DVC reads it; each file's reader refuses what is not of its form."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from dvc.utils.serialize import parse_yaml
from hypothesis import strategies as st

from compeffdist.benchmark.rows import load_benchmark_rows
from compeffdist.benchmark.sources import Source, load_source
from compeffdist.benchmark.tasks import BenchmarkTask, load_benchmark_tasks
from compeffdist.canonical import hash_bytes
from compeffdist.declaration import read_pipeline
from compeffdist.domain import Domain, load_domain
from compeffdist.experiments.plan import load_experiment, runs_of
from compeffdist.fingerprints import recorded_fingerprints
from compeffdist.lineage.repository import Repository
from compeffdist.models.references import parse_reference
from compeffdist.params import Params, Prices, load_params, read_prices
from compeffdist.profiles import compose
from compeffdist.texts.hub import parse_dataset
from compeffdist.yaml12 import read_yaml
from tests.fuzz.hostile import as_json, damaged, files, replaced, texts, values
from tests.fuzz.hunting import REFUSED, Target, refused_or
from tests.fuzz.targets.tables import same
from tests.stages import ROOT

TAGS = ("!!int", "!!float", "!!bool", "!!null", "!!str", "!!binary", "!!timestamp", "!!set", "!!omap", "!!pairs")
PIECES = (
    *("a: 1\n", "b: [", "]", "- ", "? ", ": ", "{", "}", "&x ", "*x", "<<: *x\n", "!!python/object:os.system ", "|\n"),
    *(">-\n ", "# c\n", "---\n", "...\n", "%YAML 1.1\n", "'", '"', "\n  ", "\t", "0x", "0o8", "0b2", "1_0", "1e5", "."),
    *("&a [*a]", "&a {b: *a}", "!!float _", "!!timestamp x"),
    *("+.inf", ".nan", "-", "~", "yes", "012", "2001-01-01", "=", "1:30", "!x ", "!!int _", "!!bool x", "!!float ''"),
    *(f"{tag} " for tag in TAGS),
)
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{here}: &{here} [{','.join([f'*{before}'] * 9)}]\n" for before, here in zip("abcdefg", "bcdefgh", strict=True)
)
"""Nine to the power of eight texts, in a few lines."""


def any_yaml(case: str, folder: Path) -> None:
    found = refused_or(lambda: read_yaml(case, "a.yaml"), "a.yaml")
    if found is REFUSED or len(str(case)) > 2000 or "*" in case:
        return
    try:
        expected = parse_yaml(case, "a.yaml")
    except Exception:  # what DVC refuses may be read here: a tag, a date
        return
    plain = _plain(expected)
    assert plain is None or same(_plain(found) or plain, plain), (found, expected)


def _plain(value: Any) -> Any:
    """A value as JSON has it, or None if it holds something else (dates, bytes, sets, keys that are no text)."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return None


# ---------------------------------------------------------------- files of one form


def _yaml(path: str) -> tuple[bytes, Any]:
    content = (ROOT / path).read_bytes()
    return content, yaml.safe_load(content)


def _cases(path: str) -> st.SearchStrategy[bytes]:
    content, value = _yaml(path)
    changed = replaced(value, values(halves=False)).map(lambda v: yaml.safe_dump(v, sort_keys=False).encode())
    return st.one_of(changed, changed, files(content), st.just(BOMB.encode()))


def _read_as(place: str, read: Callable[[Path], Any], kind: type, *names: str) -> Callable[[bytes, Path], None]:
    """A check that a file at a place is read as a value of its kind, or refused by its name."""

    def check(content: bytes, folder: Path) -> None:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        found = refused_or(lambda: read(path), path, path.name, *names)
        assert found is REFUSED or isinstance(found, kind)
        if isinstance(found, Params | Domain | Prices | Source):  # what is read can be written and read again
            assert type(found).model_validate(found.model_dump()) == found

    return check


def _experiment(path: Path) -> Any:
    return runs_of(load_experiment(path.stem, path.parent), PARAMS)


PARAMS = read_yaml((ROOT / "params.yaml").read_bytes(), "params.yaml")
PRICES = b"currency: EUR\ndate: 2026-11-29\nprices:\n  teacher: {prompt_tokens: 1, answer_tokens: 2.5}\n"


def profile(content: bytes, folder: Path) -> None:
    (folder / "base.yaml").write_bytes((ROOT / "profiles/base.yaml").read_bytes())
    (folder / "mine.yaml").write_bytes(content)
    found = refused_or(lambda: compose("mine", folder), folder)
    assert found is REFUSED or Params.model_validate(found)


# ---------------------------------------------------------------- what DVC and git keep


def lock(content: bytes, folder: Path) -> None:
    (folder / "dvc.lock").write_bytes(content)

    def read() -> Any:
        found = Repository(folder).workspace_lock()
        for out in found.outs.values():
            found.md5(out.path), out.is_folder, found.param("sampling.rate")
        return [stage.command for stage in found.stages.values()]

    refused_or(read, "dvc.lock")


LOCK = (ROOT / "dvc.lock").read_bytes()[:6000].rpartition(b"\n  ")[0] + b"\n"


def listing(content: bytes, folder: Path) -> None:
    """The list of a folder's files in DVC's cache."""
    from compeffdist.lineage.repository import Item

    repository = Repository(folder)
    repository.__dict__["cache"] = folder
    path = repository.object_path("ab" * 16 + ".dir")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    found = refused_or(lambda: repository.listing(Item("data", "ab" * 16 + ".dir")), path)
    assert found is REFUSED or all(isinstance(part, str) for pair in found for part in pair)


# ---------------------------------------------------------------- benchmarks

TASK = BenchmarkTask(name="films", family="f", question="Is it good, {target}?", labels=["good", "bad"])
ROW = {"id": "films/0", "text": "Dull.", "label": "bad", "target": "plot"}


def benchmark(case: tuple[Any, bytes, bool], folder: Path) -> None:
    manifest, split, hashed = case
    (folder / "films").mkdir()
    (folder / "films/test.jsonl").write_bytes(split)
    if hashed:
        manifest = {"tasks": {"films": {"splits": {"test": {"sha256": hash_bytes(split)}}}}}
    (folder / "manifest.json").write_bytes(as_json(manifest))
    found = refused_or(lambda: load_benchmark_rows(folder, TASK, "test"), folder)
    if found is not REFUSED:
        assert all(row.gold in TASK.labels and row.text.strip() and row.target for row in found)
        for row in found:
            row.text.encode(), row.id.encode(), str(row.target).encode()


MANIFEST = {"tasks": {"films": {"labels": ["good", "bad"], "splits": {"test": {"n": 1, "sha256": "0"}}}}}
split_rows = st.lists(st.one_of(replaced(ROW), values()), min_size=1, max_size=3).map(
    lambda rows: b"\n".join(map(as_json, rows))
)


# ---------------------------------------------------------------- references


def reference(text: str, folder: Path) -> None:
    refused_or(lambda: parse_reference(text), "model reference", text[:40] if text else "''", "home folder", "link")
    refused_or(lambda: parse_dataset(text), "dataset", "text source")


references = st.one_of(
    texts(5, halves=False),
    st.builds(
        lambda scheme, parts: scheme + "".join(parts),
        st.sampled_from(["hf:", "path:", "pypi:", "api:", ""]),
        st.lists(
            st.one_of(
                st.sampled_from(["a", "/", "@", "==", "!", "*", "{1..3}", "{1..99999999}", "#sha256=", "~", "..", ":"]),
                st.sampled_from(["0" * 64, "9" * 5000, "[", "]", "train[:1]", "data/sources/x"]),
                texts(1, halves=False),
            ),
            max_size=6,
        ),
    ),
)


yamls = st.lists(st.one_of(st.sampled_from(PIECES), texts(2, False)), max_size=10).map("".join)
TARGETS = (
    Target("settings.yaml", yamls, any_yaml),
    Target("settings.params", _cases("params.yaml"), _read_as("params.yaml", load_params, Params), share=0.5),
    Target("settings.profile", _cases("profiles/smoke.yaml"), profile, share=0.2),
    Target(
        "settings.domain",
        _cases("domains/sentiment.yaml"),
        _read_as("mine.yaml", lambda path: load_domain(path.stem, path.parent), Domain),
    ),
    Target(
        "settings.experiment",
        _cases("experiments/soft_labels.yaml"),
        _read_as("mine.yaml", _experiment, list, "experiments/mine.yaml"),
        share=0.5,
    ),
    Target(
        "settings.benchmark_task",
        _cases("benchmarks/sentibench/opener.yaml"),
        _read_as("mine.yaml", lambda path: load_benchmark_tasks(path.parent), list),
    ),
    Target(
        "settings.benchmark_source",
        _cases("benchmarks/sources/sentibench.yaml"),
        _read_as("mine.yaml", load_source, Source),
    ),
    Target("settings.prices", st.one_of(damaged(PRICES), files(PRICES)), _read_as("prices.yaml", read_prices, Prices)),
    Target(
        "settings.pipeline",
        _cases("dvc.yaml"),
        _read_as("dvc.yaml", lambda path: read_pipeline(path.parent), dict),
        share=0.2,
    ),
    Target(
        "settings.code",
        _cases("code.yaml"),
        _read_as("code.yaml", lambda path: recorded_fingerprints(path.parent), dict),
    ),
    Target(
        "settings.lock",
        st.one_of(files(LOCK), replaced(yaml.safe_load(LOCK), values(False)).map(lambda v: yaml.safe_dump(v).encode())),
        lock,
        share=0.5,
    ),
    Target(
        "settings.listing",
        st.one_of(files(b'[{"md5": "00", "relpath": "a"}]'), replaced([{"md5": "0", "relpath": "a"}]).map(as_json)),
        listing,
    ),
    Target("settings.benchmark", st.tuples(replaced(MANIFEST), split_rows, st.booleans()), benchmark),
    Target("settings.reference", references, reference),
)
