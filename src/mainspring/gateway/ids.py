"""Prediction ids that tell by themselves whether this workspace has issued them."""

from __future__ import annotations

__all__ = ["PredictionIds"]

from hashlib import blake2b
from hmac import compare_digest


class PredictionIds:
    """Makes ids of the form `<request>/<row>.<mac>` and recognises them again, on any gateway of the workspace.

    Parameters
    ----------
    secret : bytes
        The workspace's own.

    Examples
    --------
    >>> ids = PredictionIds(b"secret")
    >>> first, second = ids.issue("order-7", 2)
    >>> first.partition(".")[0], ids.issued(first), ids.issued("order-7/0.0123456789")
    ('order-7/0', True, False)
    """

    def __init__(self, secret: bytes) -> None:
        key = blake2b(secret, digest_size=32, person=b"prediction ids").digest()
        self._keyed = blake2b(key=key, digest_size=5)
        self._hidden = blake2b(
            key=blake2b(secret, digest_size=32, person=b"pseudonyms").digest(), digest_size=16
        )

    def issue(self, request: str, rows: int) -> list[str]:
        """Give the ids of a request's rows."""
        return [f"{body}.{self._mac(body)}" for body in (f"{request}/{row}" for row in range(rows))]

    def issued(self, prediction_id: str) -> bool:
        """Say whether an id is one of ours."""
        body, _, mac = prediction_id.rpartition(".")
        return mac.isascii() and compare_digest(mac, self._mac(body))

    def pseudonym(self, text: str) -> str:
        """Give what stands for a text that may not be written down: the same for the same text, in this workspace."""
        hidden = self._hidden.copy()
        hidden.update(text.encode())
        return hidden.hexdigest()

    def _mac(self, body: str) -> str:
        mac = self._keyed.copy()
        mac.update(body.encode())
        return mac.hexdigest()
