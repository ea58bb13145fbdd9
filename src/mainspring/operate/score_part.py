"""A process that scores parts of a data version: rows, joined with their features, and what a model answers to them.

It knows no product file, and runs a user's code only in a model that may be such; it reads tables and blobs, and what
it makes is a blob.
"""

from __future__ import annotations

__all__ = [
    "ANSWERS",
    "Part",
    "Plan",
    "Planned",
    "Publish",
    "Published",
    "Score",
    "Scored",
    "Work",
    "answer",
    "main",
]

import io
import sys
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from mainspring.digest import Digest
from mainspring.engines import answer_lines, deadline
from mainspring.errors import MainspringError
from mainspring.formats.served import Served, feed, load
from mainspring.formats.signature import Signature
from mainspring.operate.joining import join_features, view_columns
from mainspring.operate.tasks import Failed
from mainspring.product import DatasetSpec, FeatureViewSpec
from mainspring.stores.blobs import FileBlobs
from mainspring.stores.tables import DeltaTables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

ANSWERS = ("probability", "prediction", "reason", "model_version", "scored_at")
"""The columns that a scoring adds to key and event time, of the first two one; `reason` says why it is null."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What all parts of a scoring have in common.

    Attributes
    ----------
    rows : DatasetSpec
        The dataset whose rows are scored.
    views : tuple of FeatureViewSpec
        The views that the model, or who asks, wants something of.
    keys : dict of str to tuple of str
        Per source of a view the columns that name a row.
    tables : dict of str to int
        Per dataset the version of its table.
    known : datetime
        When the newest of the data was published; no feature is later.
    artifact : str
        Digest of the packaged model.
    signature : Signature
        What the model takes.
    version : int
        The model's.
    columns : tuple of str
        What is kept beside the answers.
    since, until : datetime or None
        The rows' event times: from, and before.
    allow_code : bool
        Whether the operator allows a model that is the product's own code.
    timeout_s : float
        How long the model may take over a part.
    """

    rows: DatasetSpec
    views: tuple[FeatureViewSpec, ...]
    keys: dict[str, tuple[str, ...]]
    tables: dict[str, int]
    known: datetime
    artifact: str
    signature: Signature
    version: int
    columns: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    allow_code: bool
    timeout_s: float

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns of the rows' own table that are read, in order."""
        features = {name for view in self.views for name in view.feature_names}
        inputs = [column.name for column in self.signature.inputs]
        own = [*inputs, *self.columns, *(view.entity for view in self.views)]
        first = (*self.rows.key, self.rows.event_time)
        return tuple(dict.fromkeys([*first, *(name for name in own if name not in features)]))


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that are scored together: those at some places of all rows in the order of event time and key.

    Attributes
    ----------
    since, until : datetime or None
        The event times of the first and the last row; None where it has none.
    skip : int
        How many rows of the time `since` come before the first.
    rows : int
        How many they are.
    """

    since: datetime | None
    until: datetime | None
    skip: int
    rows: int


class _Message(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A question or an answer."""


class Plan(_Message, frozen=True):
    """Divide the rows into parts of so many rows, and say what the tables lack."""

    work: Work
    size: int


