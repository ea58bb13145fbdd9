"""`data infer`: a first contract from data."""

from __future__ import annotations

__all__ = ["infer"]

from pathlib import Path

from cyclopts import App

from mainspring.cli.options import HERE, Options, opened
from mainspring.cli.show import display, print_json, write_new

infer = App(
    name="infer",
    help_epilogue="""\
Examples:
  mainspring data infer flights january.parquet --output flights.py
  mainspring data infer weather weather.csv --key station --key observed_at --time-zone UTC
  mainspring data infer orders@v3""",
)


@infer.default
def write(
    name: str,
    source: str | None = None,
    /,
    *,
    key: list[str] | None = None,
    event_time: str | None = None,
    time_zone: str = "",
    output: Path | None = None,
    options: Options = HERE,
) -> None:
    """Write a first contract from data, as Python code: types, nulls, domains, ranges, uniqueness, freshness and key.

    The same data passes it. It says what was, not what must be: read it, and make it yours.

    Parameters
    ----------
    name : str
        Of the dataset; without a source also a version such as orders@v3.
    source : str
        A Parquet, Arrow, CSV or NDJSON file; without, the dataset's newest version.
    key : list of str
        A column that names a row, where that is known. May be given again.
    event_time : str
        The column with the moment that a row is about.
    time_zone : str
        Of moments that come without one, such as Europe/Berlin.
    output : Path
        Write it to this file, which is not there yet.
    """
    from mainspring.operate.data.inferring import infer_dataset

    with opened(options) as workspace:
        code = infer_dataset(
            workspace, name, source, key=key or (), event_time=event_time, time_zone=time_zone
        )
    if output is not None:
        write_new(output, code)
        display(f"The contract is in {output}.")
    elif options.json:
        print_json({"dataset": name.partition("@")[0], "code": code})
    else:
        print(code, end="")
