"""What the gateway reads: which versions serve a product's endpoint, and how units are split between them."""

from __future__ import annotations

__all__ = ["Challenger", "MalformedRoute", "Route", "Variant"]

import re
from dataclasses import dataclass, replace
from itertools import pairwise

import msgspec

from mainspring.digest import Digest
from mainspring.errors import Invalid
from mainspring.product import ColumnSpec, FeatureViewSpec, ProductSpec
from mainspring.ref import check_name
from mainspring.rollouts.split import CHAMPION, Part, Split, check_salt, check_share


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
class Challenger:
    """A variant that a part of the units gets instead of the champion.

    Attributes
    ----------
    variant : Variant
    share : float
        Of the units.
    start : float
        Where its part of the units starts; it stands while the share grows, so that no unit comes back.
    """

    variant: Variant
    share: float
    start: float = 0.0

    def __post_init__(self) -> None:
        Part(self.start, self.share)

    @property
    def part(self) -> Part:
        """Its part of the units."""
        return Part(self.start, self.share)


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
    challengers : tuple of Challenger
        None while no rollout runs.
    shadow : Variant or None
        Asked for the same rows as those that answer, without answering.
    shadow_share : float
        Of the units whose rows the shadow is asked for.
    salt : str
        Of the rollout; some text without NUL.
    split_by : str or None
        The input that names a unit. Without it, or in a request that lacks it, every request is a unit.
    inputs : tuple of ColumnSpec
        What a request must hold, and which of it may not be logged.
    log_sample : float
        The share of the units whose predictions are logged.
    online : tuple of FeatureViewSpec
        Views whose features a request may leave out, each with those that are inputs.
    entities : tuple of ColumnSpec
        What a request may hold besides the inputs, to say whose features are to be looked up.

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
    challengers: tuple[Challenger, ...] = ()
    shadow: Variant | None = None
    shadow_share: float = 0.0
    salt: str
    split_by: str | None = None
    inputs: tuple[ColumnSpec, ...] = ()
    log_sample: float = 1.0
    online: tuple[FeatureViewSpec, ...] = ()
    entities: tuple[ColumnSpec, ...] = ()

    def __post_init__(self) -> None:
        check_name(self.product)
        check_share(self.shadow_share)
        check_share(self.log_sample)
        check_salt(self.salt)
        if self.number < 1:
            raise Invalid(f"Routes count from 1; {self.number} cannot be published.")
        if self.shadow is None and self.shadow_share > 0:
            raise Invalid(
                f"A shadow's share of {self.shadow_share:g} needs a shadow: name one, or set it to 0."
            )
        versions = [each.version for each in self.variants]
        if len(set(versions)) < len(versions):
            raise Invalid(f"A version cannot have two parts in one route; these are versions {versions}.")
        parts = sorted((each.start, each.start + each.share) for each in self.challengers)
        if any(end > start + 1e-9 for (_, end), (start, _) in pairwise(parts)):
            raise Invalid(f"The challengers' parts overlap: {parts}.")
        if self.split_by == "":
            raise Invalid("A split needs the name of an input, or None for every request by itself.")

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All that must be loaded: the champion, then the challengers, then the shadow."""
        shadow = (self.shadow,) if self.shadow else ()
        return (self.champion, *(each.variant for each in self.challengers), *shadow)

    @property
    def split(self) -> Split:
        """What assigns units to `challengers`, by their index."""
        return Split(self.salt, [each.part for each in self.challengers])

    def declared_as(self, spec: ProductSpec) -> Route:
        """Give the route that logs and looks up as a declaration says, and serves the versions that this one does.

        A view with a feature that is no input of this route waits for the next version.
        """
        pii = {each.name: each.pii for each in spec.inputs}
        renewed = tuple(
            msgspec.structs.replace(each, pii=pii.get(each.name, each.pii)) for each in self.inputs
        )
        names = {each.name for each in self.inputs}
        online = tuple(view for view in spec.online if names.issuperset(view.feature_names))
        entities = {view.entity for view in online} - names
        return replace(
            self,
            inputs=renewed,
            log_sample=spec.log_sample,
            online=online,
            entities=tuple(each for each in spec.data.columns if each.name in entities),
        )

    def choose(self, unit: str) -> Variant:
        """Give the variant that serves a unit."""
        [chosen] = self.split.assign([unit])
        return self.champion if chosen == CHAMPION else self.challengers[chosen].variant

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
