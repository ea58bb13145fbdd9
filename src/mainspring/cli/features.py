"""`features`: the online store, what is written into it, and whether it serves what training joins."""

from __future__ import annotations

__all__ = ["app"]

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from mainspring.cli.options import HERE, Options, actor, declared, opened
from mainspring.cli.show import complain, display, moment, print_json, table, working

if TYPE_CHECKING:
    from mainspring.operate.feature_views import FeatureRow, ViewRow
    from mainspring.operate.online_skew import FeatureSkew

app = App(
    name="features",
    help="Write features where gateways look them up, and see whether those of training are the same.",
    help_epilogue="""\
Examples:
  mainspring features list
  mainspring features push account seen-today.parquet
  mainspring features skew late-payments""",
)


@app.command(
    name="list",
    help_epilogue="""\
Examples:
  mainspring features list
  mainspring features list --json""",
)
def list_views(*, options: Options = HERE) -> None:
    """List the feature views of all products: what they look in, how new that is, and what is used of them."""
    from mainspring.operate.feature_views import feature_views

    with opened(options) as workspace:
        rows = feature_views(workspace)
    if options.json:
        print_json(rows)
    elif rows:
        display(
            table(
                ("Product", "View", "Entity", "Source", "Newest", "TTL", "Online", "Features"),
                (
                    (
                        each.product,
                        each.view,
                        _entity(each),
                        each.source,
                        moment(each.newest) if each.newest else "no data yet",
                        each.ttl,
                        each.online or "no",
                        ", ".join(each.features),
                    )
                    for each in rows
                ),
            )
        )
    else:
        display("No product has a feature view: declare one with `ms.FeatureView`.")


@app.command(
    help_epilogue="""\
Examples:
  mainspring features show account
  mainspring features show account --json"""
)
def show(view: str, /, *, options: Options = HERE) -> None:
    """Show a feature view: what each feature is made of, who uses it, and its values in the newest version.

    Parameters
    ----------
    view : str
        The feature view.
    """
    from mainspring.operate.feature_views import view_report

    with working("Profiling…"), opened(options) as workspace:
        reports = view_report(workspace, view)
    if options.json:
        print_json(reports)
        return
    for report in reports:
        row = report.view
        place = {"memory": "looked up in memory", "store": "looked up in the online store"}.get(row.online)
        display(
            f"{row.view} of {row.product}: by {_entity(row)}, {row.source}, at most {row.ttl} old, "
            f"{place or 'joined in training alone'}"
        )
        rows = (
            (each.feature, each.of, each.used, *values)
            for each in report.features
            for values in _values(each)
        )
        headers = ("Feature", "Of", "Input", ">Nulls", ">5 %", ">Median", ">95 %", "Most frequent")
        display(table(headers, rows))


def _values(feature: FeatureRow) -> list[tuple[object, ...]]:
    from mainspring.cli.profiles import value_columns

    told: list[tuple[object, ...]] = [(part.nulls, *value_columns(part)) for part in feature.statistics]
    return told or [(None,) * 5]


def _entity(row: ViewRow) -> str:
    return row.entity if row.entity == row.source_entity else f"{row.entity} (its {row.source_entity})"


@app.command(
    help_epilogue="""\
Examples:
  mainspring features materialize
  mainspring features materialize account --since 2026-03-01T00:00:00Z --json"""
)
def materialize(
    view: str | None = None,
    /,
    *,
    since: str | None = None,
    until: str | None = None,
    options: Options = HERE,
) -> None:
    """Write into the online store what it lacks of feature views; the loop does so by itself.

    Parameters
    ----------
    view : str
        This one alone.
    since : str
        Write again the rows of the newest data version with an event time from this moment on.
    until : str
        The same, up to this moment.
    """
    from mainspring.clock import parse_time
    from mainspring.operate import materialize as store

    with working("Writing features…"), opened(options) as workspace:
        done = store.materialize(
            workspace,
            view,
            since=parse_time(since) if since else None,
            until=parse_time(until) if until else None,
        )
    if options.json:
        print_json(done)
    elif done:
        rows = (
            (
                each.view,
                f"{each.source}@v{each.version}" if each.version else "no data yet",
                f"{each.written:,}",
                f"{each.older:,}",
                "all of it" if each.whole else "what was new",
            )
            for each in done
        )
        display(table(("View", "Holds", ">Written", ">Older", "What"), rows))
    else:
        display('No feature view is in the online store: declare one with `online="store"`.')


