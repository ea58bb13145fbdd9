"""What is too much is turned away, and what takes too long is given up, each told from the other."""

from __future__ import annotations

import asyncio

import pytest

from mainspring.gateway.admission import Admission, Overloaded


def test_one_too_many_is_turned_away_until_another_has_left() -> None:
    async def main() -> None:
        admission = Admission(2, timeout_s=60)
        leave = asyncio.Event()

        async def request() -> None:
            task = admission.enter()
            try:
                await leave.wait()
            finally:
                admission.leave(task)

        inside = [asyncio.create_task(request()) for _ in range(2)]
        await asyncio.sleep(0)
        assert admission.pending == 2
        with pytest.raises(Overloaded, match="2 requests are in progress"):
            await request()
        leave.set()
        await asyncio.gather(*inside)
        await request()
        assert admission.pending == 0
        await admission.close()

    asyncio.run(main())


@pytest.mark.parametrize("own", [True, False])
def test_what_takes_too_long_is_given_up_and_told_from_a_client_that_has_gone(own: bool) -> None:
    async def main() -> None:
        admission = Admission(10, timeout_s=60 if own else 0.01)
        ended: dict[str, bool] = {}

        async def request(name: str) -> None:
            task = admission.enter()
            if own and name == "slow":
                assert admission.shorten(task, 0.01)
                assert not admission.shorten(task, 30)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended[name] = admission.gave_up(task)
            finally:
                admission.leave(task)

        slow = asyncio.create_task(request("slow"))
        gone = asyncio.create_task(request("gone"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(slow, gone)
        assert ended == {"slow": True, "gone": False}
        assert admission.pending == 0
        await admission.close()

    asyncio.run(main())
