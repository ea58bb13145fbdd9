"""What people ask of a workspace, as plain values: the CLI, the pages and the API show the same ones."""

from __future__ import annotations

__all__ = [
    "CycleRow",
    "DataRow",
    "EventRow",
    "ProductStatus",
    "QualityRow",
    "RolloutRow",
    "RunRow",
    "VersionRow",
    "batch_row",
    "budget_days",
    "cycle_rows",
    "data_row",
    "data_rows",
    "event_row",
    "events",
    "explain_cycle",
    "gain_rows",
    "only_product",
    "product_status",
    "quality_rows",
    "run_rows",
    "version_row",
    "version_rows",
]

from collections import defaultdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.errors import Invalid, NotFound
from mainspring.loop import CycleState, TriggerKind, trigger_text
from mainspring.operate.approve import version_stands
from mainspring.operate.budget import BudgetDay, BudgetRow, budget_rows, days_of_budget
from mainspring.operate.data.datasets import UnknownDataset
from mainspring.operate.declare import refused_files
from mainspring.operate.estimates import EstimateRow, estimate_row
from mainspring.operate.gain import Gain, gains, unhelpful
from mainspring.operate.ingest import log_counts
from mainspring.operate.logs import log_rows
from mainspring.operate.observe import observed_of
from mainspring.operate.references import task_of
from mainspring.operate.verify_version import changed_versions
from mainspring.ref import DataRef, ModelRef
from mainspring.rollouts import Mode, advance
from mainspring.task import BinaryClassification

if TYPE_CHECKING:
    from mainspring.data import Batch
    from mainspring.governance import Entry
    from mainspring.loop import Cycle
    from mainspring.stores.sql.database import Transaction
    from mainspring.workspace import Workspace


class UnknownProduct(NotFound):
    """A product that no file declares."""

    def __init__(self, product: str, known: tuple[str, ...]) -> None:
        super().__init__(product, known)
        self.product, self.known = product, known

    def __str__(self) -> str:
        return f"No product named {self.product!r}. There are: {', '.join(self.known) or 'none'}."


