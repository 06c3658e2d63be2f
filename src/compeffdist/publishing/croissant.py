"""The exported data set as Croissant 1.1 (docs.mlcommons.org/croissant), with the provenance of its rows as PROV-O.

JSON-LD written here, not by the library: mlcroissant brings rdflib and more, and is wanted by the tests alone, which
hold this against it. `url` and `creator`, which the format wants, are the user's to tell.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compeffdist import __version__
from compeffdist.errors import one_line
from compeffdist.files import hash_file
from compeffdist.models.naming import public
from compeffdist.publishing.dataset_card import WHAT, keywords, language, source_line
from compeffdist.publishing.dataset_rows import COLUMNS, stated_licences
from compeffdist.publishing.finished import FinishedRun
from compeffdist.publishing.licences import address, shown
from compeffdist.publishing.materials import text_sources

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "croissant.json"
VERSION = "http://mlcommons.org/croissant/1.1"
_OURS = (
    *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes"),
    *("extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes"),
    *("isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path"),
    *("readLines", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
    *("sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
)
"""Terms of Croissant's own vocabulary."""
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _OURS},
}
_PROVENANCE = {
    "response": [("teacher_id", "prov:wasAttributedTo"), ("answer_id", "prov:wasDerivedFrom")],
    "text": [("source", "prov:hadPrimarySource"), ("source_row", "prov:hadPrimarySource")],
    "prompt": [("text_id", "prov:wasDerivedFrom"), ("instruction_id", "prov:wasDerivedFrom")],
}
"""Column -> columns that say of each row where its value is from, and how."""


def croissant(
    run: FinishedRun, rows: Mapping[str, "pa.Table"], files: Mapping[str, str], folder: Path, told: Mapping[str, str]
) -> dict[str, Any]:
    """The description.

    Args:
        rows: of each configuration.
        files: of each configuration, the path of its file in `folder`.
        told: `url` and `creator`, which no run knows, as far as they are.
    """
    licences = sorted({address(licence) or shown(licence) for _, licence in stated_licences(rows)})
    counted = "; ".join(f"{name}: {len(found):,} rows, {WHAT[name]}" for name, found in rows.items())
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": f"{run.name}-training-rows",
        "description": "Rows of instruction, user's text and a teacher model's answer. "
        f"{counted[0].upper()}{counted[1:]}.",
        "license": licences,
        **({"url": told["url"]} if told.get("url") else {}),
        **({"creator": {"@type": "sc:Organization", "name": told["creator"]}} if told.get("creator") else {}),
        "datePublished": run.time.isoformat(),
        "citeAs": _citation(run),
        "version": f"1.0.0+{run.lock_sha256[:12]}",
        "keywords": list(keywords(run)),
        **({"inLanguage": found} if (found := language(run).get("language")) else {}),
        "distribution": [_file(folder, files[name], name) for name in rows],
        "recordSet": [_record_set(name, files[name], found) for name, found in rows.items()],
        **_origin(run),
    }


def _citation(run: FinishedRun) -> str:
    title, made = f"{run.name}: training rows", f"made by compeffdist {__version__}, commit {run.commit}"
    return f"@misc{{training-rows-{run.commit[:12]}, title={{{title}}}, year={{{run.time.year}}}, note={{{made}}}}}"


def _origin(run: FinishedRun) -> dict[str, Any]:
    """What the rows were made from, and by which run and models."""
    teacher = run.identities["teacher"]
    made_by = {"@type": "prov:SoftwareAgent", "prov:label": f"compeffdist {__version__}"}
    answered = {
        "@type": "prov:SoftwareAgent",
        "prov:label": f"teacher {one_line(public(teacher.reference))} ({teacher.id})",
        "license": address(teacher.licence) or shown(teacher.licence),
    }
    return {
        "prov:wasDerivedFrom": [
            {
                "@type": "prov:Entity",
                "prov:label": one_line(source_line(one)),
                "license": address(one.licence) or shown(one.licence),
                **({"sha256": one.sha256} if one.sha256 else {}),
            }
            for one in text_sources(run)
        ],
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:label": f"run of commit {run.commit}, dvc.lock with SHA-256 {run.lock_sha256}",
            "prov:endedAtTime": run.time.isoformat(),
            "prov:wasAssociatedWith": [made_by, answered],
        },
        "rai:machineAnnotationTools": [answered["prov:label"]],
        "rai:dataAnnotationProtocol": [
            "Each answer is a model's, to the instruction in the row; labels, where they are closed, are weighed by "
            "likelihood. No person has checked them."
        ],
    }


def _file(folder: Path, path: str, config: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": f"{config}-file",
        "name": Path(path).name,
        "description": WHAT[config],
        "contentUrl": path,
        "contentSize": f"{(folder / path).stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": hash_file(folder / path),
    }


def _record_set(config: str, path: str, rows: "pa.Table") -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": config,
        "name": config,
        "description": WHAT[config],
        "key": {"@id": f"{config}/id"},
        "field": list(_fields(config, rows)),
    }


def _fields(config: str, rows: "pa.Table") -> Iterator[dict[str, Any]]:
    for name, told in COLUMNS.items():
        field = _field(config, name, rows) | {"description": told}
        if name in _PROVENANCE:
            field["annotation"] = [
                _field(config, other, rows, f"{config}/{name}/{other}") | {"equivalentProperty": relation}
                for other, relation in _PROVENANCE[name]
            ]
        yield field


def _field(config: str, name: str, rows: "pa.Table", key: str = "") -> dict[str, Any]:
    import pyarrow as pa

    kind = rows.schema.field(name).type
    listed = pa.types.is_list(kind)
    item = kind.value_type if listed else kind
    kinds = [
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
    ]
    return {
        "@type": "cr:Field",
        "@id": key or f"{config}/{name}",
        "name": name,
        "dataType": next((told for fits, told in kinds if fits(item)), "sc:Text"),
        **({"isArray": True, "arrayShape": "-1"} if listed else {}),
        "source": {"fileObject": {"@id": f"{config}-file"}, "extract": {"column": name}},
    }
