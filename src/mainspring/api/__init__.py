"""The control plane over HTTP: native REST with an OpenAPI description, errors as problem details."""

from mainspring.api.app import build_app
from mainspring.api.server import serve

__all__ = ["build_app", "serve"]