class ProductNotNamed(Invalid):
    """A question about the product where there is not just one."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(known)
        self.known = known

    def __str__(self) -> str:
        if not self.known:
            return "No product has been declared here yet: `mainspring up` reads the product files."
        return f"There are {len(self.known)} products: say which of {', '.join(self.known)} is meant."


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    pass


class DataRow(_Row, frozen=True):
    """A batch that was handed in, by its digest, what was asked of it, and the data version that it made."""

    dataset: str
    ref: str | None
    at: datetime
    outcome: str
    rows: int
    quarantined: int
    actor: str
    refusal: str
    failures: list[dict[str, Any]]
    passed: list[dict[str, Any]]
    batch: str


class RunRow(_Row, frozen=True):
    """A run with its steps."""

    run_id: str
    product: str
    state: str
    started_at: datetime
    params: dict[str, Any]
    data: list[str]
    steps: list[dict[str, Any]]
    metrics: dict[str, float]
    error: str


class VersionRow(_Row, frozen=True):
    """A model version; `certificate` is the digest of its shadow certificate, if it has one."""

    ref: str
    aliases: list[str]
    registered_at: datetime
    metrics: dict[str, float]
    data: list[str]
    artifact: str
    signature: dict[str, Any]
    lineage: dict[str, Any]
    reason: str
    certificate: str | None


class CycleRow(_Row, frozen=True):
    """A cycle. `parts` are the kinds of triggers that spoke together, where its trigger is `all_of`.

    `seconds` are measured ones, and stay out of the ledger.
    """

    cycle_id: str
    product: str
    number: int
    trigger: TriggerKind
    evidence: str
    actor: str
    opened_at: datetime
    state: str
    data: list[str]
    params: dict[str, Any]
    version: int | None
    verdict: str
    outcome: str | None
    reason: str
    closed_at: datetime | None
    seconds: float | None
    parts: list[TriggerKind] = []

    @property
    def trigger_text(self) -> str:
        """Its trigger for people, with the parts of a combination."""
        return trigger_text(self.trigger, self.parts)


class RolloutRow(_Row, frozen=True):
    """A rollout, with what was seen of both arms in its present step and what follows from it now."""

    product: str
    champion: str
    challenger: str
    phase: str
    share: float
    strategy: str
    steps: list[float]
    started_at: datetime
    step_started_at: datetime
    arms: dict[str, Any]
    decision: str
    reason: str
    evidence: list[dict[str, Any]]


class QualityRow(_Row, frozen=True):
    """The quality of one version on the predictions of one day; None until labels have come.

    `metric` is the task's usual loss, and `loss` its mean; `losses` has all of them. `positive_rate` is the share of
    labels that are the positive one, where there is one.
    """

    day: date
    version: int
    predictions: int
    labelled: int
    positive_rate: float | None
    metric: str
    loss: float | None
    losses: dict[str, float]


class EventRow(_Row, frozen=True):
    """An entry of the ledger."""

    number: int
    type: str
    subject: str
    at: str
    actor: str
    reason: str
    data: dict[str, Any]
    hash: str


class ProductStatus(_Row, frozen=True):
    """A product at a glance.

    `metric` is the loss by which its quality is told. `approval` says what a version waits for that is not rolled out
    yet. `estimate` is what the champion's quality is likely to be on the last 7 days that are over. `gain` says what
    the last promotion that was measured was worth, and `unhelpful` of which triggers none is shown to have helped.
    `uncounted` says of its log, and of what belongs to no product, what `log_counts` does. `damaged_logs` says which
    gateways' logs are not read on, whosever predictions they hold. `changed_versions` says which of its versions are
    not what was registered, so that they are not loaded. `refused_files` says what is wrong with its product file,
    while what that declared before is in force, and with files that have not declared a product yet.
    """

    product: str
    now: datetime
    champion: VersionRow | None
    cycle: CycleRow | None
    rollout: RolloutRow | None
    cycles: int
    metric: str
    predictions: int
    labelled: int
    waiting_requests: int
    last_alarm: str | None
    estimate: EstimateRow | None
    gain: str | None
    unhelpful: list[str]
    approval: str | None = None
    budget: list[BudgetRow] = []
    uncounted: dict[str, int] = {}
    damaged_logs: list[str] = []
    changed_versions: list[str] = []
    refused_files: list[str] = []


def product_names(tx: Transaction) -> tuple[str, ...]:
    """Give the names of the declared products."""
    return tuple(key.removeprefix("product:") for key in tx.values.items("product:"))


def check_product(tx: Transaction, product: str) -> None:
    """Raise `UnknownProduct` for a product that is not declared."""
    known = product_names(tx)
    if product not in known:
        raise UnknownProduct(product, known)


def only_product(workspace: Workspace) -> str:
    """Give the name of the one product there is; raises `ProductNotNamed` when there are others or none."""
    with workspace.database.read() as tx:
        names = product_names(tx)
    if len(names) != 1:
        raise ProductNotNamed(names)
    return names[0]


def product_status(workspace: Workspace, product: str) -> ProductStatus:
    """Sum up one product; raises `UnknownProduct`."""
    with workspace.database.read() as tx:
        check_product(tx, product)
        aliases = tx.registry.aliases(product)
        cycles = tx.loop.cycles(product)
        last = cycles[-1] if cycles else None
        quality = tx.monitoring.quality(product)
        alarms = tx.monitoring.alarms(product)
        champion = aliases.get("champion")
        measured, task = gains(tx, product), workspace.specs(tx)[product].task
        return ProductStatus(
            product=product,
            now=workspace.clock.now(),
            champion=_version(tx, ModelRef(product, champion)) if champion else None,
            cycle=_cycle(tx, last) if last and last.closed_at is None else None,
            rollout=_rollout(workspace, tx, product),
            approval=_approval(workspace, tx, last) if last else None,
            cycles=len(cycles),
            metric=task.losses[0],
            predictions=sum(row.predictions for row in quality),
            labelled=sum(row.labelled for row in quality),
            waiting_requests=len(tx.loop.requests(product)),
            last_alarm=f"{alarms[-1].at:%Y-%m-%d}: {alarms[-1].monitor}, {alarms[-1].evidence}"
            if alarms
            else None,
            estimate=estimate_row(workspace, tx, ModelRef(product, champion), task) if champion else None,
            gain=f"cycle {measured[-1].cycle}: {measured[-1].reason}" if measured else None,
            unhelpful=list(unhelpful(measured)),
            budget=budget_rows(tx, workspace.specs(tx)[product], workspace.clock.now()),
            uncounted=log_counts(tx, product) | log_counts(tx, None),
            damaged_logs=[each.damage for each in log_rows(tx, workspace) if each.damage],
            changed_versions=changed_versions(tx, product),
            refused_files=_refused(tx, workspace, product),
        )


def _refused(tx: Transaction, workspace: Workspace, product: str) -> list[str]:
    specs = workspace.specs(tx)
    of_others = {spec.file for spec in specs.values()} - {specs[product].file}
    return list(dict.fromkeys(why for file, why in refused_files(tx).items() if file not in of_others))


def gain_rows(workspace: Workspace, product: str) -> list[Gain]:
    """Give what was last found of each promotion, oldest first; raises `UnknownProduct`."""
    with workspace.database.read() as tx:
        check_product(tx, product)
        return list(gains(tx, product))


def budget_days(workspace: Workspace, product: str) -> list[BudgetDay]:
    """Tell by day what its monitors have spent of the alarm budget; raises `UnknownProduct`."""
    with workspace.database.read() as tx:
        check_product(tx, product)
        return days_of_budget(tx, workspace.specs(tx)[product], workspace.clock.now())


def cycle_rows(workspace: Workspace, product: str | None = None) -> list[CycleRow]:
    """Give every cycle, oldest first."""
    with workspace.database.read() as tx:
        if product is not None:
            check_product(tx, product)
        return [_cycle(tx, cycle) for cycle in tx.loop.cycles(product)]


def data_rows(workspace: Workspace, dataset: str | None = None) -> list[DataRow]:
    """Give every batch, oldest first within its dataset; raises `UnknownDataset`."""
    with workspace.database.read() as tx:
        known = {each.name for spec in workspace.specs(tx).values() for each in spec.datasets}
        known |= {version.dataset for version in tx.data.versions()}  # scores are of no product's declaration
        if dataset is not None and dataset not in known:
            raise UnknownDataset(dataset, tuple(sorted(known)))
        return [
            batch_row(batch)
            for name in sorted(known if dataset is None else {dataset})
            for batch in tx.data.batches(name)
        ]


def data_row(workspace: Workspace, ref: DataRef) -> DataRow:
    """Give the batch that made a data version; raises `mainspring.data.DataVersionNotFound`."""
    with workspace.database.read() as tx:
        version = tx.data.get(ref)
        return next(
            batch_row(batch) for batch in tx.data.batches(ref.dataset) if batch.version == version.number
        )


def run_rows(workspace: Workspace, product: str | None = None, *, limit: int = 100) -> list[RunRow]:
    """Give the newest runs, newest first; raises `UnknownProduct`."""
    with workspace.database.read() as tx:
        if product is not None:
            check_product(tx, product)
        return [
            RunRow(
                run_id=run.run_id,
                product=run.product,
                state=run.state.value,
                started_at=run.started_at,
                params=dict(run.params),
                data=list(run.data),
                steps=[dict(step) for step in run.steps],
                metrics=dict(run.metrics),
                error=run.error,
            )
            for run in tx.runs.runs(product, limit=limit)
        ]


def version_rows(workspace: Workspace, product: str | None = None) -> list[VersionRow]:
    """Give every model version, oldest first within its product; raises `UnknownProduct`."""
    with workspace.database.read() as tx:
        if product is not None:
            check_product(tx, product)
        return [_version(tx, version.ref) for version in tx.registry.versions(product)]


def version_row(workspace: Workspace, ref: ModelRef) -> VersionRow:
    """Give one model version, by number or alias.

    Raises
    ------
    UnknownProduct, mainspring.registry.ModelVersionNotFound
        There is no such product, or it has no such version.
    """
    with workspace.database.read() as tx:
        check_product(tx, ref.product)
        return _version(tx, ref)


def quality_rows(workspace: Workspace, product: str) -> list[QualityRow]:
    """Give the quality by day and version; raises `UnknownProduct`."""
    with workspace.database.read() as tx:
        check_product(tx, product)
        rows, task = tx.monitoring.quality(product), workspace.specs(tx)[product].task
        tasks = {
            number: task_of(tx, workspace.blobs, ModelRef(product, number), task)
            for number in {row.version for row in rows}
        }
    losses = {
        row: {name: row.loss(name, tasks[row.version]) / row.labelled for name in task.losses}
        if row.labelled
        else {}
        for row in rows
    }
    return [
        QualityRow(
            day=row.day,
            version=row.version,
            predictions=row.predictions,
            labelled=row.labelled,
            positive_rate=row.positives / row.labelled
            if row.labelled and isinstance(task, BinaryClassification)
            else None,
            metric=task.losses[0],
            loss=losses[row].get(task.losses[0]),
            losses=losses[row],
        )
        for row in rows
    ]


def events(
    workspace: Workspace, *, limit: int = 50, subject: str | None = None, before: int | None = None
) -> list[EventRow]:
    """Give the newest entries of the ledger, newest first; with `before`, of all subjects, those older than it."""
    with workspace.database.read() as tx:
        if before is None:
            return [event_row(entry) for entry in tx.ledger.newest(limit=limit, subject=subject)]
        first = max(0, before - 1 - limit)
        older = [event_row(entry) for entry in tx.ledger.entries(after=first, limit=before - 1 - first)]
        return older[::-1]


def explain_cycle(
    workspace: Workspace, product: str, number: int | None = None
) -> tuple[CycleRow, list[EventRow]]:
    """Tell a cycle's story: the cycle, and every event that names it, oldest first.

    Raises
    ------
    UnknownProduct, mainspring.loop.CycleNotFound
        There is no such product, or it has no such cycle.
    """
    from mainspring.loop import CycleNotFound

    with workspace.database.read() as tx:
        check_product(tx, product)
        found = [cycle for cycle in tx.loop.cycles(product) if number is None or cycle.number == number]
        if not found:
            raise CycleNotFound(f"{product}/{number or 'last'}")
        cycle = found[-1]
        told = [
            event
            for entry in tx.ledger.entries()
            if (event := event_row(entry)).data.get("cycle") == cycle.cycle_id
        ]
        return _cycle(tx, cycle), told


def batch_row(batch: Batch) -> DataRow:
    """Tell of a batch."""
    return DataRow(
        dataset=batch.dataset,
        ref=str(DataRef(batch.dataset, batch.version)) if batch.version else None,
        at=batch.at,
        outcome=batch.report.outcome.value,
        rows=batch.report.rows,
        quarantined=batch.report.quarantined,
        actor=batch.actor,
        refusal=batch.report.refusal,
        failures=[msgspec.to_builtins(failure) for failure in batch.report.failures],
        passed=[msgspec.to_builtins(each) for each in batch.report.passed],
        batch=batch.digest,
    )


def _version(tx: Transaction, ref: ModelRef) -> VersionRow:
    version = tx.registry.get(ref)
    aliases: dict[int, list[str]] = defaultdict(list)
    for alias, number in sorted(tx.registry.aliases(ref.product).items()):
        aliases[number].append(alias)
    return VersionRow(
        ref=str(version.ref),
        aliases=aliases[version.number],
        registered_at=version.registered_at,
        metrics=dict(version.metrics),
        data=list(version.data),
        artifact=version.artifact,
        signature=msgspec.json.decode(version.signature),
        lineage=dict(version.lineage),
        reason=version.reason,
        certificate=tx.values.get(f"certificate:{version.product}:{version.number}"),
    )


def _cycle(tx: Transaction, cycle: Cycle) -> CycleRow:
    seconds = tx.values.items(f"seconds:{cycle.cycle_id}:")
    return CycleRow(
        cycle_id=cycle.cycle_id,
        product=cycle.product,
        number=cycle.number,
        trigger=cycle.trigger,
        parts=list(cycle.parts),
        evidence=cycle.evidence,
        actor=cycle.actor,
        opened_at=cycle.opened_at,
        state=cycle.state.value,
        data=[f"{name}@v{version}" for name, version in sorted(cycle.data.items())],
        params=dict(cycle.params),
        version=cycle.version,
        verdict=cycle.verdict,
        outcome=cycle.outcome.value if cycle.outcome else None,
        reason=cycle.reason,
        closed_at=cycle.closed_at,
        seconds=sum(map(float, seconds.values())) if seconds else None,
    )


def _approval(workspace: Workspace, tx: Transaction, cycle: Cycle) -> str | None:
    """What a version that is registered and not rolled out waits for."""
    if cycle.state is not CycleState.REGISTERED or cycle.version is None:
        return None
    ref = ModelRef(cycle.product, cycle.version)
    found = version_stands(tx, tx.registry.get(ref), now=workspace.clock.now())
    return f"{ref} is {found.standing}: {found.why}"


def _rollout(workspace: Workspace, tx: Transaction, product: str) -> RolloutRow | None:
    rollout = tx.rollouts.running(product)
    if rollout is None:
        return None
    observed = observed_of(tx, rollout)
    decision = advance(rollout, observed, workspace.clock.now())
    only = {"champion": observed.champion, "challenger": observed.of_version(rollout.challenger)}
    others = {str(ModelRef(product, each)): observed.of_version(each) for each in rollout.challengers[1:]}
    return RolloutRow(
        product=product,
        champion=str(ModelRef(product, rollout.champion)),
        challenger=str(ModelRef(product, rollout.challenger)),
        phase=rollout.phase.value,
        share=rollout.share,
        strategy=type(rollout.strategy).__name__,
        steps=[*(0.0 if step.mode is Mode.SHADOW else sum(step.shares) for step in rollout.steps), 1.0],
        started_at=rollout.started_at,
        step_started_at=rollout.step_started_at,
        arms=msgspec.to_builtins(only | others, str_keys=True),
        decision=decision.kind.value,
        reason=decision.reason,
        evidence=[msgspec.to_builtins(each) for each in decision.evidence],
    )


def event_row(entry: Entry) -> EventRow:
    """Tell of an entry of the ledger."""
    return EventRow(
        number=entry.number,
        type=entry.type,
        subject=entry.subject,
        at=entry.at,
        actor=entry.actor,
        reason=entry.reason,
        data=msgspec.json.decode(entry.data),
        hash=entry.hash,
    )
