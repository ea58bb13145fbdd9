"""What a gateway reads of a workspace: routes from the database, models from the blobs."""

from __future__ import annotations

__all__ = ["WorkspaceSource"]

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mainspring.formats.signature import Signature
from mainspring.ref import ModelRef

if TYPE_CHECKING:
    from mainspring.digest import Digest
    from mainspring.product import ProductSpec
    from mainspring.rollouts import Route
    from mainspring.workspace import Workspace


@dataclass(frozen=True, slots=True)
class WorkspaceSource:
    """Routes and models of a workspace."""

    workspace: Workspace

    def route_stamp(self) -> str:
        """Give the numbers of the routes in force; they rise with each change."""
        return " ".join(f"{route.product}:{route.number}" for route in self.routes())

    def routes(self) -> tuple[Route, ...]:
        """Give the route of every product."""
        with self.workspace.database.read() as tx:
            return tx.rollouts.routes()

    def artifact(self, digest: Digest) -> bytes:
        """Give a model's ONNX file, verified against its digest."""
        return self.workspace.blobs.get(digest)

    def signature(self, product: str, version: int) -> Signature:
        """Give the signature of a version."""
        with self.workspace.database.read() as tx:
            return Signature.from_json(tx.registry.get(ModelRef(product, version)).signature)

    def spec(self, product: str) -> ProductSpec:
        """Give a product's declaration."""
        with self.workspace.database.read() as tx:
            return self.workspace.specs(tx)[product]
