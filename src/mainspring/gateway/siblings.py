"""The gateways that listen at one port together: whichever of them is asked for metrics gives those of all.

Each tells its own to the others at an address of its own on this machine, which stands in the folder of its log. They
are asked when metrics are, so that no counter is older than one that was given before. Who has shut down is not there;
who does not answer, since it was killed or is stuck, is told to be down.
"""

from __future__ import annotations

__all__ = ["Siblings"]

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from mainspring.gateway.metrics import merged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ADDRESS = "metrics.address"
_TIMEOUT_S = 1.0

_log = logging.getLogger(__name__)


class Siblings:
    """The other gateways whose logs lie beside this one's.

    Parameters
    ----------
    log : Path
        The folder of its log; its name is the gateway's.
    """

    def __init__(self, log: Path) -> None:
        self._own = log / _ADDRESS
        self._server: asyncio.Server | None = None

    async def open(self, told: Callable[[], str]) -> None:
        """Begin to tell the others what `told` gives, which is this gateway's metrics at that moment."""
        # By this the others know it: after a crash, the port may be anybody's.
        token = secrets.token_hex(16)

        async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                async with asyncio.timeout(_TIMEOUT_S):
                    writer.write(f"{token}\n{told()}".encode())
                    await writer.drain()
            writer.close()

        self._server = await asyncio.start_server(tell, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        fresh = self._own.with_suffix(".fresh")
        try:
            fresh.write_text(f"{port} {token}")
            fresh.rename(self._own)
        except OSError as error:  # with a full disk it serves nevertheless
            _log.warning("The other gateways cannot tell this one's metrics: %s", error)

    async def close(self) -> None:
        """Tell nothing more."""
        if self._server:
            self._server.close()
        with suppress(OSError):
            self._own.unlink()

    async def gathered(self, own: str) -> str:
        """Give the metrics of all that answer, each line with its gateway's name, with `own` for this one's."""
        others = [each for each in self._own.parent.parent.glob(f"*/{_ADDRESS}") if each != self._own]
        texts = dict(zip(others, await asyncio.gather(*map(_asked, others)), strict=True)) | {self._own: own}
        return merged({each.parent.name: texts[each] for each in sorted(texts)})


async def _asked(address: Path) -> str | None:
    """Ask another gateway for its metrics; None when it has ended or is stuck."""
    writer = None
    try:
        port, token = address.read_text().split()
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            if (await reader.readline()).decode() == f"{token}\n":
                return (await reader.read()).decode()
    except (OSError, ValueError, OverflowError):
        pass  # nobody is there, or somebody else
    finally:
        if writer:
            writer.close()
    return None
