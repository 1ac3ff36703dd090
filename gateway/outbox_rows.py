"""What goes into the outbox and comes out of it, besides readings; no SQLite here."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from msgspec import Struct

from gateway.sessions.clock_memory import ClockMemory
from gateway.timing import Evidence
from vitals.reading import Reading


class Unbelieved(Struct, frozen=True, kw_only=True):
    """Kept beside a reading taken while the gateway's clock could not be believed: enough to place it later.

    `since_boot_s` is the moment of receipt in seconds of the boot `boot_id`. `until_s`, in the same seconds, is given where a
    session is about to say more of it: till then it is not settled.
    """

    boot_id: str
    since_boot_s: float
    evidence: Evidence
    until_s: float | None = None

    def is_awaited(self, *, since_boot_s: float, boot_id: str) -> bool:
        """Whether its session may still say more."""
        return self.until_s is not None and boot_id == self.boot_id and since_boot_s < self.until_s


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReading:
    """A reading that waits for a clock."""

    seq: int
    reading: Reading
    unbelieved: Unbelieved


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterMemory:
    """What is remembered of one meter between sessions. `about`: manufacturer, model, serial, firmware, as it says itself;
    `clock`: how its clock was left."""

    meter_id: str
    highest_sequence: int | None = None
    about: dict[str, str] = field(default_factory=dict)
    battery_percent: int | None = None
    clock: ClockMemory = field(default_factory=ClockMemory)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many readings are in each state; what the status message says (docs/reference/wire).

    kept = unconfirmed + confirmed + rejected, and answered = confirmed + rejected - unsendable: what a receipt has named and
    has not taken back, never more than the server had committed when it wrote its receipts. Of the unconfirmed, `held` wait
    for a clock and `rewound` were lost by the server and wait again. `forgotten` are those of the answered whose bytes are gone.
    `beyond` is the highest number of our own epoch that a receipt has named and that was never given here, 0 for none: the file
    was set back to an older copy of itself, and the server knows its numbers from before.
    """

    kept: int
    unconfirmed: int
    held: int
    rewound: int
    confirmed: int
    rejected: int
    unsendable: int
    answered: int
    forgotten: int
    quarantined: int
    ignored_receipts: int
    beyond: int
    disk_is_full: bool


def instant_text(instant: datetime) -> str:
    """ISO 8601 in UTC with microseconds, so that text order is time order."""
    assert instant.tzinfo is not None, instant
    return instant.astimezone(UTC).isoformat(timespec="microseconds")
