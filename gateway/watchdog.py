"""When systemd is told that all is well: only while every loop of the gateway turns. Otherwise it ends us and starts us anew.

Progress is that a loop comes round, not that it succeeds. The scan's comes round at least every ten seconds while discovery is
on, and otherwise between attempts, each of which has its own deadline: so a home without meters and an adapter that is not
there are no reason to end, and a call into the Bluetooth stack that never returns is one. A reader's comes round after at most
one session. The uplink's comes round every few seconds while it is connected, and between attempts; a broker that is away is
no reason to end, and a network thread that hangs is one: the line is left after `carrier.SILENT_S`, and leaving it waits for
that thread. What blocks the event loop stops this loop, too.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Never

import structlog

from gateway import systemd

STALLED_S: Final = 400.0
"""A loop that has not come round for so long hangs: longer than the longest session and the leaving of its link."""
PERIOD_S: Final = 10.0
"""How often the loops are looked at where no systemd asks for it."""

_log = structlog.get_logger(__name__)


async def feed_watchdog(
    alive_s: Callable[[], float], *, now_s: Callable[[], float], gateway_id: str, stalled_s: float | None = None
) -> Never:
    """Feed it for as long as the loop that was slowest to come round did so within `stalled_s`.

    `alive_s`: when that loop last came round, by the clock `now_s`.
    """
    bound_s = STALLED_S if stalled_s is None else stalled_s
    period_s = systemd.watchdog_period_s() or PERIOD_S
    while True:
        for_s = now_s() - alive_s()
        if for_s < bound_s:
            systemd.notify("WATCHDOG=1")
        else:
            _log.error("gateway_stalled", gateway_id=gateway_id, for_s=round(for_s))
        await asyncio.sleep(period_s)
