"""Predictions over HTTP and gRPC, labels, and a log in which every answer stands first."""

from __future__ import annotations

__all__ = ["GatewaySource", "Limits", "need_port", "serve"]

from mainspring.gateway.admission import Limits
from mainspring.gateway.server import need_port, serve
from mainspring.gateway.source import GatewaySource
