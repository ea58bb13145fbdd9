"""Profiles of texts, vectors and lists: each row becomes a few numbers, and each of these has a profile."""

from __future__ import annotations

__all__ = ["CHARACTERS", "EmbeddingProfile", "ListProfile", "TextProfile", "norms"]

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mainspring.monitoring.profiles.category import CategoryProfile
from mainspring.monitoring.profiles.errors import ProfileMismatch
from mainspring.monitoring.profiles.number import Kind, NumberProfile

CHARACTERS: Mapping[str, str] = {
    "letters": r"\p{L}",
    "capitals": r"\p{Lu}",
    "digits": r"\p{N}",
    "spaces": r"\s",
    "punctuation": r"[\p{P}\p{S}]",
    "beyond ASCII": r"[^\x00-\x7F]",
}
"""Classes of characters, and the expression that finds one; they overlap, and know no language."""


class TextProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="text"):
    """Texts of one column.

    A token is a run of letters, digits and underscores in small letters; in scripts that are written without spaces
    each character is one.

    Attributes
    ----------
    vocabulary : tuple of str or None
        The most frequent tokens of the reference, in order; None where there was none.
    length : NumberProfile
        Characters of each text; it has the rows without a text, too.
    tokens : NumberProfile
        Tokens of each text.
    unknown : NumberProfile
        Share of each text's tokens that is not in the vocabulary; of texts with a token.
    characters : tuple of (str, int)
        Characters of each class, in all rows together.
    """

    vocabulary: tuple[str, ...] | None = None
    length: NumberProfile = NumberProfile.none(Kind.INTEGER)
    tokens: NumberProfile = NumberProfile.none(Kind.INTEGER)
    unknown: NumberProfile = NumberProfile.none()
    characters: tuple[tuple[str, int], ...] = ()

    @property
    def empty(self) -> TextProfile:
        """The profile of no rows, in the same frame."""
        return TextProfile(
            vocabulary=self.vocabulary,
            length=self.length.empty,
            tokens=self.tokens.empty,
            unknown=self.unknown.empty,
        )

    @property
    def parts(self) -> dict[str, NumberProfile | CategoryProfile]:
        """What is known of each row, by name."""
        return {"length": self.length, "tokens": self.tokens, "unknown tokens": self.unknown}

    @property
    def rows(self) -> int:
        """All rows, those without a text included."""
        return self.length.rows

    @property
    def missing(self) -> int:
        """Rows without a text."""
        return self.length.missing

    def merge(self, other: TextProfile) -> TextProfile:
        """Summarise the rows of both; exact, in any order. Raises `ProfileMismatch` where the frames differ."""
        if self.vocabulary != other.vocabulary:
            raise ProfileMismatch(None, "they have other vocabularies")
        characters = Counter(dict(self.characters))
        characters.update(dict(other.characters))
        return TextProfile(
            vocabulary=self.vocabulary,
            length=self.length.merge(other.length),
            tokens=self.tokens.merge(other.tokens),
            unknown=self.unknown.merge(other.unknown),
            characters=tuple(sorted(characters.items())),
        )


class EmbeddingProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="embedding"):
    """Vectors of one column, all of one width.

    Attributes
    ----------
    norm : NumberProfile
        Euclidean length of each; it has the rows without a vector, too. Those of another width are mistyped.
    components : tuple of NumberProfile
        One for each component.
    """

    norm: NumberProfile = NumberProfile.none()
    components: tuple[NumberProfile, ...]

    @property
    def empty(self) -> EmbeddingProfile:
        """The profile of no rows, in the same frame."""
        return EmbeddingProfile(
            norm=self.norm.empty, components=tuple(each.empty for each in self.components)
        )

    @property
    def parts(self) -> dict[str, NumberProfile | CategoryProfile]:
        """What is known of each row, by name."""
        return {"norm": self.norm, **{str(number): each for number, each in enumerate(self.components)}}

    @property
    def rows(self) -> int:
        """All rows, those without a vector included."""
        return self.norm.rows

    @property
    def missing(self) -> int:
        """Rows without a vector, or with one of another width or with a NaN."""
        return self.norm.missing

    def count(self, vectors: NDArray[Any], *, nulls: int = 0, mistyped: int = 0) -> EmbeddingProfile:
        """Profile rows in this one's frame: those that have a vector, of shape (n, width), and rows besides."""
        columns = zip(self.components, vectors.T, strict=True)
        return EmbeddingProfile(
            norm=self.norm.count(norms(vectors), nulls=nulls, mistyped=mistyped),
            components=tuple(component.count(column) for component, column in columns),
        )

    def merge(self, other: EmbeddingProfile) -> EmbeddingProfile:
        """Summarise the rows of both; exact, in any order. Raises `ProfileMismatch` where the frames differ."""
        if len(self.components) != len(other.components):
            raise ProfileMismatch(
                None, f"the vectors have {len(self.components)} and {len(other.components)} components"
            )
        pairs = zip(self.components, other.components, strict=True)
        return EmbeddingProfile(
            norm=self.norm.merge(other.norm), components=tuple(mine.merge(theirs) for mine, theirs in pairs)
        )


class ListProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="list"):
    """Lists of one column.

    Attributes
    ----------
    length : NumberProfile
        Elements of each list; it has the rows without a list, too.
    elements : NumberProfile or CategoryProfile
        The elements of all lists together.
    """

    length: NumberProfile = NumberProfile.none(Kind.INTEGER)
    elements: NumberProfile | CategoryProfile

    @property
    def empty(self) -> ListProfile:
        """The profile of no rows, in the same frame."""
        return ListProfile(length=self.length.empty, elements=self.elements.empty)

    @property
    def parts(self) -> dict[str, NumberProfile | CategoryProfile]:
        """What is known of each row, by name."""
        return {"length": self.length, "elements": self.elements}

    @property
    def rows(self) -> int:
        """All rows, those without a list included."""
        return self.length.rows

    @property
    def missing(self) -> int:
        """Rows without a list."""
        return self.length.missing

    def merge(self, other: ListProfile) -> ListProfile:
        """Summarise the rows of both; exact, in any order. Raises `ProfileMismatch` where the frames differ."""
        elements: NumberProfile | CategoryProfile
        match self.elements, other.elements:
            case NumberProfile() as mine, NumberProfile() as theirs:
                elements = mine.merge(theirs)
            case CategoryProfile() as named, CategoryProfile() as others:
                elements = named.merge(others)
            case _:
                raise ProfileMismatch(None, "one has lists of numbers, the other of categories")
        return ListProfile(length=self.length.merge(other.length), elements=elements)


def norms(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Euclidean length of each row; component by component, so that it does not depend on the rows around it."""
    squares = np.zeros(len(vectors))
    with np.errstate(over="ignore", invalid="ignore"):
        for column in vectors.T:
            squares += column.astype(np.float64) ** 2
        return np.sqrt(squares)
