"""What the gateway reads: which versions serve a product's endpoint, and how units are split between them."""

from __future__ import annotations

__all__ = ["MalformedRoute", "Route", "Variant"]

import re
from dataclasses import dataclass

import msgspec

from mainspring.digest import Digest
from mainspring.errors import Invalid
from mainspring.product import ColumnSpec
from mainspring.ref import check_name
from mainspring.rollouts.split import Arm, arm, check_salt, check_share


class MalformedRoute(Invalid):
    """Text that does not hold a route."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        return f"This is not a route: {self.why}. The control plane writes routes; ask it to publish this one again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model version behind an endpoint.

    Attributes
    ----------
    version : int
        The model version's number.
    artifact : Digest
        Of the model as it is served.
    """

    version: int
    artifact: Digest

    def __post_init__(self) -> None:
        if self.version < 1:
            raise Invalid(f"Model versions count from 1; {self.version} cannot be served.")
        if not re.fullmatch(r"[0-9a-f]{64}", self.artifact):
            raise Invalid(f"{self.artifact!r} names no artifact: expected 64 lower-case hexadecimal digits.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An endpoint's variants and their split, as one value that changes as a whole.

    Attributes
    ----------
    product : str
        The name of the endpoint.
    number : int
        The route's own version, rising by one with each change; the gateway reports which one it serves.
    champion : Variant
    challenger : Variant or None
        None while no rollout runs; the share is then 0.
    share : float
        The challenger's share of the units.
    salt : str
        Of the rollout; some text without NUL.
    split_by : str or None
        The input that names a unit. Without it, or in a request that lacks it, every request is a unit.
    inputs : tuple of ColumnSpec
        What a request must hold.

    Examples
    --------
    >>> champion = Variant(version=1, artifact=Digest("0" * 64))
    >>> route = Route(product="late-arrivals", number=1, champion=champion, salt="r0")
    >>> Route.from_json(route.to_json()) == route
    True
    >>> route.choose("N14228").version
    1
    """

    product: str
    number: int
    champion: Variant
    challenger: Variant | None = None
    share: float = 0.0
    salt: str
    split_by: str | None = None
    inputs: tuple[ColumnSpec, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.product)
        check_share(self.share)
        check_salt(self.salt)
        if self.number < 1:
            raise Invalid(f"Routes count from 1; {self.number} cannot be published.")
        if self.challenger is None and self.share > 0:
            raise Invalid(
                f"A share of {self.share:g} needs a challenger to serve it: name one, or set the share to 0."
            )
        if self.challenger is not None and self.challenger.version == self.champion.version:
            raise Invalid(f"Version {self.champion.version} cannot be champion and challenger at once.")
        if self.split_by == "":
            raise Invalid("A split needs the name of an input, or None for every request by itself.")

    def arm(self, unit: str) -> Arm:
        """Say which arm a unit belongs to."""
        return arm(unit, salt=self.salt, share=self.share) if self.challenger else Arm.CHAMPION

    def choose(self, unit: str) -> Variant:
        """Give the variant that serves a unit."""
        if self.challenger is not None and self.arm(unit) is Arm.CHALLENGER:
            return self.challenger
        return self.champion

    def to_json(self) -> str:
        """Text that `from_json` reads back to an equal value."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Route:
        """Read what `to_json` wrote.

        Raises
        ------
        MalformedRoute
            The text is no JSON, lacks a field, or holds an illegal value.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, Invalid) as error:
            raise MalformedRoute(str(error).rstrip(".")) from error
