"""Reading the prediction logs: each record is counted exactly once, in the transaction that moves the cursor."""

from __future__ import annotations

__all__ = ["LABELS_READ", "NEWEST_READ", "fits", "ingest", "log_counts"]

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from mainspring.clock import time_text
from mainspring.digest import digest_of
from mainspring.monitoring.record import LARGEST_METRIC, LabelEntry, LabelRecord, LogRecord, PredictionRecord
from mainspring.monitoring.sample import RowSample
from mainspring.monitoring.scores import OTHER_VALUES, group_name
from mainspring.monitoring.store import KnownLabel, OpenPrediction
from mainspring.monitors import InputDrift, attributes_of, needs_rows
from mainspring.operate.column_types import holds, unfitting
from mainspring.operate.day_tables import DayTables
from mainspring.operate.judging import PREDICTION, slice_value
from mainspring.operate.logs import Log, log_folders, tell
from mainspring.operate.references import reference_of, scores_of, task_of
from mainspring.operate.unit_outcomes import metrics_of, units_of
from mainspring.ranking import list_losses
from mainspring.ref import ModelRef
from mainspring.registry import ModelVersionNotFound
from mainspring.rollouts import Rollout, UnitOutcome
from mainspring.stores.segments import SegmentCorrupt

if TYPE_CHECKING:
    from pathlib import Path

    from mainspring.monitoring import Frame
    from mainspring.monitoring.record import LabelValue, Values
    from mainspring.product import ProductSpec
    from mainspring.stores.blobs import FileBlobs
    from mainspring.stores.sql.database import Transaction
    from mainspring.task import Task
    from mainspring.workspace import Workspace

REVISABLE = timedelta(days=90)
"""How long after it was asked a labelled prediction is known, to tell its label from a revised or a repeated one."""

NEWEST_READ, LABELS_READ = "newest_read", "labels_read"
"""The values under which is kept when the newest record came that was read, and how many labels were."""

_DAY = timedelta(days=1)
_SKEW = timedelta(minutes=1)
"""By how much the clocks of machines may differ before that is worth telling."""

_EARLY = "early_labels"
_COUNTS = "log_counts:"
_FORGOTTEN = "labels_forgotten"
_NOBODY = "-"  # no product can have this name


def ingest(workspace: Workspace) -> int:
    """Read what is new in every gateway's log; where one is damaged, that is recorded, and it is read up to there.

    Returns
    -------
    int
        How many records were read.
    """
    with workspace.database.read() as tx:
        waited, folders = len(_early(tx)), log_folders(tx, workspace)
    count = 0
    for folder in folders:
        damage = None
        try:
            while read_count := _ingest_piece(workspace, folder):
                count += read_count
        except SegmentCorrupt as error:  # the other logs can be read
            damage = error
            waited = 0  # what waits for a prediction may wait for one behind the damage
        tell(workspace, folder, "ingest", damage)
    _count_early(workspace, waited)
    _forget(workspace)
    return count


def _forget(workspace: Workspace) -> None:
    """Once a day, forget labelled predictions that are too old for another label."""
    now = workspace.clock.now()
    today = now.date().isoformat()
    with workspace.database.read() as tx:
        if tx.values.get(_FORGOTTEN) == today:
            return
    with workspace.database.write() as tx:
        tx.monitoring.forget_labelled(now - REVISABLE)
        tx.values.put(_FORGOTTEN, today)


def log_counts(tx: Transaction, product: str | None) -> dict[str, int]:
    """What of a product's traffic was not counted or not logged, by reason; of None what belongs to no product.

    Rows of predictions: `repeated_predictions` (an id that was asked before, or a request that nobody could answer and
    that was read before), `predictions_too_old` (read 90 days after they were asked: nobody can tell any more whether
    they have counted before), `of_unknown_version` (counted, but not in a profile), and what the gateway has left out:
    `unsampled`. Values that it has left out: `redacted`; those that are not of the type which their version was made
    with, and are missing to monitors: `mistyped_values`; and those that are not of the type which is declared now, kept
    as their version takes them: `redeclared_values`. Lists, of which no order is measured:
    `lists_of_several_versions` (one has answered a part of it, another the rest). Labels:
    `repeated_labels`, `revised_labels`, `outdated_labels` (known no later than the one at hand, which stays),
    `unfitting_labels` (no value of the label's type, so of another product maybe, or a business metric beyond ±1e15).
    Of no product: `of_unknown_product`, `labels_without_prediction`. Of either: `damaged_records`, which do not say of
    each row what they say of another.

    Where clocks differ, counted nevertheless: `predictions_of_the_future`, `predictions_of_days_looked_at` (so that
    monitors see those days otherwise than they did), `labels_known_before_asked`, `labels_known_in_the_future`.
    """
    return msgspec.json.decode(tx.values.get(_COUNTS + (product or _NOBODY)) or "{}", type=dict[str, int])


