"""Who asks, where the rows do not say it: a header that the caller sets, or a cookie that browsers bring back."""

from __future__ import annotations

__all__ = ["asker", "remember"]

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mainspring.gateway.http import Headers

_LONGEST = 128
_HEADER = b"mainspring-unit"
_DAYS = 30


def asker(headers: Headers) -> str | None:
    """Give the unit that a request names by its header `Mainspring-Unit`, or else by the cookie of that name.

    Returns
    -------
    str or None
        None where it names none, or one that is empty or longer than 128 bytes.

    Examples
    --------
    >>> asker({b"cookie": b"theme=dark; mainspring-unit=r7/0.27236e6c49"})
    'r7/0.27236e6c49'
    """
    named = headers.get(_HEADER)
    if named is None and (cookies := headers.get(b"cookie")):
        for cookie in cookies.split(b";"):
            name, _, value = cookie.strip().partition(b"=")
            if name == _HEADER:
                named = value
                break
    return named.decode("latin-1") if named and len(named) <= _LONGEST else None


def remember(unit: str) -> tuple[bytes, bytes]:
    """Give the header by which a browser brings a unit back with its next requests.

    The unit is the id of the first prediction that the caller got, so the first answer counts for it already.
    """
    return b"set-cookie", b"%b=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax" % (
        _HEADER,
        unit.encode(),
        _DAYS * 86_400,
    )
