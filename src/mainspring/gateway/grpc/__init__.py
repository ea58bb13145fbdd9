"""The Open Inference Protocol v2 over gRPC."""

from __future__ import annotations

__all__ = ["GrpcDoor"]

from mainspring.gateway.grpc.door import GrpcDoor
