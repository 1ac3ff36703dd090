"""What a link brings, until a session looks at it: no more than a meter can have to say, and nothing once the link has been left.

Frames come faster than they can be kept: a meter with a full memory sends hundreds in a second, and each is durable before the
next is looked at. What goes over the bound ends the session, so that a meter with records is asked for them again.
"""

import asyncio
from typing import Final

from vitals.gatt.link import Disconnected, LinkError, Notified

FRAMES_BOUND: Final = 20_000
"""Waiting frames: a glucose sensor's fortnight, one record a minute; at most some 10 MB."""


class LinkEvents(asyncio.Queue[Notified | Disconnected]):
    """The events of one link, in order. From the event loop only."""

    def __init__(self, bound: int = FRAMES_BOUND) -> None:
        super().__init__()
        self._bound = bound
        self._is_left = False
        self._left_out = 0

    def put_nowait(self, item: Notified | Disconnected) -> None:
        """Never refuses that the link has gone."""
        if self._is_left:
            return
        if self.qsize() < self._bound or isinstance(item, Disconnected):
            super().put_nowait(item)
        else:
            self._left_out += 1

    def begin_anew(self, *, is_connected: bool) -> None:
        """Forget what earlier attempts met. bleak has one client for all of them: the end of the first link, taken for that of
        this one, would have a report thrown away that the meter believes to have been told."""
        while not self.empty():
            self.get_nowait()
        self._left_out = 0
        if not is_connected:
            self.put_nowait(Disconnected())

    def leave(self) -> None:
        """The link has been left: whoever goes on talking is not heard any more, even if hanging up has failed."""
        self._is_left = True

    async def next_event(self, timeout_s: float) -> Notified | Disconnected | None:
        """The next one; None if there is none within `timeout_s`. Raises `LinkError` after the last one before a flood."""
        if not self.empty():
            return self.get_nowait()
        if self._left_out:
            raise LinkError(f"the meter sends faster than it can be kept; {self._left_out} frames were not taken")
        if timeout_s <= 0:
            return None
        try:
            async with asyncio.timeout(timeout_s):
                return await self.get()
        except TimeoutError:
            return None
