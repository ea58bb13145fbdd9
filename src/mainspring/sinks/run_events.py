"""Entries of the ledger as run events of OpenLineage: what ran on which data, what came of it, and how it ended.

References
----------
.. [1] OpenLineage, object model 2-0-2, https://openlineage.io/spec/2-0-2/OpenLineage.json
"""

from __future__ import annotations

__all__ = ["Known", "run_events"]

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

import msgspec

from mainspring.events import EventType

if TYPE_CHECKING:
    from mainspring.governance import Entry

_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets"
_PRODUCER = f"urn:mainspring:{version('mainspring')}"
_ENDS = {"failed": "FAIL", "aborted": "ABORT"}  # all other outcomes are what the cycle was to find out

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Known:
    """What the entries themselves do not say.

    Attributes
    ----------
    workspace : str
        Tells this workspace's runs from those of others: the hash of its ledger's first entry.
    namespace : str
        Of jobs and datasets.
    schemas : mapping of str to mapping of str to str
        By dataset its columns and their types.
    rows : callable
        Gives the number of rows of a data version, such as `orders@v3`; None where it is not known.
    run : callable
        Gives of a run of a pipeline its product, and the moment at which it was started, as text.
    """

    workspace: str
    namespace: str
    schemas: Mapping[str, Mapping[str, str]]
    rows: Callable[[str], int | None]
    run: Callable[[str], tuple[str, str]]


def run_events(entry: Entry, known: Known) -> tuple[Document, ...]:
    """Give what an entry tells, in order; the same entry gives the same documents whenever it is told.

    Parameters
    ----------
    entry : Entry
    known : Known

    Returns
    -------
    tuple of dict
        Run events, as JSON values; none of an entry that is about no run.
    """
    teller = _Teller(entry, msgspec.json.decode(entry.data), known)
    match entry.type:
        case EventType.DATA_VERSION_PUBLISHED if "scoring" in teller.data:
            told = teller.scored()
        case EventType.DATA_VERSION_PUBLISHED | EventType.BATCH_REFUSED:
            told = teller.ingested()
        case EventType.SCORING_STARTED | EventType.SCORING_FAILED:
            told = teller.scoring()
        case EventType.CYCLE_STARTED | EventType.CYCLE_CLOSED:
            told = teller.cycle()
        case EventType.RUN_COMPLETED | EventType.RUN_FAILED:
            told = teller.pipeline()
        case EventType.CANDIDATE_JUDGED:
            told = teller.judged()
        case EventType.MODEL_VERSION_REGISTERED if "cycle" in teller.data:
            told = teller.registered()
        case _:
            return ()
    return tuple(told)


