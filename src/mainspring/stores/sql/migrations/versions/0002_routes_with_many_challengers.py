"""Routes name any number of challengers, each with the part of the units that it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import Text, column, select, table

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations) -> None:
    """Rewrite the routes in force; the next change of a rollout would do so too, but gateways read them now."""
    routes = table("routes", column("product", Text), column("route", Text))
    connection = op.get_bind()
    for product, text in connection.execute(select(routes.c.product, routes.c.route)).all():
        route = json.loads(text)
        challenger, share = route.pop("challenger", None), route.pop("share", 0.0)
        route["challengers"] = [{"variant": challenger, "share": share}] if challenger else []
        connection.execute(
            routes.update().where(routes.c.product == product).values(route=json.dumps(route, sort_keys=True))
        )
