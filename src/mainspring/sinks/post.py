"""One HTTP request, with an end: what is not answered with a 2xx in time was not delivered."""

from __future__ import annotations

__all__ = ["post"]

from collections.abc import Mapping

from mainspring.sinks.alert import NotDelivered


def post(url: str, content: bytes, headers: Mapping[str, str], *, timeout_s: float) -> None:
    """Post JSON.

    Raises
    ------
    NotDelivered
        The address is not told, since with many services it is the secret.
    """
    import httpx

    try:
        # The answer's body is not read, so that it cannot keep us.
        with httpx.stream("POST", url, content=content, headers=dict(headers), timeout=timeout_s) as answer:
            status = answer.status_code
    except httpx.TimeoutException:
        raise NotDelivered(f"It did not answer within {timeout_s:g} seconds.") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotDelivered(f"It could not be reached: {type(error).__name__}.") from None
    if not 200 <= status < 300:
        raise NotDelivered(f"It answered with status {status}.")
