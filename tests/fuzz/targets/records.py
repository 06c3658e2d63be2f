"""Artefacts: a record that is read is one that was written, whatever happened to the file."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from compeffdist.cli.cluster import read_attributes
from compeffdist.columns import read_columns
from compeffdist.files import read_json, read_jsonl
from compeffdist.instructions.calibration import Priors, read_priors
from compeffdist.ledger import Ledger
from compeffdist.record_files import read_perspectives, read_records, write_perspectives, write_records
from compeffdist.records import Instruction, Record, Triplet
from tests.factories import make_instruction, make_perspective, make_task, make_triplet
from tests.fuzz.hostile import as_json, files, replaced, values
from tests.fuzz.hunting import REFUSED, Target, refused_or

TRIPLETS = [make_triplet(text_id=f"text_{n}", response=f"déjà 🙂 {n}") for n in range(3)]
INSTRUCTIONS = [make_instruction(make_task(name=f"tone {n}")) for n in range(2)]
PERSPECTIVES = [make_perspective("anger", "rage"), make_perspective("joy")]


@cache
def _written(name: str, write: Callable[[Path], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


PARQUET = _written("a.parquet", lambda path: write_records(path, Triplet, TRIPLETS))
JSONL = _written("a.jsonl", lambda path: write_records(path, Instruction, INSTRUCTIONS))
CLUSTERS = _written("a.json", lambda path: write_perspectives(path, PERSPECTIVES, {"silhouette": 0.5}))


def _reads(name: str, kind: type[Record], known: list[Any]) -> Callable[[bytes, Path], None]:
    def check(content: bytes, folder: Path) -> None:
        path = folder / name
        path.write_bytes(content)
        found = refused_or(lambda: read_records(path, kind), path)
        if found is not REFUSED:
            assert all(record.id == kind.from_row(record.to_row()).id for record in found)
            identities = {name: [getattr(one, name) for one in known] for name in kind.IDENTITY}
            if content.startswith(b"PAR1"):  # damage gives no other contents under a known id
                for record in found:
                    assert record.id in {one.id for one in known}, (record, identities)

    return check


def columns(content: bytes, folder: Path) -> None:
    path = folder / "a.parquet"
    path.write_bytes(content)
    names = ["id", "text_id", "response"]
    found = refused_or(lambda: read_columns(path, Triplet, names, ["text_id"]).to_pylist(), path)
    if found is not REFUSED:
        rows = [{name: getattr(one, name) for name in names} for one in TRIPLETS]
        assert all(row in rows for row in found), found


def perspectives(content: bytes, folder: Path) -> None:
    path = folder / "a.json"
    path.write_bytes(content)
    refused_or(lambda: read_perspectives(path), path)


def any_json(content: bytes, folder: Path) -> None:
    path = folder / "a.json"
    path.write_bytes(content)
    refused_or(lambda: read_json(path), path)
    refused_or(lambda: list(read_jsonl(path)), path)


def priors(content: bytes, folder: Path) -> None:
    path = folder / "priors.json"
    path.write_bytes(content)
    found = refused_or(lambda: read_priors(path), path)
    if found is not REFUSED:
        assert isinstance(found, Priors)
        for prior in (found.monitored, *found.instructions.values()):
            assert all(isinstance(name, str) and 0 <= share <= 1 for name, share in prior.items())


PRIORS = {"monitored": {"good": 0.5, "bad": 0.5}, "instructions": {"instruction_1": {"yes": 0.25, "no": 0.75}}}


def attributes(content: bytes, folder: Path) -> None:
    path = folder / "a.json"
    path.write_bytes(content)
    found = refused_or(lambda: read_attributes(path), path)
    if found is not REFUSED:
        for one in found:
            one.name.encode()
            assert one.name.strip() and one.count > 0


ATTRIBUTES = [{"attribute": "anger", "count": 3}, {"name": "joy", "count": 2}]


# ---------------------------------------------------------------- ledgers


def _ledger(path: Path) -> None:
    for number in range(3):
        Ledger(path).append("promote", {"version": number, "reason": "déjà"})


LEDGER = _written("a.jsonl", _ledger)


def ledger(content: bytes, folder: Path) -> None:
    """What is read is what was written, less what was cut off its end."""
    path = folder / "ledger.jsonl"
    path.write_bytes(content)
    found = refused_or(lambda: Ledger(path).entries(), path)
    if found is not REFUSED:
        before = len(found)
        assert [entry.body["version"] for entry in found] == list(range(before)), found
        assert Ledger(path).append("promote", {}).number == before + 1


TARGETS = (
    Target("records.parquet", files(PARQUET), _reads("a.parquet", Triplet, TRIPLETS)),
    Target(
        "records.jsonl",
        st.one_of(
            files(JSONL),
            replaced([one.to_row() for one in INSTRUCTIONS]).map(
                lambda rows: b"\n".join(map(as_json, rows if isinstance(rows, list) else [rows]))
            ),
        ),
        _reads("a.jsonl", Instruction, INSTRUCTIONS),
    ),
    Target("records.columns", files(PARQUET), columns),
    Target(
        "records.perspectives",
        st.one_of(
            files(CLUSTERS),
            replaced({"diagnostics": {}, "perspectives": [one.to_row() for one in PERSPECTIVES]}).map(as_json),
        ),
        perspectives,
    ),
    Target("records.json", st.one_of(files(CLUSTERS), values().map(as_json)), any_json),
    Target("records.priors", st.one_of(files(as_json(PRIORS)), replaced(PRIORS).map(as_json)), priors),
    Target("records.attributes", st.one_of(files(as_json(ATTRIBUTES)), replaced(ATTRIBUTES).map(as_json)), attributes),
    Target("records.ledger", files(LEDGER), ledger),
)
