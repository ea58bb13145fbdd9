"""The worker process: the only place where a user's code runs.

Reads one task a line on standard input and answers with one line. What user code prints goes to standard error.
"""

from __future__ import annotations

__all__ = ["main"]

import io
import platform
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mainspring.clock import parse_duration
from mainspring.data import PLACE, Split, places, split, split_by_place, unsplit, window
from mainspring.digest import Digest, canonical_json
from mainspring.engines import answer_lines, deadline, measured
from mainspring.errors import MainspringError
from mainspring.formats.computed import with_computed
from mainspring.operate.declaration import load_all
from mainspring.operate.joining import join_features
from mainspring.operate.step_code import is_own
from mainspring.operate.tasks import (
    LABEL,
    LIST,
    AddBatch,
    Added,
    Answer,
    BuildExamples,
    Built,
    Describe,
    Described,
    Failed,
    JudgeCandidate,
    JudgeTable,
    Materialize,
    Materialized,
    PackageOffer,
    RunStep,
    Taken,
    TakeSnapshot,
    Task,
)
from mainspring.settings import Settings
from mainspring.stores.blobs import FileBlobs
from mainspring.stores.tables import DeltaTables
from mainspring.task import Regression
from mainspring.training import AllHistory, ByGroup, Stratified

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import polars as pl

    from mainspring.product import Dataset, Product, ProductSpec


def environment() -> list[object]:
    """Name the interpreter and every installed distribution with its version."""
    installed = sorted({f"{each.name}=={each.version}" for each in distributions()})
    return [platform.python_implementation(), platform.python_version(), installed]


