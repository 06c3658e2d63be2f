"""A run as OpenLineage events: a stage is a job, what it read and wrote are data sets with their DVC hash as version,
and what a gate found are assertions on what it looked at. Written by openlineage-python's file transport.

Run ids are hashes of what a stage ran on and made, so that a stage which was not run again is the same run in every
export. Nothing says when a stage began or ended: both events have the time of the first commit that holds the stage as
it is. By then it had run; durations are not to be read from them.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from compeffdist import __version__
from compeffdist.artefacts import EVALUATED, IDENTITIES, RECORDS, REJECTS, TEACHER, TEXTS, records_at
from compeffdist.canonical import canonical_json
from compeffdist.errors import UserError, one_line
from compeffdist.files import read_jsonl
from compeffdist.gates.outcome import Finding, pass_of, report_of, shown
from compeffdist.lineage.prov import NAMESPACE as PRODUCER
from compeffdist.lineage.repository import Item, Repository, StageLock
from compeffdist.models.naming import public, short_name
from compeffdist.publishing.finished import FinishedRun, branch_times, gate_reports, lock_here, open_run
from compeffdist.publishing.licences import shown as shown_licence
from compeffdist.publishing.materials import declared_sources, public_command
from compeffdist.publishing.writing import Export, export_file, refuse_file
from compeffdist.record_files import arrow_schema

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent
    from openlineage.client.facet_v2 import DatasetFacet, InputDatasetFacet, OutputDatasetFacet

KIND = "lineage"
RUN_IDS = uuid.UUID("5c4f7f0e-6f0b-5b8e-8d8e-0b9a3f1c2d47")
"""Namespace of run ids."""
COMMIT_TIME = "of the first commit that holds the run: when it began and ended is not known"


def export_lineage(target: Path, repository: Repository, *, namespace: str, force: bool = False) -> Export:
    """Write the events of the run in the working folder, one a line. Raises UserError as `open_run` and
    `refuse_file`."""
    from openlineage.client.transport.file import FileConfig, FileTransport

    refuse_file(target, force, is_lineage)
    lock = lock_here(repository)
    run = open_run(repository, [*lock.outs, *IDENTITIES], lock)  # it tells of every stage
    events = list(run_events(run, namespace))
    with export_file(target, force, is_lineage) as path:
        transport = FileTransport(FileConfig(log_file_path=str(path.absolute()), append=True))
        for event in events:
            transport.emit(event)
    stages = run.lock.stages.values()
    paths = {item.path for stage in stages for item in (*stage.deps, *stage.outs)}
    return Export(KIND, target, run.commit, {"events": len(events), "jobs": len(stages), "artefacts": len(paths)})


def is_lineage(path: Path) -> bool:
    """Whether a file holds events of this project, and nothing else."""
    try:
        producers = {event["producer"] for event in read_jsonl(path)}
    except (UserError, KeyError, TypeError):  # another file, or other JSON
        return False
    return bool(producers) and all(str(producer).startswith(PRODUCER) for producer in producers)


def run_events(run: FinishedRun, namespace: str) -> Iterator["RunEvent"]:
    """START and COMPLETE of every stage, in the order of the lock; the latter says all there is to say."""
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.facet_v2 import job_type_job, set_producer

    producer = f"{PRODUCER}{__version__}"
    set_producer(producer)
    times = _times(run)
    told = _Datasets(run, namespace)
    for stage in run.lock.stages.values():
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DVC", jobType="STAGE")
        job = Job(namespace, stage.name, facets={"jobType": kind})
        for state in (RunState.START, RunState.COMPLETE):
            ended = state is RunState.COMPLETE
            yield RunEvent(
                eventType=state,
                eventTime=times[run_id(stage)].isoformat(),
                run=Run(run_id(stage), facets=run_facets(stage) if ended else {}),
                job=job,
                inputs=told.inputs(stage) if ended else [],
                outputs=[told.output(item) for item in stage.outs] if ended else [],
                producer=producer,
            )


def run_id(stage: StageLock) -> str:
    """Of the run of a stage: a UUID of what it ran on and made."""
    told = {
        "stage": stage.name,
        "command": stage.command,
        "code": stage.code,
        "params": stage.params,
        "deps": [[item.path, item.md5] for item in stage.deps],
        "outs": [[item.path, item.md5] for item in stage.outs],
    }
    return str(uuid.uuid5(RUN_IDS, canonical_json(told)))


def _times(run: FinishedRun) -> dict[str, datetime]:
    """Of each run, the time of the first commit of this branch that holds it."""
    wanted = {run_id(stage) for stage in run.lock.stages.values()}
    times, branch = dict.fromkeys(wanted, run.time), branch_times(run.repository)
    for lock in run.repository.locks():
        if not (dates := [branch[commit] for commit in lock.commits if commit in branch]):
            continue
        try:
            held = {run_id(stage) for stage in lock.stages.values()} & wanted
        except UserError:  # an old one that nobody can read
            continue
        times |= {key: min(times[key], *dates) for key in held}
    return times


def run_facets(stage: StageLock) -> dict[str, Any]:
    """Params, command and code of a stage, without credentials or folders of this machine."""
    from openlineage.client.facet_v2 import execution_parameters_run, tags_run

    parameters = [
        execution_parameters_run.ExecutionParameter(key=key, name=key, value=canonical_json(_public(value)))
        for key, value in sorted(stage.params.items())
    ]
    tags = {"command": public_command(stage.command), "code": stage.code, "event time": COMMIT_TIME}
    told = [tags_run.TagsRunFacetFields(key, value, "DVC") for key, value in tags.items() if value]
    facets: dict[str, Any] = {"tags": tags_run.TagsRunFacet(tags=told)}
    if parameters:
        facets["executionParameters"] = execution_parameters_run.ExecutionParametersRunFacet(parameters=parameters)
    return facets


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _public(inside) for key, inside in value.items()}
    if isinstance(value, list):
        return [_public(inside) for inside in value]
    return public(value) if isinstance(value, str) else value


class _Datasets:
    """What stages read and wrote, as data sets of OpenLineage."""

    def __init__(self, run: FinishedRun, namespace: str) -> None:
        self.run, self.namespace = run, namespace
        self.reports = gate_reports(run)

    def inputs(self, stage: StageLock) -> list["InputDataset"]:
        """What a stage read: artefacts, files of the project, and what came from outside."""
        from openlineage.client.event_v2 import InputDataset

        judged = self._judged(stage)
        read = [
            InputDataset(
                self.namespace, public(item.path), facets=self._facets(item), inputFacets=judged.get(item.path, {})
            )
            for item in stage.deps
        ]
        outs = {item.path for item in stage.outs}
        return [*read, *(self._texts() if TEXTS in outs else ()), *(self._models() if TEACHER in outs else ())]

    def output(self, item: Item) -> "OutputDataset":
        """What a stage wrote."""
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

        facets: dict[str, OutputDatasetFacet] = {}
        if item.size is not None:
            facets["outputStatistics"] = statistics.OutputStatisticsOutputDatasetFacet(size=item.size)
        return OutputDataset(self.namespace, item.path, facets=self._facets(item), outputFacets=facets)

    def _facets(self, item: Item) -> dict[str, "DatasetFacet"]:
        from openlineage.client.facet_v2 import schema_dataset, storage_dataset

        suffix = PurePosixPath(item.path).suffix.removeprefix(".")
        kind = "folder" if item.is_folder else suffix or "file"
        facets: dict[str, DatasetFacet] = {
            **_version(item.md5),
            "storage": storage_dataset.StorageDatasetFacet(storageLayer="dvc", fileFormat=kind),
        }
        if item.path in RECORDS or item.path.startswith(REJECTS):
            artefact = records_at(item.path)
            fields = [
                schema_dataset.SchemaDatasetFacetFields(name=column.name, type=str(column.type))
                for column in arrow_schema(artefact.kind, artefact.columns)
            ]
            facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
        return facets

    def _texts(self) -> Iterator["InputDataset"]:
        for source in declared_sources(self.run).values():
            name = one_line(f"{source.name}: {source.location}")
            yield self._outside("texts", name, source.sha256, {"licence": shown_licence(source.licence)})

    def _models(self) -> Iterator["InputDataset"]:
        for role, identity in self.run.identities.items():
            tags = {"licence": shown_licence(identity.licence), "role": role, "reference": public(identity.reference)}
            yield self._outside("model", one_line(short_name(identity)), identity.id, tags)

    def _outside(self, kind: str, name: str, version: str, tags: Mapping[str, str]) -> "InputDataset":
        from openlineage.client.event_v2 import InputDataset
        from openlineage.client.facet_v2 import tags_dataset

        told = [tags_dataset.TagsDatasetFacetFields(key, one_line(value), "compeffdist") for key, value in tags.items()]
        facets: dict[str, DatasetFacet] = {**_version(version), "tags": tags_dataset.TagsDatasetFacet(tags=told)}
        return InputDataset(f"{self.namespace}:{kind}", name, facets=facets)

    def _judged(self, stage: StageLock) -> dict[str, dict[str, "InputDatasetFacet"]]:
        """Of a gate: path -> assertions, on what it let through as far as it read that, else on the evaluation it
        judged, else on all that it read."""
        from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

        outs, read = {item.path for item in stage.outs}, [item.path for item in stage.deps]
        otherwise = [path for path in read if path == EVALUATED] or read
        found: dict[str, list[quality.Assertion]] = {}
        for gate, report in self.reports.items():
            if report_of(gate) in outs:
                passed = self.run.json(pass_of(gate)) if pass_of(gate) in outs else {}
                for path in [path for path in read if path in passed.get("sha256", {})] or otherwise:
                    found.setdefault(path, []).extend(_assertions(report))
        return {
            path: {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet(assertions=assertions)}
            for path, assertions in found.items()
            if assertions
        }


def _version(version: str) -> dict[str, "DatasetFacet"]:
    from openlineage.client.facet_v2 import dataset_version_dataset

    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)} if version else {}


def _assertions(report: Mapping[str, Any]) -> Iterator[Any]:
    """What a gate expected, and how it turned out."""
    from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

    expectations: Sequence[Mapping[str, Any]] = report.get("expectations", ())
    for one in expectations:
        finding = Finding(**{name: one[name] for name in Finding.__dataclass_fields__ if name in one})
        yield quality.Assertion(
            assertion=finding.name,
            success=finding.passed,
            severity="warn" if report.get("action") == "warn" else "error",
            expected=finding.bound(),
            actual="could not be computed" if finding.value is None else shown(finding.value),
            params=None,
        )