@app.command(
    help_epilogue="""\
Examples:
  mainspring features push account seen-today.parquet
  mainspring features push account rows.jsonl --reason "the nightly import"

Exit code 1: the rows were refused; nothing of them is kept."""
)
def push(view: str, file: Path, /, *, time_zone: str = "", reason: str = "", options: Options = HERE) -> int:
    """Add rows to the source of a feature view: a batch as any other, and looked up at once.

    Rows that do not say when they became known, where the source has a column for that, are known from now on.

    Parameters
    ----------
    view : str
        The feature view.
    file : Path
        A Parquet, Arrow, CSV or NDJSON file.
    time_zone : str
        Of moments that come without one, such as Europe/Berlin.
    reason : str
        Why, for the ledger.
    """
    from mainspring.operate.push import push as hand_in
    from mainspring.operate.status import batch_row

    with working("Handing in rows…"), declared(options) as workspace:
        batch = hand_in(workspace, view, file, actor=actor(), reason=reason, time_zone=time_zone)
    row = batch_row(batch)
    if options.json:
        print_json(row)
    elif row.ref is None:
        complain(f"The rows for {view!r} were refused, and nothing of them is kept: {row.refusal}.")
    else:
        display(f"{row.ref}: {row.rows - row.quarantined:,} rows added, {row.quarantined:,} set aside.")
    return 0 if row.ref else 1


@app.command(
    help_epilogue="""\
Examples:
  mainspring features skew late-payments
  mainspring features skew --since 2026-03-01T00:00:00Z --json

Exit code 1: a value differs, or of a feature none could be compared."""
)
def skew(
    product: str | None = None,
    /,
    *,
    since: str | None = None,
    until: str | None = None,
    options: Options = HERE,
) -> int:
    """Compare the features that gateways looked up with what training joins at the same instants.

    Parameters
    ----------
    product : str
        This one alone.
    since : str
        Only predictions from this moment on.
    until : str
        Only predictions up to this moment.
    """
    from mainspring.clock import parse_time
    from mainspring.operate.online_skew import online_skew

    with working("Joining features again…"), declared(options) as workspace:
        found = online_skew(
            workspace,
            product,
            since=parse_time(since) if since else None,
            until=parse_time(until) if until else None,
        )
    sound = bool(found) and all(each.sound for each in found)
    if options.json:
        print_json({"sound": sound, "features": found})
    elif not found:
        complain("No feature view is online, so there is nothing to compare.")
    else:
        display(
            table(("Product", "View", "Feature", ">Compared", ">Equal", ">Different", "Why"), _rows(found))
        )
        for each in found:
            if each.examples:
                display(f"{each.feature} of {each.view}, the newest that differ:")
                display(table(("At", "Entity", "Looked up", "Of", "Joined", "Of", "Why"), _examples(each)))
    return 0 if sound else 1


def _rows(found: list[FeatureSkew]) -> Iterator[tuple[str, ...]]:
    for each in found:
        reasons = ", ".join(f"{count:,} {why}" for why, count in each.reasons.items())
        yield (
            each.product,
            each.view,
            each.feature,
            f"{each.rows:,}",
            f"{each.equal:,}",
            f"{each.different:,}",
            "; ".join(filter(None, (reasons, each.why))),
        )


def _examples(found: FeatureSkew) -> Iterator[tuple[object, ...]]:
    for each in found.examples:
        looked_up, joined = (moment(at) if at else None for at in (each.looked_up_of, each.joined_of))
        yield moment(each.at), each.entity, each.looked_up, looked_up, each.joined, joined, each.reason
