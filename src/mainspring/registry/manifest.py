"""The manifest of a model version: all that it consists of by digest, signed, so that nothing else passes for it."""

from __future__ import annotations

__all__ = ["Manifest", "ManifestRefused", "PackagedFile", "key_of", "seal", "unseal"]

import hashlib
import hmac
from datetime import datetime

import msgspec

from mainspring.digest import Digest, digest_of
from mainspring.errors import Refused
from mainspring.ref import ModelRef

_PURPOSE = b"mainspring manifest 1"


class ManifestRefused(Refused):
    """A manifest that is not the one of its version, or was not signed by this workspace."""

    def __init__(self, ref: ModelRef, why: str) -> None:
        super().__init__(ref, why)
        self.ref, self.why = ref, why

    def __str__(self) -> str:
        return f"The manifest of {self.ref} is refused: {self.why}. Put back a copy of it, or train again."


class PackagedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the model folder.

    Attributes
    ----------
    path : str
        Below the folder, names joined by `/`.
    size : int
        In bytes.
    sha256 : str
        Of its content, under which the blob store keeps it.
    """

    path: str
    size: int
    sha256: Digest


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a version consists of and came from.

    Attributes
    ----------
    model : str
        Its ref, such as `flights@3`.
    registered_at : datetime
    files : tuple of PackagedFile
        All files of its model folder, ordered by path.
    blobs : dict of str to str
        Digests of what mainspring itself loads, by what it is: `artifact`, `native`, `sample`, `package`, `reference`.
    data : dict of str to str
        Digests of the data versions that it was trained on, by ref.
    code, environment : str
        Digests of the product's code, and of the names and versions of all that was installed.
    """

    model: str
    registered_at: datetime
    files: tuple[PackagedFile, ...]
    blobs: dict[str, Digest]
    data: dict[str, str]
    code: str
    environment: str


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    manifest: msgspec.Raw
    key: str
    hmac_sha256: str


def key_of(secret: bytes) -> str:
    """Name the key that follows from a workspace's secret, without giving it away.

    Examples
    --------
    >>> key_of(b"one") == key_of(b"one"), key_of(b"one") == key_of(b"another")
    (True, False)
    """
    return digest_of(_key(secret))[:16]


def seal(manifest: Manifest, secret: bytes) -> bytes:
    """Write a manifest with its signature: HMAC-SHA256 over its bytes [1]_, by a key that follows from the secret.

    The same manifest and secret give the same bytes.

    References
    ----------
    .. [1] H. Krawczyk, M. Bellare, R. Canetti (1997). HMAC: Keyed-Hashing for Message Authentication. RFC 2104.
    """
    body = msgspec.json.encode(manifest, order="deterministic")
    return msgspec.json.encode(_Sealed(msgspec.Raw(body), key_of(secret), _mac(body, secret)))


def unseal(content: bytes, ref: ModelRef, secret: bytes) -> Manifest:
    """Read what `seal` wrote.

    Parameters
    ----------
    content : bytes
    ref : ModelRef
        The version that it is to be the manifest of, by number.
    secret : bytes
        The workspace's.

    Raises
    ------
    ManifestRefused
        It is no manifest, was signed with another key, was changed since, or is that of another version.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> ref = ModelRef("flights", 3)
    >>> told = Manifest(
    ...     model="flights@3",
    ...     registered_at=datetime(2026, 1, 1, tzinfo=UTC),
    ...     files=(),
    ...     blobs={},
    ...     data={},
    ...     code="",
    ...     environment="",
    ... )
    >>> unseal(seal(told, b"secret"), ref, b"secret") == told
    True
    >>> unseal(seal(told, b"secret"), ModelRef("flights", 4), b"secret")
    Traceback (most recent call last):
    ...
    mainspring.registry.manifest.ManifestRefused: The manifest of flights@4 is refused: it is that of flights@3. ...
    """
    try:
        sealed = msgspec.json.decode(content, type=_Sealed)
        body = bytes(sealed.manifest)
        manifest = msgspec.json.decode(body, type=Manifest)
    except (msgspec.DecodeError, ValueError) as error:
        raise ManifestRefused(ref, f"it cannot be read ({error})") from error
    if sealed.key != key_of(secret):
        raise ManifestRefused(
            ref,
            f"it was signed with the key {sealed.key[:16]}, and that of this workspace is {key_of(secret)}",
        )
    if not hmac.compare_digest(sealed.hmac_sha256.encode(), _mac(body, secret).encode()):
        raise ManifestRefused(ref, "it was changed since it was signed")
    if manifest.model != str(ref):
        raise ManifestRefused(ref, f"it is that of {manifest.model}")
    return manifest


def _key(secret: bytes) -> bytes:
    # A key of its own: what signs prediction ids signs no manifests.
    return hmac.digest(secret, _PURPOSE, "sha256")


def _mac(body: bytes, secret: bytes) -> str:
    return hmac.new(_key(secret), body, hashlib.sha256).hexdigest()
