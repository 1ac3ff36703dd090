"""Tells what a meter says on the air from everything else that BlueZ says of it. Pure.

bleak calls a scanner back whenever any property of a meter has changed, and shows what holds now, not what has changed. Who takes
a change of `Connected` for an advertisement connects to a meter that sleeps. BlueZ, for its part, tells the strength of every
advertisement while discovery has a filter, be it the same as before (device_set_rssi_with_delta() with 0 in src/device.c). So a
call with nothing changed is an advertisement, and one in which something else than the bookkeeping changed is one, too; in doubt
it is one: a connection in vain costs seconds, a meter that nobody hears costs a reading.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

BOOKKEEPING: Final = frozenset(
    {
        "Connected", "ServicesResolved", "Paired", "Bonded", "Trusted", "Blocked", "Alias", "CablePairing", "WakeAllowed",
        "PreferredBearer", "Sets",
    }
)  # fmt: skip
"""Properties of org.bluez.Device1 that no advertisement changes (doc/org.bluez.Device.rst)."""
BOUND: Final = 256
"""Meters whose properties are kept for comparison; beyond it the one told of longest ago is forgotten, and simply new again."""


class Hearing:
    """What BlueZ has last said of each meter, and whether one to which we connect has taken a link."""

    def __init__(self) -> None:
        self._last: dict[str, Mapping[str, Any]] = {}
        self._reaching: dict[str, bool] = {}

    def is_advertised(self, path: str, told: Mapping[str, Any]) -> bool:
        """Whether the meter with this object path has just advertised, now that these properties of it were told."""
        before = self._last.pop(path, None)
        self._last[path] = told
        if len(self._last) > BOUND:
            del self._last[next(iter(self._last))]
        if path in self._reaching:
            self._reaching[path] |= bool(told.get("Connected"))
        if "RSSI" not in told or told.get("Connected"):
            return False  # not heard since discovery began, or busy with us or somebody else
        if before is None:
            return True
        changed = {name for name in before.keys() | told.keys() if before.get(name) != told.get(name)}
        return not changed or not changed <= BOOKKEEPING

    @contextmanager
    def reaching(self, path: str) -> Iterator[Callable[[], bool]]:
        """While we connect to this meter: whether it has had a link since, though it may have lost it again by now. A meter that
        lost its bond drops each link in a moment; it does not sleep, and what BlueZ says of the end must be waited for."""
        self._reaching[path] = False
        try:
            yield lambda: self._reaching[path]
        finally:
            del self._reaching[path]