def _ingest_piece(workspace: Workspace, folder: Path) -> int:
    with workspace.database.read() as tx:
        log = Log.of(tx, folder)
    log.need_same()
    records, reached = log.read(log.cursor)
    if reached == log.cursor:
        return 0
    with workspace.database.write() as tx:
        log.move(tx, reached)
        _note_read(tx, records)
        unknown = _Counting(
            tx, workspace.blobs, workspace.specs(tx), workspace.clock.now(), DayTables(tx)
        ).count(records)
        if unknown:
            _wait(tx, [*_early(tx), *unknown])
    return max(1, len(records))


def _count_early(workspace: Workspace, waited: int) -> None:
    """Count labels that were read before their predictions, which another gateway may have logged.

    The first `waited` have waited since an earlier call: every log has been read to its end since, so that those
    which are still unknown are labels of predictions that were not logged, or are forgotten.
    """
    with workspace.database.read() as tx:
        if not _early(tx):
            return
    with workspace.database.write() as tx:
        early = _early(tx)
        specs = workspace.specs(tx)
        counting = _Counting(tx, workspace.blobs, specs, workspace.clock.now(), DayTables(tx))
        homeless = counting.count(early[:waited])
        counting.counts[_NOBODY]["labels_without_prediction"] += sum(len(each.labels) for each in homeless)
        _wait(tx, counting.count(early[waited:]))


def _note_read(tx: Transaction, records: Sequence[LogRecord]) -> None:
    if labels := sum(len(record.labels) for record in records if isinstance(record, LabelRecord)):
        tx.values.put(LABELS_READ, str(int(tx.values.get(LABELS_READ) or 0) + labels))
    newest = max((record.at for record in records), default=None)
    if newest is not None and time_text(newest) > (tx.values.get(NEWEST_READ) or ""):
        tx.values.put(NEWEST_READ, time_text(newest))


def _early(tx: Transaction) -> list[LabelRecord]:
    return msgspec.json.decode(tx.values.get(_EARLY) or "[]", type=list[LabelRecord])


def _wait(tx: Transaction, labels: list[LabelRecord]) -> None:
    tx.values.put(_EARLY, msgspec.json.encode(labels).decode())


def fits(value: LabelValue, spec: ProductSpec) -> bool:
    """Whether a value can be a label of a product: of the type of its column, and a truth value may be 0 or 1."""
    dtype = next((each.dtype for each in spec.data.columns if each.name == spec.task.label), "")
    return not dtype or holds(dtype, value)


def _counts(entry: LabelEntry, spec: ProductSpec) -> bool:
    """Whether a label can be counted: as a truth, or as a business metric."""
    if entry.metric:
        return not isinstance(entry.value, str) and abs(entry.value) <= LARGEST_METRIC
    return fits(entry.value, spec)


def _shared(groups: Iterable[Sequence[str]]) -> list[str]:
    """The slices that all rows of a list are in."""
    first, *others = groups
    return [name for name in first if all(name in each for each in others)]


def _names(record: PredictionRecord) -> list[str]:
    """Under what a request is known: the ids of its rows, or all that it says where nobody could answer and gave ids.

    Its moment, latency and trace are part of that, so that no other request says the same.
    """
    return record.ids if record.versions else [digest_of(msgspec.json.encode(record))]


