"""Where an artifact lies: a path from outside, parsed once into a value that cannot leave its root."""

from __future__ import annotations

__all__ = ["ASIDE", "ArtifactPath", "InvalidArtifactPath", "is_name"]

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote

from mainspring.errors import Invalid

ASIDE = ".mainspring-uploads"
"""The name that stores keep for what is not an artifact yet; no artifact has it."""

_KEPT_HERE = "mlflow-artifacts:/"
_NAME_BYTES = 255  # of a name in every file system in use
_PATH_BYTES = 1024  # of a key in object storage
_DEPTH = 100  # a folder is deleted with one open file for each
_ENCODED = 10  # times; what is encoded more often is no name


class InvalidArtifactPath(Invalid):
    """Text that is no path of an artifact."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text, why)
        self.text, self.why = text, why

    def __str__(self) -> str:
        return (
            f"{self.text[:200]!r} is no path of an artifact: {self.why}. Expected names joined by `/`, such as "
            "`model/MLmodel`."
        )


@dataclass(frozen=True, slots=True)
class ArtifactPath:
    """Names of folders and, last, of a file or folder, below the root of a store.

    Attributes
    ----------
    parts : tuple of str
        At least one name; none of them means another folder, however often it is decoded.

    Examples
    --------
    >>> ArtifactPath.parse("0/5f2c/artifacts/model/MLmodel").name
    'MLmodel'
    >>> str(ArtifactPath.parse("0/5f2c/artifacts") / ArtifactPath.parse("plots%2Froc.png"))
    '0/5f2c/artifacts/plots/roc.png'
    >>> ArtifactPath.parse("0/%252e%252e/secret")
    Traceback (most recent call last):
    ...
    mainspring.stores.artifact_path.InvalidArtifactPath: '0/%252e%252e/secret' is no path of an artifact: ...
    """

    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        text = "/".join(self.parts)
        if not self.parts:
            raise InvalidArtifactPath(text, "it names nothing")
        if len(self.parts) > _DEPTH or len(text.encode(errors="replace")) > _PATH_BYTES:
            raise InvalidArtifactPath(text, f"it has more than {_PATH_BYTES} bytes or {_DEPTH} names")
        for part in self.parts:
            if not is_name(part):
                raise InvalidArtifactPath(
                    text,
                    f"{part[:100]!r} is no name: it is empty, `.`, `..`, kept for the store or longer than "
                    f"{_NAME_BYTES} bytes, is percent-encoded, or has a slash, backslash, `#` or control character",
                )
        if self.parts[0].endswith(":"):
            raise InvalidArtifactPath(text, "it begins with a drive or a scheme")

    @classmethod
    def parse(cls, text: str) -> ArtifactPath:
        """Read a path as clients send it.

        They encode names once or twice, and decode the names of a list for as long as that changes them. So does this:
        all spellings mean one file, and what is listed can be asked for. Control characters stay encoded.

        Raises
        ------
        InvalidArtifactPath
            It is absolute, climbs with `..` in any encoding, or has a name that is none.
        """
        decoded = _decoded(text)
        if decoded.startswith("/"):
            raise InvalidArtifactPath(text, "it is absolute")
        try:
            return cls(tuple(part for part in decoded.split("/") if part not in ("", ".")))
        except InvalidArtifactPath as error:
            raise InvalidArtifactPath(text, error.why) from None

    @classmethod
    def of_uri(cls, uri: str) -> ArtifactPath:
        """Read the address of a folder whose artifacts this server keeps, such as `mlflow-artifacts:/0/5f2c/artifacts`.

        Raises
        ------
        InvalidArtifactPath
            Its path is none.
        Invalid
            It is the address of another place.
        """
        path = uri.removeprefix(_KEPT_HERE)
        if path == uri:
            raise Invalid(f"The artifacts at {uri} are not kept by this server: read them there.")
        return cls.parse(path)

    @property
    def name(self) -> str:
        """The last name."""
        return self.parts[-1]

    def __truediv__(self, below: ArtifactPath) -> ArtifactPath:
        return ArtifactPath(self.parts + below.parts)

    def __str__(self) -> str:
        return "/".join(self.parts)


def is_name(text: str) -> bool:
    """Say whether text can be the name of a file or folder here."""
    return (
        text not in ("", ".", "..", ASIDE)
        and not re.search(r"[/\\#]", text)
        and not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
        and len(text.encode()) <= _NAME_BYTES
        and _decoded(text) == text
    )


def _decoded(text: str) -> str:
    for _ in range(_ENCODED):
        text, before = unquote(text), text
        if text == before:
            break
    return re.sub(r"[\0-\x1f\x7f]", lambda control: f"%{ord(control[0]):02x}", text)
