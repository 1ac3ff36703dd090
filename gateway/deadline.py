"""A deadline that holds even if the work under it does not want to end.

`asyncio.timeout` cancels once, and then waits for ever for a clean-up that itself waits for a reply: bleak, cancelled while
it connects, asks BlueZ to disconnect and waits for the answer, which a hanging bluetoothd never gives. Here the work is
cancelled, cancelled again, and then left behind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

GRACE_S: Final = 2.0
"""For cleaning up after a cancellation, twice. BlueZ disconnects in 2 to 3 s when it works; when it does not, nothing is
gained by waiting."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """In seconds; the defaults are for real adapters and real meters."""

    reach_s: float = 8.0
    """Until the link is up. BlueZ sets no limit of its own: it waits until the meter advertises again, which it does every 2.5 s
    when it is slow (Blood Pressure Profile 1.1.1, 5.1: after 30 s). A cuff advertises for ten seconds and more as a rule: who
    holds a worker in vain must have left it by then."""
    connect_s: float = 45.0
    """Connecting and discovery together, twice if need be; it takes under a second when it works."""
    pair_s: float = 40.0
    """Pairing takes a few seconds; a meter that says nothing more is given up by the kernel after 30."""
    verb_s: float = 10.0
    """A read or a write; the ATT transaction timeout is 30 s, after which the link is dead anyway."""
    subscribe_s: float = 35.0
    """The first subscription may raise the security of the link: pairing, a stack's own 30 s, and a little."""
    leave_s: float = 10.0
    """BlueZ takes 2 to 3 s to disconnect."""


_left_behind: set[asyncio.Future[Any]] = set()
"""Work that would not end. It is kept so that it is not destroyed while pending; it ends with its bus connection."""


async def within(timeout_s: float, work: Awaitable[T], *, grace_s: float = GRACE_S) -> T:
    """What `work` gives; raises `TimeoutError` after `timeout_s` and at most two `grace_s`, whatever the work does."""
    task = asyncio.ensure_future(_coroutine(work))
    try:
        await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        await _end(task, grace_s)
        raise
    if not task.done():
        await _end(task, grace_s)
        raise TimeoutError(f"not done after {timeout_s:g} s")
    if task.cancelled():
        raise ConnectionAbortedError("cancelled from below")
    return task.result()


async def within_reach(
    work: Awaitable[T], timeout_s: float, reach_s: float, is_reached: Callable[[], Awaitable[bool]]
) -> T:
    """`within(timeout_s, work)`, given up already after `reach_s` if by then the other side is not even reached."""
    task = asyncio.create_task(within(timeout_s, work))
    try:
        await asyncio.wait({task}, timeout=reach_s)
        if not task.done() and not await is_reached():
            raise TimeoutError(f"no link within {reach_s:g} s")
        return await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


def left_behind() -> int:
    """How much work is pending that would not end."""
    return len(_left_behind)


async def _end(task: "asyncio.Future[Any]", grace_s: float) -> None:
    for _ in range(2):
        task.cancel()
        await asyncio.wait({task}, timeout=grace_s)
        if task.done():
            if not task.cancelled():
                task.exception()  # heard; why it failed late is of no interest
            return
    _left_behind.add(task)
    task.add_done_callback(_drop)


def _drop(task: "asyncio.Future[Any]") -> None:
    _left_behind.discard(task)
    if not task.cancelled():
        task.exception()


def _coroutine(work: Awaitable[T]) -> Coroutine[Any, Any, T]:
    async def wait() -> T:
        return await work

    return wait()
