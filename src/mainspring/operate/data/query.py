"""Rows of a database, asked once and written to a file that is added like any other."""

from __future__ import annotations

__all__ = ["QueryFailed", "fetch", "is_database"]

from typing import TYPE_CHECKING

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from mainspring.errors import Invalid

if TYPE_CHECKING:
    from pathlib import Path


class QueryFailed(Invalid):
    """A database that gave no table; `where` is its URL without the password."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)
        self.where, self.why = where, why

    def __str__(self) -> str:
        return f"{self.where} gave no rows: {self.why}. Nothing was added."


def is_database(source: str) -> bool:
    """Say whether a source is a database's URL."""
    return "://" in source


def fetch(url: str, query: str, to: Path) -> str:
    """Write what a query gives to a Parquet file; the database is read, and nothing that the query did is committed.

    Parameters
    ----------
    url : str
        As SQLAlchemy writes it, such as `postgresql://user@host/database` or `sqlite:////absolute/path.db`.
    query : str
        One statement.
    to : Path
        A new file.

    Returns
    -------
    str
        The URL without the password, and the query.

    Raises
    ------
    QueryFailed
        The database cannot be reached, or says no, or a column is of a type that no table can keep.
    """
    import polars as pl

    try:
        parsed = make_url(url)
    except ArgumentError:
        raise QueryFailed("The source", "it is no URL of a database") from None
    where = parsed.render_as_string(hide_password=True)
    if not query.strip():
        raise QueryFailed(where, 'say what to ask it for with `--query "SELECT …"`')
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(parsed)
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        raise QueryFailed(where, f"its driver is not installed ({_first_line(error)})") from error
    try:
        with engine.connect() as connection:
            result = connection.execute(text(query))
            if not result.returns_rows:
                raise QueryFailed(where, "the query gives no table")
            names = list(result.keys())
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise QueryFailed(where, f"several columns are named {', '.join(twice)}: name them with AS")
            rows = pl.DataFrame(
                list(map(tuple, result)), schema=names, orient="row", infer_schema_length=None
            )
    except SQLAlchemyError as error:
        raise QueryFailed(where, _first_line(getattr(error, "orig", None) or error)) from error
    except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
        raise QueryFailed(where, f"its rows make no table ({_first_line(error)})") from error
    finally:
        engine.dispose()
    odd = [name for name, dtype in rows.schema.items() if dtype == pl.Object]
    if odd:
        raise QueryFailed(where, f"no table can keep {', '.join(odd)}: cast them in the query, to text say")
    rows.write_parquet(to)
    return f"{where} {' '.join(query.split())}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
