"""What the controller asks of worker processes, and what they answer."""

from __future__ import annotations

__all__ = [
    "LABEL",
    "LIST",
    "AddBatch",
    "Added",
    "Answer",
    "Around",
    "AskModel",
    "Asked",
    "BuildExamples",
    "Built",
    "Describe",
    "Described",
    "Failed",
    "JudgeCandidate",
    "JudgeTable",
    "Judged",
    "Materialize",
    "Materialized",
    "PackageOffer",
    "Probe",
    "ProbeModel",
    "Probed",
    "RunStep",
    "TakeSnapshot",
    "Taken",
    "Task",
]

import errno
from datetime import datetime
from typing import TypeAlias

import msgspec

from mainspring.data import BatchReport, Change
from mainspring.engines import Usage
from mainspring.errors import MainspringError
from mainspring.product import FeatureViewSpec, ParamValue, ProductSpec
from mainspring.stores.errors import StoreUnavailable

LABEL = "label"
"""The column that steps see in place of the product's own label: of 0 and 1, or of numbers."""

LIST = "__list"
"""The column of examples that names the list of a row, where rows are put in order; steps do not see it."""


class _Message(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A task or an answer. A task's `declared` is the digest of the declaration that it is part of."""


class Describe(_Message, frozen=True):
    """Load every product file of the workspace."""


class Described(_Message, frozen=True):
    """The products, and the digests under which their code, and the environment that it runs in, are kept as blobs.

    `refused` says of each file that is at fault what is wrong with it; its products are not among the others.
    """

    products: tuple[ProductSpec, ...]
    environment: str
    code: str
    refused: dict[str, str]


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch is judged beside: the time, how many rows came before, and the tables of other datasets.

    `rows_before` is None before the first; `others` are versions of tables by dataset. `digest` is that of all that a
    refusal may rest on but the time.
    """

    now: datetime
    rows_before: int | None
    others: dict[str, int]
    digest: str


class AddBatch(_Message, frozen=True):
    """Check a batch and make the next version of the dataset's table.

    `table_version` is that of the data version which the new one follows, None before the first. What stands in the
    table beyond it was never published, or on another branch: it is taken back first. `key` names a row, `plain` says
    that no product has a schema for it, `change` what becomes of the rows of before, and `time_zone` is that of moments
    that have none. `known` is when rows became known that do not say so themselves. `around` is what the dataset's own
    checks need, and `released` says that a person lets rows in that were set aside.
    """

    dataset: str
    file: str
    table_version: int | None
    key: tuple[str, ...]
    plain: bool = False
    change: Change = Change.APPEND
    time_zone: str = ""
    known: datetime | None = None
    around: Around | None = None
    released: bool = False


class Added(_Message, frozen=True):
    """What validation found, how many rows are new, changed and gone, and the table's version.

    None for a refused batch, and the version of before where the batch changes nothing.
    """

    report: BatchReport
    rows: int
    table_version: int | None
    changed: int = 0
    removed: int = 0


class JudgeTable(_Message, frozen=True):
    """Check all rows of a version of a Delta table that others write; the rest is as for `AddBatch`.

    `before` is the table's version that the dataset's version before refers to.
    """

    dataset: str
    folder: str
    version: int
    key: tuple[str, ...]
    plain: bool
    before: int | None = None
    around: Around | None = None


class TakeSnapshot(_Message, frozen=True):
    """Make the snapshot of a view at a version of its source's table, to hold from an instant on."""

    view: FeatureViewSpec
    table_version: int
    until: datetime


class Taken(_Message, frozen=True):
    """The digest of a snapshot in the blob store."""

    snapshot: str


class Materialize(_Message, frozen=True):
    """Write rows of a view into a space of the store at a URL: those of a table version that one before does not have.

    `since` and `until` are bounds of event times, both included. `now` is the instant of writing.
    """

    view: FeatureViewSpec
    store: str
    space: str
    table_version: int
    before: int | None
    since: datetime | None
    until: datetime | None
    now: datetime


class Materialized(_Message, frozen=True):
    """How many rows were written, and how many could never count, since a newer one does."""

    written: int
    older: int


class BuildExamples(_Message, frozen=True):
    """Join the product's rows with its features, as of each row's event time."""

    product: str
    declared: str
    tables: dict[str, int]
    as_of: datetime


class RunStep(_Message, frozen=True):
    """Run one step; `examples` marks the first, which gets the training rows of the split.

    `changed_at` is when what started the cycle had begun, where that matters for what it trains on. With `whole` the
    rows of the hold-out are trained on as well.
    """

    product: str
    declared: str
    step: str
    params: dict[str, ParamValue]
    seed: int
    input: str
    examples: bool
    as_of: datetime
    changed_at: datetime | None = None
    whole: bool = False


class PackageOffer(_Message, frozen=True):
    """Package a model that a client logged, instead of one that the steps give.

    `mlmodel` and `model` are the digests of the file that describes it and of the one that holds it.
    """

    product: str
    declared: str
    mlmodel: str
    model: str
    examples: str
    as_of: datetime


class Built(_Message, frozen=True):
    """The digest of an output in the blob store, and what making it has used."""

    output: str
    usage: Usage | None = None


class JudgeCandidate(_Message, frozen=True):
    """Evaluate the packaged candidate, and the champion, on the hold-out."""

    product: str
    declared: str
    examples: str
    candidate: str
    champion: str | None
    as_of: datetime
    changed_at: datetime | None = None


class Judged(_Message, frozen=True):
    """Evaluations as JSON texts, the reference profile's digest, and rows to probe the model with."""

    candidate: str
    champion: str | None
    reference: str
    sample: str


class ProbeModel(_Message, frozen=True):
    """Load a packaged model and ask it for the rows of a sample, one at a time and all together.

    `allow_code` says whether a model that is code of the product's own may be loaded, `timeout_s` how long it may take.
    """

    artifact: str
    sample: str
    allow_code: bool
    timeout_s: float


class Probed(_Message, frozen=True):
    """The greatest difference from the expected answers, and the 99th percentile of one row's seconds."""

    difference: float
    p99_s: float


class AskModel(_Message, frozen=True):
    """Load a packaged model and ask it for the rows of a Parquet file; the rest is as for `ProbeModel`."""

    artifact: str
    rows: str
    allow_code: bool
    timeout_s: float


class Asked(_Message, frozen=True):
    """A probability for each row, in order; None where the model gave no number."""

    answers: list[float | None]


class Failed(_Message, frozen=True):
    """Why there is no answer. `kind` is the error's class; `unavailable` says that a disk is why, and not the task."""

    kind: str
    message: str
    unavailable: bool = False

    @classmethod
    def by(cls, error: Exception, place: str = "") -> Failed:
        """Tell of an error, and in words where it arose."""
        ours = isinstance(error, MainspringError)
        no_room = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return cls(
            kind=type(error).__name__,
            message=(str(error) if ours else f"{type(error).__name__}: {error}") + place,
            unavailable=no_room or isinstance(error, StoreUnavailable),
        )


Probe: TypeAlias = ProbeModel | AskModel
"""The tasks for a clean process."""

Task: TypeAlias = (
    Describe
    | AddBatch
    | JudgeTable
    | TakeSnapshot
    | Materialize
    | BuildExamples
    | RunStep
    | PackageOffer
    | JudgeCandidate
)
Answer: TypeAlias = Described | Added | Taken | Materialized | Built | Judged | Probed | Asked | Failed
