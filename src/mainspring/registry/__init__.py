"""The registry: immutable model versions, and the aliases that move between them."""

from mainspring.registry.version import ModelVersion, ModelVersionNotFound, RegistryStore, StaleAlias

__all__ = ["ModelVersion", "ModelVersionNotFound", "RegistryStore", "StaleAlias"]
