"""What to do about an adapter that does not work: the ladder of cures. Pure: the caller tells what happened, and when.

A Bluetooth adapter in a stranger's home hangs for reasons nobody will ever look into, and what helps is known: begin the scan
anew, switch the adapter off and on, reset it from below BlueZ, restart BlueZ. The weakest first, each given time to help, with
longer rests between rounds, and the strong ones only so many times a day: they cost whoever else uses the radio.

Three signs are trusted. Discovery cannot be started. Discovery runs and hears nothing at all, not even the neighbours'
televisions in a listening without filter; a home in which no meter was used all day is no sign. Connections fail one after the
other, with every meter that was heard, for reasons that are not a matter of pairing.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, Final

from gateway.backoff import Backoff


class Rung(IntEnum):
    """A cure; the higher, the stronger."""

    SCAN = 1
    POWER = 2
    RESET = 3
    RESTART = 4


class Trouble(Enum):
    NO_SCAN = "discovery cannot be started"
    DEAF = "discovery runs and hears nothing, not even the neighbours"
    NO_CONNECT = "no meter can be connected to"


_ROUND: Final = {
    Trouble.NO_SCAN: (Rung.POWER, Rung.RESET, Rung.RESTART),  # the scan is begun anew all the time anyway
    Trouble.DEAF: (Rung.SCAN, Rung.POWER, Rung.RESET, Rung.RESTART),
    Trouble.NO_CONNECT: (Rung.SCAN, Rung.POWER, Rung.RESET, Rung.RESTART),
}
DAY_S: Final = 86_400.0
A_DAY: Final = 8
"""Resets, and restarts, in a day at most: a round takes one of each, and after eight rounds it is not the software."""
ADVICE: Final = "restart the gateway's machine; if that does not help, another Bluetooth adapter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When a sign counts, and how long a cure is given. The defaults are for a home."""

    scans_failed: int = 3
    connects_failed: int = 6
    """In a row, with two meters or more; with one meter, twice as many: it may be the meter."""
    quiet_s: float = 1800.0
    """Without any advertisement of a meter before the neighbours are listened for: most of a home's day is quiet."""
    deaf_listenings: int = 2
    help_s: tuple[float, float, float, float] = (20.0, 20.0, 45.0, 60.0)
    """After each rung, in its order; BlueZ is up about 10 s after its start, a stick about 5 s after a reset."""
    rounds: Backoff = field(default_factory=lambda: Backoff(first_s=600.0, longest_s=21_600.0))


class Ladder:
    """The state of one adapter's health. Times are seconds of one monotonic clock."""

    def __init__(self, now_s: float, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._trouble: Trouble | None = None
        self._scan_failures = 0
        self._connect_failures = 0
        self._unconnected: set[str] = set()
        self._silences = 0
        self._heard_s = now_s
        self._is_scanning = False
        self._neighbours_s: float | None = None
        self._place = 0
        self._rounds = 0
        self._next_s = now_s
        self._last: Rung | None = None
        self._counts = dict.fromkeys(Rung, 0)
        self._strong: dict[Rung, deque[float]] = {r: deque(maxlen=A_DAY) for r in (Rung.RESET, Rung.RESTART)}

    # -- what happened -------------------------------------------------------------------------------------------------

    def scan_started(self, now_s: float) -> None:
        self._is_scanning, self._scan_failures = True, 0
        self._works_again(Trouble.NO_SCAN)

    def scan_ended(self) -> None:
        """By our own will: nothing is heard, and that is no sign."""
        self._is_scanning = False

    def scan_failed(self, now_s: float) -> None:
        """Discovery could not be started, or has ended against our will."""
        self._is_scanning = False
        self._scan_failures += 1
        if self._scan_failures >= self._patience.scans_failed:
            self._ails(Trouble.NO_SCAN, now_s)

    def heard(self, now_s: float) -> None:
        """A meter advertises."""
        self._heard_s, self._silences = now_s, 0
        self._works_again(Trouble.DEAF)

    def listened(self, peripherals: int, now_s: float) -> None:
        """So many peripherals of any kind were heard in a listening without filter."""
        if peripherals:
            self._neighbours_s = now_s
            self.heard(now_s)
            return
        self._silences += 1
        again_in_s = self._patience.quiet_s if self._rounds else self._patience.help_s[0]
        self._heard_s = now_s - self._patience.quiet_s + again_in_s
        if self._silences >= self._patience.deaf_listenings:
            self._ails(Trouble.DEAF, now_s)

    def connected(self, now_s: float) -> None:
        """A connection was made, to whatever end."""
        self._connect_failures = 0
        self._unconnected.clear()
        self._works_again(Trouble.NO_CONNECT)

    def connect_failed(self, meter_id: str, now_s: float) -> None:
        """No connection, for a reason that is neither the meter's bond nor its code."""
        self._connect_failures += 1
        self._unconnected.add(meter_id)
        factor = 1 if len(self._unconnected) > 1 else 2
        if self._connect_failures >= self._patience.connects_failed * factor:
            self._ails(Trouble.NO_CONNECT, now_s)

    # -- what to do ----------------------------------------------------------------------------------------------------

    def is_to_listen(self, now_s: float) -> bool:
        """Whether to listen without a filter now, to tell a quiet home from a deaf adapter."""
        return self._is_scanning and now_s - self._heard_s >= self._patience.quiet_s

    def next_rung(self, now_s: float) -> Rung | None:
        """The cure to try now; it counts as tried. None: leave the adapter alone."""
        if self._trouble is None or now_s < self._next_s:
            return None
        steps = _ROUND[self._trouble]
        rung = steps[self._place]
        self._place += 1
        if self._place == len(steps):
            self._place = 0
            self._rounds += 1
            self._next_s = now_s + self._patience.rounds.delay_s(self._rounds)
        else:
            self._next_s = now_s + self._patience.help_s[rung - 1]
        if not self._is_allowed(rung, now_s):
            return None
        self._counts[rung] += 1
        self._last = rung
        return rung

    def describe(self, now_s: float) -> dict[str, Any]:
        """For the status."""
        state = "calm" if self._trouble is None else "climbing"
        if self._trouble is not None and self._rounds:
            state = "resting"
        facts: dict[str, Any] = {"state": state, "tried": {r.name.lower(): n for r, n in self._counts.items() if n}}
        if self._last is not None:
            facts["last"] = self._last.name.lower()
        if self._trouble is not None:
            facts |= {"trouble": self._trouble.value, "next_in_s": round(max(0.0, self._next_s - now_s))}
            if self._rounds:
                facts["advice"] = ADVICE
        return facts

    def _ails(self, trouble: Trouble, now_s: float) -> None:
        if self._trouble is None:
            self._trouble, self._place, self._next_s = trouble, 0, now_s

    def _works_again(self, trouble: Trouble) -> None:
        if self._trouble is trouble:
            self._trouble, self._place, self._rounds = None, 0, 0
            self._scan_failures = self._connect_failures = self._silences = 0

    def _is_allowed(self, rung: Rung, now_s: float) -> bool:
        """A strong cure: not too often in a day, and not for silence alone where no neighbour was heard all day."""
        if rung < Rung.RESET:
            return True
        is_lonely = self._neighbours_s is None or now_s - self._neighbours_s > DAY_S
        if self._trouble is Trouble.DEAF and is_lonely:
            return False
        days = self._strong[rung]
        if len(days) == A_DAY and now_s - days[0] < DAY_S:
            return False
        days.append(now_s)
        return True