@dataclass(slots=True)
class TaskRunner:
    """Answers tasks; keeps the last frame in memory, since the next step mostly wants it."""

    settings: Settings
    blobs: FileBlobs
    tables: DeltaTables
    products: tuple[tuple[Product, ProductSpec], ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)

    def answer(self, task: Task) -> Answer:
        """Carry out one task."""
        if not self.products:
            self._load()
        match task:
            case Describe():
                return Described(
                    products=tuple(spec for _, spec in self.products),
                    environment=self._keep_json(environment()),
                    code=self._keep_json(self._code()),
                    refused=self.refused,
                )
            case AddBatch() | JudgeTable():
                return self._add(task)
            case TakeSnapshot():
                return self._take(task)
            case Materialize():
                return self._materialize(task)
            case BuildExamples():
                return _with_usage(lambda: self._build(task))
            case RunStep():
                return _with_usage(lambda: self._run(task))
            case PackageOffer():
                return _with_usage(lambda: self._package_offer(task))
            case JudgeCandidate():
                from mainspring.operate.judging import judge_candidate

                _, spec = self._product(task)
                rows = self._split(spec, task.examples, task.as_of, task.changed_at)
                return judge_candidate(
                    task,
                    spec,
                    rows,
                    self.blobs,
                    allow_code=self.settings.allows_code(spec.name),
                    timeout_s=self.settings.batch_timeout_s,
                )

    def _load(self) -> None:
        settings = self.settings
        loaded = load_all(settings.product_files, settings.root, settings.policies)
        self.products = loaded.products
        self.refused = {
            file: Failed.by(error, _place(error, settings.root)).message
            for file, error in loaded.refused.items()
        }

    def _product(
        self, task: BuildExamples | RunStep | PackageOffer | JudgeCandidate
    ) -> tuple[Product, ProductSpec]:
        for product, spec in self.products:
            if product.name == task.product:
                if spec.digest != task.declared:
                    # Run nevertheless, its outputs would be found again under the key of the code before.
                    raise MainspringError(
                        f"{spec.file} has changed since it was declared. `mainspring up` declares it when it starts, "
                        "and in the system's time before each turn; then train again."
                    )
                return product, spec
        raise self._unknown(
            f"No product file declares {task.product!r} any more. Restore it, or remove the product."
        )

    def _dataset(self, name: str) -> Dataset:
        for product, _ in self.products:
            for dataset in product.datasets:
                if dataset.name == name:
                    return dataset
        raise self._unknown(f"No product reads a dataset named {name!r}.")

    def _unknown(self, told: str) -> MainspringError:
        """The error about something that no file declares, or one that is refused."""
        return MainspringError("\n".join([told, *self.refused.values()]))

    def _add(self, task: AddBatch | JudgeTable) -> Added:
        declared = None if task.plain else self._dataset(task.dataset)
        if isinstance(task, JudgeTable):
            from mainspring.operate.data.by_reference import judge_table

            return judge_table(task, declared, self.tables)
        from mainspring.operate.data.add import add_data

        return add_data(task, declared, self.tables, self.blobs)

    def _take(self, task: TakeSnapshot) -> Taken:
        from mainspring.operate.snapshots import take_snapshot

        content = take_snapshot(
            task.view,
            key=self._dataset(task.view.source).key_columns,
            tables=self.tables,
            version=task.table_version,
            until=task.until,
        )
        return Taken(snapshot=self.blobs.put(content))

    def _materialize(self, task: Materialize) -> Materialized:
        from mainspring.operate.online_rows import write_rows

        return write_rows(task, key=self._dataset(task.view.source).key_columns, tables=self.tables)

    def _build(self, task: BuildExamples) -> Built:
        import polars as pl

        product, spec = self._product(task)
        own, label = spec.data, spec.task.label
        rows = self.tables.scan(own.name, task.tables[own.name]).filter(
            pl.col(own.known_at or own.event_time) <= task.as_of
        )
        wanted = {
            own.event_time,
            own.known_at or own.event_time,
            label,
            *(view.entity for view in spec.features),
        }
        wanted |= {column.name for column in spec.inputs} & {column.name for column in own.columns}
        if drawn := _drawn_by(spec):
            wanted |= {*drawn}
        lists = spec.task.lists
        if lists is not None:
            wanted |= {lists.column}
        frame = rows.sort(own.event_time, *own.key).select(sorted(wanted)).collect()
        frame = join_features(
            frame,
            at=own.event_time,
            views=spec.features,
            keys={each.name: each.key for each in spec.datasets},
            tables=self.tables,
            versions=task.tables,
            known=task.as_of,
        )
        frame = frame.select(
            own.event_time,
            pl.col(own.known_at or own.event_time),
            _label(spec).alias(LABEL),
            *(column.name for column in spec.inputs),
            *([_places(frame, drawn, salt=f"{spec.name} {spec.seed}")] if drawn else []),
            *([pl.col(lists.column).cast(pl.String).alias(LIST)] if lists else []),
        )
        return Built(output=self._keep(with_computed(frame, product.computed)))

    def _split(
        self,
        spec: ProductSpec,
        examples: str,
        as_of: datetime,
        changed_at: datetime | None,
        *,
        whole: bool = False,
    ) -> Split:
        cut: Callable[..., Split]
        if whole:
            cut = unsplit
        elif isinstance(spec.holdout, str):
            cut = partial(split, holdout=parse_duration(spec.holdout))
        else:
            numbers = isinstance(spec.task, Regression)
            cut = partial(split_by_place, holdout=spec.holdout, numbers=numbers)
        rows = cut(
            self._frame(examples),
            event_time=spec.data.event_time,
            known_at=spec.data.known_at or spec.data.event_time,
            label=LABEL,
            as_of=as_of,
        )
        rows = window(rows, spec.train_on, event_time=spec.data.event_time, changed_at=changed_at)
        return Split(
            train=rows.train.drop(PLACE, LIST, strict=False),
            holdout=rows.holdout.drop(PLACE, strict=False),
            cut=rows.cut,
        )

    def _run(self, task: RunStep) -> Built:
        import polars as pl

        product, spec = self._product(task)
        step = next(each for each in product.pipeline.steps if each.name == task.step)
        if task.examples:
            given = self._split(spec, task.input, task.as_of, task.changed_at, whole=task.whole).train
            if given.is_empty():
                among = "" if isinstance(spec.train_on, AllHistory) else f" of {spec.train_on!r}"
                outside = (
                    f"was labelled before the newest {spec.holdout}, which are kept for judging"
                    if isinstance(spec.holdout, str)
                    else f"that was labelled is left by {spec.holdout!r}, which are kept for judging"
                )
                raise MainspringError(
                    f"There are no rows to learn from: none{among} {outside}. Add more data."
                )
            # When an outcome was known is nothing that a model may use.
            given = given.drop(spec.data.known_at or spec.data.event_time)
        else:
            given = self._frame(task.input)
        params = dict(task.params)
        if "seed" in params:
            params["seed"] = task.seed
        made = step(given, **params)
        if task.step != spec.steps[-1].name:
            if not isinstance(made, pl.DataFrame):
                raise MainspringError(
                    f"It gave a {type(made).__name__}; a step before the last gives a polars DataFrame."
                )
            return Built(output=self._keep(made))
        from mainspring.operate.packaging import package

        allow_code = self.settings.allows_code(spec.name)
        with deadline(self.settings.batch_timeout_s):
            return package(
                made,
                given,
                spec,
                self.blobs,
                computed=product.computed,
                code=self._code(),
                allow_code=allow_code,
            )

    def _package_offer(self, task: PackageOffer) -> Built:
        from mainspring.formats.mlmodel import fitted_from, form_of
        from mainspring.operate.packaging import package

        _, spec = self._product(task)
        rows = self._split(spec, task.examples, task.as_of, None, whole=True).train
        allow_code = self.settings.allows_code(spec.name)
        form = form_of(self.blobs.get(Digest(task.mlmodel)))
        content = self.blobs.get(Digest(task.model))
        with deadline(self.settings.batch_timeout_s):
            fitted = fitted_from(form, content, rows, spec.task, allow_code=allow_code)
            return package(fitted, rows, spec, self.blobs)

    def _code(self) -> dict[str, str]:
        root = self.settings.root
        return {str(file.relative_to(root)): file.read_text() for file in self.settings.code_files}

    def _frame(self, digest: str) -> pl.DataFrame:
        import polars as pl

        if digest not in self.frames:
            self.frames[digest] = pl.read_parquet(io.BytesIO(self.blobs.get(Digest(digest))))
        return self.frames[digest]

    def _keep_json(self, value: object) -> str:
        return self.blobs.put(canonical_json(value).encode())

    def _keep(self, frame: pl.DataFrame) -> str:
        buffer = io.BytesIO()
        frame.write_parquet(buffer, compression="zstd", compression_level=1)
        digest: str = self.blobs.put(buffer.getvalue())
        self.frames[digest] = frame
        return digest