@dataclass(slots=True)
class _Counting:
    """Adds one piece of a log to the tables, in one transaction."""

    tx: Transaction
    blobs: FileBlobs
    specs: dict[str, ProductSpec]
    now: datetime
    days: DayTables
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    rollouts: dict[str, Rollout | None] = field(default_factory=dict)
    slices: dict[tuple[str, int, str], tuple[str, ...]] = field(default_factory=dict)
    tasks: dict[tuple[str, int], Task] = field(default_factory=dict)

    def count(self, records: Sequence[LogRecord]) -> list[LabelRecord]:
        """Count predictions first, then labels: a label never comes before its prediction was answered.

        Returns
        -------
        list of LabelRecord
            The labels whose predictions are not open.
        """
        predictions = [record for record in records if isinstance(record, PredictionRecord)]
        labels = [
            (record, entry)
            for record in records
            if isinstance(record, LabelRecord)
            for entry in record.labels
        ]
        self._predictions([record for record in predictions if not self._is_damaged(record)])
        unknown = self._labels(labels)
        self.days.flush()
        for name, counts in self.counts.items():
            known = Counter(log_counts(self.tx, name))
            self.tx.values.put(_COUNTS + name, msgspec.json.encode(known + counts, order="sorted").decode())
        self.counts.clear()
        return unknown

    def _predictions(self, records: list[PredictionRecord]) -> None:
        records = [record for record in records if not self._is_too_old(record)]
        opened = self._open(records)
        groups = {each.prediction_id: each.groups for each in opened}
        fresh = set(self.tx.monitoring.add_open(opened))
        columns: dict[tuple[str, int, date, tuple[str, ...]], dict[str, list[Any]]] = defaultdict(
            lambda: defaultdict(list)
        )
        asked_as: dict[tuple[str, int, date, tuple[str, ...]], tuple[list[str], list[datetime]]] = (
            defaultdict(lambda: ([], []))
        )
        sliced: dict[tuple[str, int, date, tuple[str, ...]], dict[str, list[int]]] = defaultdict(
            lambda: defaultdict(list)
        )
        units: dict[str, list[UnitOutcome]] = defaultdict(list)
        for record in records:
            self.counts[record.product].update(record.unlogged)
            if record.product not in self.specs:
                self.counts[_NOBODY]["of_unknown_product"] += len(record.ids)
                continue
            # What was left out or hashed is not missing, and has no distribution: no profile speaks of it.
            given = record.columns
            names = _names(record)
            if not fresh.isdisjoint(names):
                self.days.serve(record)
            elif not record.versions:
                self.counts[record.product]["repeated_predictions"] += len(record.units)
            if not record.versions:
                fresh.difference_update(names)
            self._notice_clock(record)
            self._ask_list(record, fresh, groups)
            logged = tuple(name for name in given if name not in record.redacted)
            for row, version in enumerate(record.versions):
                if record.ids[row] not in fresh:
                    self.counts[record.product]["repeated_predictions"] += 1
                    continue
                fresh.remove(record.ids[row])
                day = record.at.date()
                self.days.ask(
                    (record.product, version, day),
                    record.ids[row],
                    record.scores[row],
                    groups[record.ids[row]],
                    self._task(record.product, version),
                )
                asked = columns[record.product, version, day, logged]
                for group in groups[record.ids[row]]:
                    sliced[record.product, version, day, logged][group].append(len(asked[PREDICTION]))
                asked[PREDICTION].append(record.scores[row])
                ids, moments = asked_as[record.product, version, day, logged]
                ids.append(record.ids[row])
                moments.append(record.at)
                for name in logged:
                    asked[name].append(given[name][row])
            rollout = self._rollout(record.product)
            if rollout is not None and record.at >= rollout.step_started_at and not record.pinned:
                units[rollout.step_id] += units_of(record, rollout, self.specs[record.product].task)
        for rollout_id, seen in units.items():
            self.tx.rollouts.see_units(rollout_id, seen)
        for (product, version, day, logged), asked in columns.items():
            frame = self._frame(product, version)
            if frame is None:
                self.counts[product]["of_unknown_version"] += len(asked[PREDICTION])
                continue
            place, spec = (product, version, day), self.specs[product]
            # By the types that the version was made with, which may be declared otherwise by now.
            self.counts[product]["mistyped_values"] += self.days.profile(place, asked, frame)
            self.counts[product]["redeclared_values"] += sum(
                unfitting(asked[column.name], column.dtype) for column in spec.inputs if column.name in asked
            )
            watched = attributes_of(each for each in spec.monitors if isinstance(each, InputDrift))
            if watched:
                inputs = {name: each for name, each in frame.items() if name != PREDICTION}
                rows = sliced[product, version, day, logged]
                named = {
                    group: rows[group]
                    for name in watched
                    for group in rows
                    if group.startswith(group_name(name, ""))
                }
                self.days.slices(place, asked, named, inputs)
            if needs_rows(spec.monitors):
                self.days.sample(place, RowSample.of(*asked_as[product, version, day, logged], asked))

    def _ask_list(
        self, record: PredictionRecord, fresh: set[str], groups: Mapping[str, Sequence[str]]
    ) -> None:
        """Count the list that a request is, where its product puts rows in order."""
        if not self._has_lists(record.product) or not fresh.intersection(record.ids[:1]):
            return
        if self._list_of(record):
            place = record.product, record.versions[0], record.at.date()
            self.days.ask_list(place, _shared(groups[each] for each in record.ids))
        elif record.versions:
            self.counts[record.product]["lists_of_several_versions"] += 1

    def _list_of(self, record: PredictionRecord) -> str:
        """Name the list that a request is; empty where it is none, or no version has answered all of it."""
        whole = self._has_lists(record.product) and len(set(record.versions)) == 1
        return record.ids[0] if whole else ""

    def _has_lists(self, product: str) -> bool:
        return self.specs[product].task.lists is not None

    def _is_too_old(self, record: PredictionRecord) -> bool:
        """Whether a record may repeat one that is forgotten; counted if so."""
        if record.product not in self.specs or record.at >= self.now - REVISABLE:
            return False
        self.counts[record.product]["predictions_too_old"] += len(record.ids)
        return True

    def _is_damaged(self, record: PredictionRecord) -> bool:
        """Whether a record lacks something of one of its rows; counted if so."""
        if not record.whole:
            owner = record.product if record.product in self.specs else _NOBODY
            self.counts[owner]["damaged_records"] += 1
        return not record.whole

    def _notice_clock(self, record: PredictionRecord) -> None:
        """Name what another clock has dated: rows of the future, or of days that monitors have looked at already."""
        if record.at > self.now + _SKEW:
            self.counts[record.product]["predictions_of_the_future"] += len(record.ids)
        elif record.at.date() < self.now.date() - _DAY:
            looked = self.tx.values.get(f"watched:{record.product}")
            if looked is not None and record.at.date().isoformat() <= looked:
                self.counts[record.product]["predictions_of_days_looked_at"] += len(record.ids)

    def _open(self, records: list[PredictionRecord]) -> list[OpenPrediction]:
        unanswered = [
            OpenPrediction(prediction_id=name, product=_NOBODY, version=0, at=record.at, unit="", score=0.0)
            for record in records
            if record.product in self.specs and not record.versions
            for name in _names(record)
        ]
        return unanswered + [
            OpenPrediction(
                prediction_id=record.ids[row],
                product=record.product,
                version=version,
                at=record.at,
                unit="" if record.pinned else record.units[row],
                score=record.scores[row],
                groups=tuple(
                    group_name(name, self._slice(record.product, version, name, values[row]))
                    for name, values in sliced.items()
                ),
                list_id=list_id,
            )
            for record in records
            if record.product in self.specs
            for sliced in (self._sliced(record),)
            for list_id in (self._list_of(record),)
            for row, version in enumerate(record.versions)
        ]

    def _sliced(self, record: PredictionRecord) -> dict[str, Values]:
        """The columns by whose values monitors look at rows apart, as far as the request had them."""
        names = attributes_of(self.specs[record.product].monitors)
        columns = record.columns if names else {}
        return {name: columns[name] for name in names if name in columns}

    def _slice(self, product: str, version: int, attribute: str, value: object) -> str:
        place = product, version, attribute
        if place not in self.slices:
            try:
                digest = self.tx.registry.get(ModelRef(product, version)).reference
            except ModelVersionNotFound:
                self.slices[place] = ()
            else:
                self.slices[place] = scores_of(self.blobs, digest).values(attribute)
        named = slice_value(value)
        return named if named in self.slices[place] else OTHER_VALUES

    def _task(self, product: str, version: int) -> Task:
        place = product, version
        if place not in self.tasks:
            ref = ModelRef(product, version)
            self.tasks[place] = task_of(self.tx, self.blobs, ref, self.specs[product].task)
        return self.tasks[place]

    def _frame(self, product: str, version: int) -> Frame | None:
        """Frame of a version's profiles; None of one that the registry lacks, as where it was restored from a copy."""
        try:
            digest = self.tx.registry.get(ModelRef(product, version)).reference
        except ModelVersionNotFound:
            return None
        inputs, predictions = reference_of(self.blobs, digest).profiles()
        return {**inputs.frame, **predictions.frame}

    def _notice_label_clock(self, entry: LabelEntry, prediction: OpenPrediction) -> None:
        if entry.known_at < prediction.at - _SKEW:
            self.counts[prediction.product]["labels_known_before_asked"] += 1
        elif entry.known_at > self.now + _DAY:
            self.counts[prediction.product]["labels_known_in_the_future"] += 1

    def _labels(self, entries: list[tuple[LabelRecord, LabelEntry]]) -> list[LabelRecord]:
        """Count labels; give those of no open prediction.

        The sums of a day's quality follow the newest label of each prediction. What detectors and rollouts have been
        told of it stays: evidence that was looked at cannot be taken back.
        """
        ids = [entry.prediction_id for _, entry in entries]
        open_to, labels = self.tx.monitoring.find_open(ids), dict(self.tx.monitoring.labels(ids))
        renewed: dict[tuple[str, str], KnownLabel] = {}
        unknown: list[LabelRecord] = []
        units: dict[str, list[UnitOutcome]] = defaultdict(list)
        completed: set[str] = set()
        for record, entry in entries:
            prediction = open_to.get(entry.prediction_id)
            if prediction is None:
                unknown.append(LabelRecord(at=record.at, labels=[entry]))
                continue
            if prediction.product not in self.specs:
                self.counts[_NOBODY]["of_unknown_product"] += 1
                continue
            if not _counts(entry, self.specs[prediction.product]):
                self.counts[prediction.product]["unfitting_labels"] += 1
                continue
            self._notice_label_clock(entry, prediction)
            key = entry.prediction_id, entry.metric
            before = labels.get(key)
            if before is not None and entry.known_at <= before.known_at and entry.value != before.value:
                self.counts[prediction.product]["outdated_labels"] += 1
                continue
            labels[key] = renewed[key] = KnownLabel(
                prediction_id=entry.prediction_id,
                metric=entry.metric,
                value=entry.value,
                known_at=max(entry.known_at, before.known_at) if before else entry.known_at,
            )
            if before is not None and entry.value == before.value:
                self.counts[prediction.product]["repeated_labels"] += 1
                continue
            if entry.metric:
                self.days.metric(prediction, entry, before)
                figures = {entry.metric: float(entry.value)}
            else:
                task = self._task(prediction.product, prediction.version)
                figures = self.days.truth(prediction, task.outcome(entry.value), 1, task)
                if before is not None:
                    self.days.truth(prediction, task.outcome(before.value), -1, task)
            if before is not None:
                self.counts[prediction.product]["revised_labels"] += 1
                continue
            if not entry.metric:
                self.days.label(prediction, figures, entry.known_at, record.at, task)
                if prediction.list_id:
                    completed.add(prediction.list_id)
            rollout = self._rollout(prediction.product)
            if rollout is not None and prediction.at >= rollout.step_started_at:
                if not entry.metric:  # both arms by one range, whichever each was judged by
                    declared = self.specs[prediction.product].task
                    figures = declared.row_losses(prediction.score, declared.outcome(entry.value))
                units[rollout.step_id] += metrics_of(prediction, rollout, figures)
        self.tx.monitoring.put_labels(list(renewed.values()))
        self._measure_lists(completed)
        for rollout_id, seen in units.items():
            self.tx.rollouts.see_units(rollout_id, seen)
        return unknown

    def _measure_lists(self, list_ids: set[str]) -> None:
        """Measure those of some lists that have all their labels since now.

        A first label comes once, so a list is measured once; revised labels leave what detectors have been told.
        """
        lists = self.tx.monitoring.in_lists(sorted(list_ids))
        labels = self.tx.monitoring.labels(each.prediction_id for rows in lists.values() for each in rows)
        for rows in lists.values():
            known = [labels.get((each.prediction_id, "")) for each in rows]
            first = rows[0]
            task = self._task(first.product, first.version)
            outcomes = [task.outcome(each.value) for each in known if each is not None]
            if task.lists is not None and len(outcomes) == len(rows):
                losses = list_losses([each.score for each in rows], outcomes, task.lists.top)
                place = first.product, first.version, first.at.date()
                self.days.measure_list(place, losses, _shared(each.groups for each in rows))

    def _rollout(self, product: str) -> Rollout | None:
        if product not in self.rollouts:
            self.rollouts[product] = self.tx.rollouts.running(product)
        return self.rollouts[product]
