"""Advertisements between the radio that hears them and the loop that looks at them: a bounded queue that ends with a reason."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from vitals.errors import UnavailableError
from vitals.gatt.link import Advertisement

BOUND: Final = 256
"""Advertisements waiting to be looked at; beyond it the oldest goes: they are chances, not readings."""


class HeardQueue:
    """What one scan hears, in its order."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[Advertisement | str] = asyncio.Queue(BOUND)

    def put(self, advertisement: Advertisement) -> None:
        self._add(advertisement)

    def end(self, why: str) -> None:
        """The scan is over: `each` raises `UnavailableError` when it comes to this."""
        self._add(why)

    async def each(self) -> AsyncIterator[Advertisement]:
        while True:
            item = await self._waiting.get()
            if isinstance(item, str):
                raise UnavailableError(item)
            yield item

    def _add(self, item: Advertisement | str) -> None:
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait(item)