def _with_usage(make: Callable[[], Built]) -> Built:
    built, usage = measured(make)
    return msgspec.structs.replace(built, usage=usage)


def _drawn_by(spec: ProductSpec) -> tuple[str, ...]:
    """The columns by which rows are held out, if not by time."""
    match spec.holdout:
        case ByGroup(column=column):
            return (column,)
        case Stratified():
            return spec.data.key
    return ()


def _places(rows: pl.DataFrame, columns: Sequence[str], *, salt: str) -> pl.Series:
    import polars as pl

    told = [pl.col(name).cast(pl.String) for name in columns]
    # With its length, so that no two keys read alike; null is no text.
    parts = [pl.format("{}:{}", each.str.len_bytes(), each).fill_null("-") for each in told]
    texts = rows.select(pl.concat_str(parts)).to_series()
    drawn = texts.unique()
    of_text = pl.Series(places(drawn, salt=salt), dtype=pl.Float64)
    return texts.replace_strict(drawn, of_text, return_dtype=pl.Float64).alias(PLACE)


def _label(spec: ProductSpec) -> pl.Expr:
    """What steps learn: 0 and 1, or the number itself."""
    import polars as pl

    label = pl.col(spec.task.label)
    if isinstance(spec.task, Regression):
        number = label.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number)
    return label.eq(spec.task.positive).cast(pl.Int8)


def _place(error: BaseException, root: Path) -> str:
    """Where below `root` an error arose, in words."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if is_own(file, root):
            place = f" ({file.resolve().relative_to(root)}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place


def main(root: Path, state: Path) -> None:
    """Answer tasks until standard input ends."""
    # Every product file wants it, and it takes longest: before the first question is the best time.
    import pandera.polars  # noqa: F401

    settings = replace(Settings.load(root), place=state)
    runner = TaskRunner(settings, FileBlobs(settings.state / "blobs"), DeltaTables(settings.state / "tables"))
    decoder = msgspec.json.Decoder(Task)

    def answer(line: bytes) -> bytes:
        try:
            answered = runner.answer(decoder.decode(line))
        except Exception as error:  # noqa: BLE001 - user code may raise anything
            answered = Failed.by(error, _place(error, settings.root))
        return msgspec.json.encode(answered)

    answer_lines(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
