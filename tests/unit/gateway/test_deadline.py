"""A deadline holds against work that is slow, that cleans up slowly, and that does not want to end at all."""

import asyncio

import pytest

from gateway.deadline import left_behind, within, within_reach


async def _give(value: int) -> int:
    return value


async def _never(cancellations: list[int], ignores: int) -> None:
    """Waits for ever; when it is cancelled it waits again, so many times."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancellations.append(1)
            if len(cancellations) > ignores:
                raise


async def test_work_that_ends_in_time_gives_its_value() -> None:
    assert await within(1.0, _give(7)) == 7


async def test_an_error_of_the_work_comes_through() -> None:
    async def fail() -> None:
        raise ValueError("so")

    with pytest.raises(ValueError, match="so"):
        await within(1.0, fail())


async def test_slow_work_is_cancelled() -> None:
    cancellations: list[int] = []
    with pytest.raises(TimeoutError):
        await within(0.01, _never(cancellations, ignores=0), grace_s=0.01)
    assert cancellations == [1]
    assert left_behind() == 0


async def test_work_whose_clean_up_waits_is_cancelled_again() -> None:
    cancellations: list[int] = []
    with pytest.raises(TimeoutError):
        await within(0.01, _never(cancellations, ignores=1), grace_s=0.01)
    assert len(cancellations) == 2
    assert left_behind() == 0


async def test_work_that_will_not_end_is_left_behind_and_dropped_when_it_does() -> None:
    cancellations: list[int] = []
    work = asyncio.ensure_future(_never(cancellations, ignores=2))

    async def hide() -> None:
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                if work.done():
                    return

    with pytest.raises(TimeoutError):
        await within(0.01, hide(), grace_s=0.01)
    assert left_behind() == 1
    for _ in range(3):
        work.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({work})
    async with asyncio.timeout(5):
        while left_behind():  # noqa: ASYNC110  # the callback that empties it runs in the loop's next turn
            await asyncio.sleep(0)


async def test_who_waits_can_be_cancelled_and_the_work_goes_too() -> None:
    cancellations: list[int] = []
    waiting = asyncio.create_task(within(60, _never(cancellations, ignores=0), grace_s=0.01))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cancellations == [1]


async def test_work_that_is_cancelled_from_below_is_a_lost_connection_and_not_our_own_cancellation() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ConnectionAbortedError):
        await within(1.0, cancelled())


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


async def test_work_that_has_reached_the_other_side_has_the_whole_time() -> None:
    go_on = asyncio.Event()

    async def reached() -> bool:
        go_on.set()
        return True

    async def work() -> int:
        await go_on.wait()
        return 7

    assert await within_reach(work(), 1.0, 0.01, reached) == 7


async def test_work_that_has_not_reached_the_other_side_is_cancelled_early() -> None:
    cancellations: list[int] = []
    with pytest.raises(TimeoutError, match=r"no link within 0\.01 s"):
        await within_reach(_never(cancellations, ignores=0), 60.0, 0.01, _no)
    assert cancellations == [1]


async def test_work_that_reaches_and_does_not_end_is_cancelled_by_the_whole_deadline() -> None:
    cancellations: list[int] = []
    with pytest.raises(TimeoutError, match=r"not done after 0\.05 s"):
        await within_reach(_never(cancellations, ignores=0), 0.05, 0.01, _yes)
    assert cancellations == [1]


async def test_who_is_cancelled_while_reaching_cancels_the_work() -> None:
    cancellations: list[int] = []
    task = asyncio.create_task(within_reach(_never(cancellations, ignores=0), 60.0, 60.0, _no))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert cancellations == [1]