class Planned(_Message, frozen=True):
    """The parts, in order; or what is wrong, as places and reasons."""

    parts: tuple[Part, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()


class Score(_Message, frozen=True):
    """Score one part."""

    work: Work
    part: Part
    scored_at: datetime


class Scored(_Message, frozen=True):
    """The digest of the answers, a Parquet file, and how many rows have none, by reason."""

    output: str
    rows: int
    unanswered: dict[str, int]


class Publish(_Message, frozen=True):
    """Make the next version of a table of parts that are scored."""

    table: str
    outputs: tuple[str, ...]


class Published(_Message, frozen=True):
    """The table's version."""

    table_version: int


Question: TypeAlias = Plan | Score | Publish
_DECODER = msgspec.json.Decoder(Question)


def answer(state: str, question: bytes) -> bytes:
    """Answer one question about the workspace that has this state folder; what goes wrong is an answer, too."""
    tables, blobs = DeltaTables(Path(state) / "tables"), FileBlobs(Path(state) / "blobs")
    answered: Planned | Scored | Published | Failed
    try:
        match asked := _DECODER.decode(question):
            case Plan():
                answered = plan(asked, tables)
            case Score():
                answered = score(asked, tables, blobs)
            case Publish():
                answered = publish(asked, tables, blobs)
    except Exception as error:  # noqa: BLE001 - libraries raise many kinds for rows that do not fit
        answered = Failed.by(error)
    return msgspec.json.encode(answered)


# --- planning ------------------------------------------------------------------------------------------------------


def plan(asked: Plan, tables: DeltaTables) -> Planned:
    """Divide the rows; only their event times are held in memory."""
    work, time = asked.work, asked.work.rows.event_time
    if faults := tuple(_faults(work, tables)):
        return Planned(faults=faults)
    times = _selected(work, tables).select(time).collect().to_series().sort(nulls_last=False)
    nulls, parts = times.null_count(), []
    for start in range(0, len(times), asked.size):
        rows = min(asked.size, len(times) - start)
        since, until = times[start], times[start + rows - 1]
        first = 0 if since is None else nulls + times[nulls:].search_sorted(since, side="left")
        parts.append(Part(since=since, until=until, skip=start - int(first), rows=rows))
    return Planned(parts=tuple(parts))


def _faults(work: Work, tables: DeltaTables) -> Iterator[tuple[str, str]]:
    import polars as pl

    schema = tables.scan(work.rows.name, work.tables[work.rows.name]).collect_schema()
    inputs = {column.name: column.dtype for column in work.signature.inputs}
    for name in work.wanted:
        if name not in schema:
            what = "a column to keep" if name not in inputs else "an input of the model"
            if name in {view.entity for view in work.views}:
                what = "the entity of a feature view"
            yield f"column {name!r}", f"is {what}, and {work.rows.name!r} has none of that name."
        elif name in inputs and (inputs[name] == "BYTES") == (
            schema[name].is_numeric() or schema[name] == pl.Boolean
        ):
            yield f"column {name!r}", f"is {schema[name]}, and the model takes {inputs[name]}."
    for view in work.views:
        of_source = tables.scan(view.source, work.tables[view.source]).collect_schema()
        for name in map(view.source_column, view_columns(view)):
            if name not in of_source:
                yield f"column {name!r}", f"is read by view {view.name!r}, and {view.source!r} has none."


def _selected(work: Work, tables: DeltaTables) -> pl.LazyFrame:
    import polars as pl

    rows, time = tables.scan(work.rows.name, work.tables[work.rows.name]), pl.col(work.rows.event_time)
    if work.since is not None:
        rows = rows.filter(time >= work.since)
    if work.until is not None:
        rows = rows.filter(time < work.until)
    return rows


# --- scoring -------------------------------------------------------------------------------------------------------


def score(asked: Score, tables: DeltaTables, blobs: FileBlobs) -> Scored:
    """Score one part; a row that the model cannot answer gets a reason in place of an answer."""
    import polars as pl

    work = asked.work
    rows = join_features(
        read_part(work, asked.part, tables),
        at=work.rows.event_time,
        views=work.views,
        keys=work.keys,
        tables=tables,
        versions=work.tables,
        known=work.known,
    )
    answer = ask(rows, work, blobs)
    reason = unsound(rows, work.signature)
    sound = answer.is_between(0, 1) if work.signature.is_probability else answer.is_finite()
    broken = ~sound.fill_null(False) | answer.is_nan()
    scores = rows.select(
        *dict.fromkeys((*work.rows.key, work.rows.event_time)),
        pl.when(pl.lit(reason.is_null() & ~broken)).then(pl.lit(answer)).alias(answer.name),
        pl.coalesce(
            pl.lit(reason), pl.when(pl.lit(broken)).then(pl.lit(f"the model's answer is no {answer.name}"))
        ).alias("reason"),
        pl.lit(work.version, pl.Int64).alias("model_version"),
        pl.lit(asked.scored_at, pl.Datetime("us", "UTC")).alias("scored_at"),
        *(name for name in work.columns),
    )
    counts = scores["reason"].drop_nulls().value_counts().sort("reason")
    content = io.BytesIO()
    scores.write_parquet(content, compression="zstd", compression_level=1)
    return Scored(
        output=blobs.put(content.getvalue()), rows=scores.height, unanswered=dict(counts.iter_rows())
    )


def read_part(work: Work, part: Part, tables: DeltaTables) -> pl.DataFrame:
    """Read the rows of a part, in the order of event time and key."""
    import polars as pl

    order = list(dict.fromkeys((work.rows.event_time, *work.rows.key)))
    time = pl.col(work.rows.event_time)
    if part.until is None:
        near = time.is_null()
    elif part.since is None:
        near = (time <= part.until).fill_null(True)
    else:
        near = time.is_between(part.since, part.until)
    around = _selected(work, tables).filter(near)
    # Many rows may have one time: the places are found in their keys alone, so that no more rows are held than these.
    places = around.select(order).sort(order, nulls_last=False).slice(part.skip, part.rows)
    mine = around.select(work.wanted).join(places, on=order, how="semi", nulls_equal=True)
    return mine.collect(engine="streaming").sort(order, nulls_last=False)


@lru_cache(maxsize=2)
def _model(blobs: FileBlobs, artifact: Digest, allow_code: bool) -> Served:
    # One thread: the sum over the trees, and so the last bit, may depend on how the rows are shared out.
    return load(blobs.get(artifact), threads=1, allow_code=allow_code)


def ask(rows: pl.DataFrame, work: Work, blobs: FileBlobs) -> pl.Series:
    """Give the model's answers by their name, float32, one per row."""
    import numpy as np
    import polars as pl

    # What is beyond float32 is told of by `unsound`.
    with deadline(work.timeout_s), np.errstate(over="ignore"):
        model = _model(blobs, Digest(work.artifact), work.allow_code)
        answers = model.predict(feed(model, rows))
    if answers.shape != (rows.height,):
        raise MainspringError(f"The model answers {rows.height} rows with the shape {answers.shape}.")
    return pl.Series(work.signature.outputs[0].name, answers, pl.Float32)


def unsound(rows: pl.DataFrame, signature: Signature) -> pl.Series:
    """Say for each row why the model may not be asked about it, null where it may: as the gateway refuses rows."""
    import polars as pl

    missing, beyond = [], []
    for column in signature.inputs:
        value, name = pl.col(column.name), pl.lit(column.name)
        if column.dtype == "BYTES":
            null = value.is_null()
        else:
            number = value.cast(pl.Float64)
            null = number.is_null() | number.is_nan()
            beyond.append(pl.when(number.cast(pl.Float32).is_infinite()).then(name))
        if not column.nullable:
            missing.append(pl.when(null).then(name))
    return rows.select(
        pl.coalesce(
            _told("null in ", missing, ", never seen there in training"),
            _told("beyond what the model takes in ", beyond, ""),
        ).alias("reason")
    ).to_series()


def _told(before: str, names: Sequence[pl.Expr], after: str) -> pl.Expr:
    import polars as pl

    if not names:
        return pl.lit(None, pl.String)
    told = pl.concat_str(names, separator=", ", ignore_nulls=True)
    return pl.when(told != "").then(pl.concat_str(pl.lit(before), told, pl.lit(after)))


# --- publishing ----------------------------------------------------------------------------------------------------


def publish(asked: Publish, tables: DeltaTables, blobs: FileBlobs) -> Published:
    """Put the parts into the table, one in memory at a time."""
    import polars as pl

    parts = (pl.read_parquet(io.BytesIO(blobs.get(Digest(output)))) for output in asked.outputs)
    return Published(table_version=tables.replace(asked.table, parts))


def main(state: str) -> None:
    """Answer the questions on standard input until it ends."""
    answer_lines(partial(answer, state))


if __name__ == "__main__":
    main(sys.argv[1])