@dataclass(frozen=True, slots=True)
class _Teller:
    """Tells of one entry."""

    entry: Entry
    data: Mapping[str, Any]
    known: Known

    def ingested(self) -> Iterator[Document]:
        dataset = self.entry.subject.partition("@")[0]
        refused = self.entry.type == EventType.BATCH_REFUSED
        batch = self._dataset(f"{dataset}/batches", version=self.data["batch"], columns=dataset)
        batch["inputFacets"] = {
            "dataQualityMetrics": _facet(
                "1-0-2", "DataQualityMetricsInputDatasetFacet", rowCount=self.data["rows"], columnMetrics={}
            ),
            "dataQualityAssertions": _facet(
                "1-0-1",
                "DataQualityAssertionsDatasetFacet",
                assertions=[
                    {"assertion": each["check"], "success": False}
                    | ({"column": each["column"]} if each["column"] else {})
                    for each in self.data["failures"]
                ],
            ),
        }
        # Handed in again, a refused batch has the answer of before; its digest names the attempt.
        run = self._run(f"ingest {dataset} {self.data['batch']}")
        job = self._job(f"{dataset}.ingest")
        if refused:
            facets = _error(str(self.data["refusal"]))
            yield self._event("START", run, job, inputs=[batch])
            yield self._event("FAIL", run | {"facets": facets}, job, inputs=[batch])
            return
        yield self._event("START", run, job, inputs=[batch])
        outputs = [self._published(int(self.data["rows_added"]))]
        yield self._event("COMPLETE", run, job, inputs=[batch], outputs=outputs)

    def scoring(self) -> Iterator[Document]:
        failed = self.entry.type == EventType.SCORING_FAILED
        run, job, inputs = self._scoring_run(), self._scoring_job(), self._scoring_inputs()
        if failed:
            run |= {"facets": _error(self.entry.reason)}
        yield self._event("FAIL" if failed else "START", run, job, inputs=inputs)

    def scored(self) -> Iterator[Document]:
        run, job, inputs = self._scoring_run(), self._scoring_job(), self._scoring_inputs()
        if "attempt" not in self.data:  # from before the start of a scoring was told
            yield self._event("START", run, job, inputs=inputs, at=self.data["scored_at"])
        outputs = [self._published(int(self.data["rows"]))]
        yield self._event("COMPLETE", run, job, inputs=inputs, outputs=outputs)

    def cycle(self) -> Iterator[Document]:
        product, cycle = self._product(), self.data["cycle"]
        run, job = self._run(f"cycle {cycle}"), self._job(f"{product}.cycle", kind="DAG")
        if self.entry.type == EventType.CYCLE_STARTED:
            yield self._event("START", run, job, inputs=self._inputs(self.data["data"]))
            return
        end = _ENDS.get(self.data["outcome"], "COMPLETE")
        outputs = []
        if self.data["version"] is not None and end == "COMPLETE":
            outputs = [self._model(product, str(self.data["version"]))]
        facets = _error(self.entry.reason) if end == "FAIL" else {}
        yield self._event(end, run | ({"facets": facets} if facets else {}), job, outputs=outputs)

    def pipeline(self) -> Iterator[Document]:
        cycle = self.data["cycle"]
        product, began = self.known.run(self.entry.subject)
        if self.entry.type == EventType.RUN_FAILED:
            parent = {"parent": self._parent(product, cycle)}
            run, job = self._run(f"step {cycle} pipeline"), self._job(f"{product}.cycle.pipeline")
            yield self._event("START", run | {"facets": parent}, job, at=began)
            yield self._event("FAIL", run | {"facets": parent | _error(self.entry.reason)}, job)
            return
        for position, step in enumerate(self.data["steps"]):
            inputs = self._inputs(self.data["data"]) if position == 0 else []
            yield from self._step(product, cycle, step["name"], inputs=inputs, step=step, began=began)

    def judged(self) -> Iterator[Document]:
        tests = [
            {
                "name": f"{each['gate']} ({each['subject']})",
                "status": "pass" if each["outcome"] == "passed" else "fail",
                "severity": "error",
                "type": "gate",
                "description": each["reason"],
            }
            | {
                name: str(value)
                for name, value in (("expected", each["needed"]), ("actual", each["observed"]))
                if value is not None
            }
            for each in self.data["verdict"]["checks"]
        ]
        facets = {"test": _facet("1-0-1", "TestRunFacet", tests=tests)}
        yield from self._step(self._product(), self.data["cycle"], "judge", facets=facets)

    def registered(self) -> Iterator[Document]:
        product, _, number = self.entry.subject.rpartition("@")
        yield from self._step(
            product,
            self.data["cycle"],
            "register",
            inputs=self._inputs(self.data["data"]),
            outputs=[self._model(product, number)],
        )

    # --- parts of a document -----------------------------------------------------------------------------------------

    def _step(
        self,
        product: str,
        cycle: str,
        name: str,
        *,
        inputs: list[Document] = [],  # noqa: B006 - it is not changed
        outputs: list[Document] = [],  # noqa: B006
        facets: Document = {},  # noqa: B006
        step: Mapping[str, str] | None = None,
        began: str = "",
    ) -> Iterator[Document]:
        job = self._job(f"{product}.cycle.{name}", kind="TASK")
        run = self._run(f"step {cycle} {name}")
        parent = {"parent": self._parent(product, cycle)}
        if step:
            told = {key: step[key] for key in ("key", "output", "reused", "why") if key in step}
            parent["mainspring_step"] = _own_facet(**told)
        yield self._event("START", run | {"facets": parent}, job, inputs=inputs, at=began)
        yield self._event("COMPLETE", run | {"facets": parent | facets}, job, inputs=inputs, outputs=outputs)

    def _event(
        self,
        kind: str,
        run: Document,
        job: Document,
        *,
        inputs: list[Document] = [],  # noqa: B006 - it is not changed
        outputs: list[Document] = [],  # noqa: B006
        at: str = "",
    ) -> Document:
        return {
            "eventType": kind,
            "eventTime": at or self.entry.at,
            "producer": _PRODUCER,
            "schemaURL": _SCHEMA,
            "run": run,
            "job": job,
            "inputs": inputs,
            "outputs": outputs,
        }

    def _run(self, name: str) -> Document:
        return {"runId": str(uuid5(NAMESPACE_URL, f"mainspring:{self.known.workspace}/{name}"))}

    def _job(self, name: str, kind: str = "JOB") -> Document:
        facet = _facet(
            "2-0-4", "JobTypeJobFacet", processingType="BATCH", integration="MAINSPRING", jobType=kind
        )
        return {"namespace": self.known.namespace, "name": name, "facets": {"jobType": facet}}

    def _parent(self, product: str, cycle: str) -> Document:
        job = {"namespace": self.known.namespace, "name": f"{product}.cycle"}
        return _facet("1-0-1", "ParentRunFacet", run=self._run(f"cycle {cycle}"), job=job)

    def _dataset(self, name: str, *, version: str, kind: str = "TABLE", columns: str = "") -> Document:
        facets = {
            "version": _facet("1-0-1", "DatasetVersionDatasetFacet", datasetVersion=version),
            "datasetType": _facet("1-0-0", "DatasetTypeDatasetFacet", datasetType=kind),
            "dataSource": _facet(
                "1-0-1", "DatasourceDatasetFacet", name="mainspring", uri=f"mainspring:/{name}@{version}"
            ),
        }
        if schema := self.known.schemas.get(columns):
            fields = [{"name": column, "type": dtype} for column, dtype in schema.items()]
            facets["schema"] = _facet("1-2-0", "SchemaDatasetFacet", fields=fields)
        return {"namespace": self.known.namespace, "name": name, "facets": facets}

    def _data(self, ref: str) -> Document:
        name, _, number = ref.partition("@")
        return self._dataset(name, version=number, columns=name)

    def _model(self, product: str, number: str) -> Document:
        return self._dataset(f"models/{product}", version=number, kind="MODEL")

    def _inputs(self, refs: list[str]) -> list[Document]:
        found = []
        for ref in refs:
            document, rows = self._data(ref), self.known.rows(ref)
            if rows is not None:
                document["inputFacets"] = {
                    "dataQualityMetrics": _facet(
                        "1-0-2", "DataQualityMetricsInputDatasetFacet", rowCount=rows, columnMetrics={}
                    )
                }
            found.append(document)
        return found

    def _published(self, rows: int) -> Document:
        statistics = _facet("1-0-2", "OutputStatisticsOutputDatasetFacet", rowCount=rows)
        return self._data(self.entry.subject) | {"outputFacets": {"outputStatistics": statistics}}

    def _scoring_run(self) -> Document:
        return self._run(f"scoring {self.data['batch']} {self.data.get('attempt', 1)}")

    def _scoring_job(self) -> Document:
        return self._job(f"{self.data['scoring']['model'].rpartition('@')[0]}.scoring")

    def _scoring_inputs(self) -> list[Document]:
        product, _, number = self.data["scoring"]["model"].rpartition("@")
        return [*self._inputs(list(self.data["scoring"]["data"])), self._model(product, number)]

    def _product(self) -> str:
        return self.entry.subject.rpartition("/")[0]


def _facet(release: str, kind: str, **fields: Any) -> Document:
    return {"_producer": _PRODUCER, "_schemaURL": f"{_FACETS}/{release}/{kind}.json#/$defs/{kind}", **fields}


def _own_facet(**fields: Any) -> Document:
    """A facet that OpenLineage does not know, of the form that all have."""
    schema = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet"
    return {"_producer": _PRODUCER, "_schemaURL": schema, **fields}


def _error(message: str) -> Document:
    facet = _facet("1-0-0", "ErrorMessageRunFacet", message=message, programmingLanguage="PYTHON")
    return {"errorMessage": facet}
