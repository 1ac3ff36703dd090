"""What goes wrong with an adapter or with bluetoothd itself, as knobs that a test turns while the bridge runs.

Each trouble lasts until something cures it, and the cures are the rungs that a gateway climbs: the scan started anew, the
adapter's power cycled, the adapter reset from below, bluetoothd restarted. A stronger cure cures what a weaker one would
have. No knob here changes a meter: those have their own (`faults`).
"""

from dataclasses import dataclass, field
from enum import IntEnum


class Cure(IntEnum):
    """What was done to the adapter, the weakest first."""

    SCAN = 1
    POWER = 2
    RESET = 3
    RESTART = 4


@dataclass(slots=True, kw_only=True)
class Troubles:
    """All off by default.

    - `deaf_until`: discovery runs and nothing is heard (seen on the adapters of Raspberry Pis).
    - `stuck_until`: StartDiscovery and StopDiscovery answer InProgress, whoever asks (bluez/bluez issue 807).
    - `half_known`: of meters with these addresses only the first service is shown, however often they are connected to, until
      they are removed: what bluetoothd keeps of a discovery that was cut short.
    - `shown_late`: of meters with these addresses the services are shown after the word that they are resolved, at the next
      connection only: what bluetoothd does when several meters are connected at the same time (seen with 5.82).
    - `unanswered`: method calls with these names get no reply at all, as of a bluetoothd that hangs.
    - `refuses_connects_until`: every Device1.Connect and Pair fails as if the adapter were out of order, until so much is done.
    """

    deaf_until: Cure | None = None
    stuck_until: Cure | None = None
    refuses_connects_until: Cure | None = None
    half_known: set[str] = field(default_factory=set)
    shown_late: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    cures: list[Cure] = field(default_factory=list)

    def shows_late(self, address: str) -> bool:
        """Whether the services of this meter come late this time."""
        is_late = address in self.shown_late
        self.shown_late.discard(address)
        return is_late

    def done(self, cure: Cure) -> None:
        """This was done to the adapter."""
        self.cures.append(cure)
        if self.deaf_until is not None and cure >= self.deaf_until:
            self.deaf_until = None
        if self.stuck_until is not None and cure >= self.stuck_until:
            self.stuck_until = None
        if self.refuses_connects_until is not None and cure >= self.refuses_connects_until:
            self.refuses_connects_until = None
