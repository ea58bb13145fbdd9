"""What the gateway asks of the workspace below it."""

from __future__ import annotations

__all__ = ["GatewaySource"]

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mainspring.digest import Digest
    from mainspring.formats.served import Registered
    from mainspring.product import ProductSpec
    from mainspring.rollouts.route import Route


class GatewaySource(Protocol):
    """Routes, models and snapshots. Always called from one thread, and free to raise anything while away."""

    def route_stamp(self) -> int | str:
        """Give a value that differs whenever `routes` or `snapshots` would; cheap, because it is asked all the time."""
        ...

    def routes(self) -> tuple[Route, ...]:
        """Give the route in force of every product."""
        ...

    def snapshots(self) -> Mapping[str, Digest]:
        """Give the snapshots of feature views, by `mainspring.features.online.snapshot_name`."""
        ...

    def blob(self, digest: Digest) -> bytes:
        """Give the bytes of a model, of its sample, or of a snapshot."""
        ...

    def registered(self, product: str, version: int) -> Registered:
        """Give what was registered of a version."""
        ...

    def check(self, product: str, version: int, artifact: Digest) -> None:
        """Raise unless a version, with this artifact, is all that was registered and signed."""
        ...

    def spec(self, product: str) -> ProductSpec:
        """Give the declaration in force, for routes that do not say themselves what a request must hold."""
        ...
