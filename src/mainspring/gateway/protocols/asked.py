"""What every protocol makes of a request."""

from __future__ import annotations

__all__ = ["Asked"]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from mainspring.gateway.inputs import Rows
    from mainspring.gateway.predict import Prediction


class Asked(msgspec.Struct, frozen=True):
    """A request that has been read and checked.

    Attributes
    ----------
    rows : Rows
    write : callable
        Makes the answer of the product's name and the prediction, in the form that the caller wants: a `Reply` over
        HTTP.
    id : str, optional
        The caller's id of the request.
    timeout_s : float, optional
        For how long the caller will wait, if it says so.
    """

    rows: Rows
    write: Callable[[str, Prediction], Any]
    id: str | None = None
    timeout_s: float | None = None
