"""That this release is well here, said to systemd once: who watches over a new release after a power cut listens for it.

Ready is not yet well: it has been when the clinic was reached and meters were looked for, for a while. The words are half of a
contract with deploy/gateway/bin/homevigil-trial, which another release may have brought.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway import systemd

LOOK_S: Final = 10.0
LOOKS: Final = 30
"""Five minutes altogether: long enough for a session with a meter, for receipts, and for a leak that ends it at once."""


async def prove(is_well: Callable[[], bool], *, look_s: float = LOOK_S) -> None:
    """Return when it has been said: after so many looks at which it was well, not necessarily one after the other."""
    release = running_release()
    seen = 0
    while seen < LOOKS:
        await asyncio.sleep(look_s)
        seen += is_well()
    systemd.notify(f"STATUS=well, as {release}: the clinic was reached and meters were looked for")


def running_release() -> str:
    """The folder from which this process was started; the link that led here may lead elsewhere later."""
    return Path(sys.prefix).resolve().name
