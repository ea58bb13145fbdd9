"""Prediction ids that tell by themselves whether this workspace has issued them."""

from __future__ import annotations

__all__ = ["PredictionIds"]

from hashlib import blake2b
from hmac import compare_digest

_MAC = 5  # bytes
_GROUP = blake2b.MAX_DIGEST_SIZE // _MAC
_DIGITS = 9


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
        self._keyed = blake2b(key=key, digest_size=_MAC)
        self._shared = blake2b(key=key)
        self._hidden = blake2b(
            key=blake2b(secret, digest_size=32, person=b"pseudonyms").digest(), digest_size=16
        )

    def issue(self, request: str, rows: int) -> list[str]:
        """Give the ids of a request's rows."""
        first = f"{request}/0"
        ids = [f"{first}.{self._mac(first)}"]
        for group, start in enumerate(range(1, rows, _GROUP)):
            macs = self._macs(request, group)[: rows - start]
            ids += [f"{request}/{row}.{mac}" for row, mac in enumerate(macs, start)]
        return ids

    def issued(self, prediction_id: str) -> bool:
        """Say whether an id is one of ours."""
        body, _, mac = prediction_id.rpartition(".")
        if not mac.isascii():
            return False
        if compare_digest(mac, self._mac(body)):  # of a first row, or from before rows shared a hash
            return True
        request, _, digits = body.rpartition("/")
        if (
            not 0 < len(digits) <= _DIGITS
            or not digits.isascii()
            or not digits.isdecimal()
            or digits[0] == "0"
        ):
            return False
        group, place = divmod(int(digits) - 1, _GROUP)
        return compare_digest(mac, self._macs(request, group)[place])

    def pseudonym(self, text: str) -> str:
        """Give what stands for a text that may not be written down: the same for the same text, in this workspace."""
        hidden = self._hidden.copy()
        hidden.update(text.encode())
        return hidden.hexdigest()

    def _mac(self, body: str) -> str:
        mac = self._keyed.copy()
        mac.update(body.encode())
        return mac.hexdigest()

    def _macs(self, request: str, group: int) -> list[str]:
        """The codes of a group of rows: parts of one hash, which takes as long as that of one row."""
        macs = self._shared.copy()
        macs.update(f"{request}/{group}".encode())
        return macs.digest()[: _MAC * _GROUP].hex(" ", -_MAC).split()
