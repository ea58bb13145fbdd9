"""A model version's card: what people say of it, and what is known of it, as Markdown or as it stands on a page."""

from __future__ import annotations

__all__ = ["Card", "Edit", "Table", "declared_words", "markdown"]

import html
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec


class Table(msgspec.Struct, frozen=True):
    """A table of a card."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wrote in place of the words before.

    Attributes
    ----------
    event : int
        Its number in the ledger.
    at, actor, reason : datetime, str, str
        When, who, and why.
    words : str
        All that the card says since, besides what is known.
    """

    event: int
    at: datetime
    actor: str
    reason: str
    words: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The card of a model version.

    Attributes
    ----------
    ref : str
        Of the version.
    words : str
        What people say of it, in Markdown: as it was declared, or as it was last edited.
    facts : dict of str to str
        What is known of it.
    tables : tuple of Table
        Likewise: data, metrics, gates, inputs, steps.
    edits : tuple of Edit
        Every edit, oldest first.
    """

    ref: str
    words: str
    facts: dict[str, str]
    tables: tuple[Table, ...]
    edits: tuple[Edit, ...] = ()


def declared_words(
    owners: Sequence[str] = (),
    intended_use: str = "",
    limits: str = "",
    license: str = "",  # noqa: A002
) -> str:
    """Write down what a product file declares of its versions; what it does not say is named as missing.

    Examples
    --------
    >>> print(declared_words(["payments@example.org"], "Reminders.", license="Apache-2.0"))
    ## Intended use
    <BLANKLINE>
    Reminders.
    <BLANKLINE>
    ## Limits
    <BLANKLINE>
    Not stated.
    <BLANKLINE>
    ## Owners
    <BLANKLINE>
    - payments@example.org
    <BLANKLINE>
    ## License
    <BLANKLINE>
    Apache-2.0
    """
    people = "\n".join(f"- {each}" for each in owners)
    parts = {"Intended use": intended_use, "Limits": limits, "Owners": people, "License": license}
    return "\n\n".join(f"## {title}\n\n{text.strip() or 'Not stated.'}" for title, text in parts.items())


def markdown(card: Card) -> str:
    """Give a card as a document. What is known of a version is text in it, whatever signs it holds."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: Card) -> Iterator[str]:
    yield f"# {_text(card.ref)}"
    yield ""
    yield card.words.strip()
    yield ""
    yield "## What is known"
    yield ""
    for name, value in card.facts.items():
        yield f"- **{_text(name)}**: {_text(value)}"
    tables = [*card.tables]
    if card.edits:
        rows = tuple((f"{each.at:%Y-%m-%d %H:%M}", each.actor, each.reason) for each in card.edits)
        tables.append(Table("History of this card", ("When", "Who", "Why"), rows))
    for table in tables:
        yield ""
        yield f"## {_text(table.title)}"
        yield ""
        yield f"| {' | '.join(map(_text, table.columns))} |"
        yield f"|{'---|' * len(table.columns)}"
        for row in table.rows:
            yield f"| {' | '.join(map(_text, row))} |"


def _text(text: str) -> str:
    """Text that reads as itself: in one line, without tags, links, emphasis or the ends of cells."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(" ".join(text.split()), quote=False))
