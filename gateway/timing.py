"""When was it measured? The table of time evidence, as a pure function (docs/explanation/safety; HL7 PHD coincident time).

A meter's clock is a wall clock without a zone, often wrong, sometimes reset. Read together with ours it can be corrected
exactly; alone it can be trusted or not. The verdict travels with the reading (`TimeQuality`), the meter's own words too.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, Self
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from gateway.sessions.clock_memory import ClockMemory
from vitals.reading import TimeQuality

FIRST_YEAR: Final = 2010
"""A meter that says an earlier year has lost its clock: no meter of these profiles was sold before (BLP 1.0 is of 2011)."""
FUTURE_TOLERANCE: Final = timedelta(minutes=5)
"""A reading farther ahead of the gateway's clock is not to be believed (docs/explanation/architecture)."""
TRUST_WITHIN: Final = timedelta(minutes=15)
"""How far an unreadable meter clock may be off and still be taken at its word (engineering choice)."""
READING_TOGETHER: Final = timedelta(seconds=60)
"""A record this little ahead of the meter's clock is of the same clock: resolution of a second, a slow link."""
_OLDEST: Final = timedelta(days=365 * 15)
"""No meter has kept a record for longer; a greater distance on its clock means that the clock was set in between."""


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known about the time of one record.

    `meter_wall` is the record's time as the meter's display showed it, `None` if the meter says no time that a calendar has;
    `is_stamped` tells that from a frame without any time stamp. `clock_meter` and `clock_at` are the meter's clock and ours,
    read together in this session. `is_live` is claimed for the first record of a connection that sends by itself. `has_jumped`:
    since the last session the meter's clock has gone over to another time line, so a stored record may be of either; `left` is
    how it was left then, where only a clock of ours that can be believed will say whether it has.
    """

    received_at: datetime
    is_stamped: bool
    meter_wall: datetime | None = None
    clock_meter: datetime | None = None
    clock_at: datetime | None = None
    is_externally_set: bool = False
    is_live: bool = False
    has_jumped: bool = False
    left: ClockMemory | None = None

    @property
    def has_dead_clock(self) -> bool:
        """Whether the meter's time stamp tells no two measurements apart: its clock was never set, and stands still as far as
        anybody can see."""
        if self.meter_wall is None or self.meter_wall.year >= FIRST_YEAR:
            return False
        return self.clock_meter is None or self.clock_meter == self.meter_wall

    def shifted(self, by: timedelta) -> Self:
        """The same with the gateway's clock corrected by `by`; what the meter said stays, and whether its clock has jumped can be
        said now."""
        clock_at = None if self.clock_at is None else self.clock_at + by
        has_jumped = self.has_jumped
        if self.left is not None and self.clock_meter is not None and clock_at is not None:
            has_jumped |= self.left.has_jumped(self.clock_meter, clock_at)
        return replace(self, received_at=self.received_at + by, clock_at=clock_at, has_jumped=has_jumped)

    def clock_offset_s(self, zone: ZoneInfo) -> float | None:
        """The home's wall clock minus the meter's, in seconds."""
        if self.clock_meter is None or self.clock_at is None:
            return None
        return (self.clock_at.astimezone(zone).replace(tzinfo=None) - self.clock_meter).total_seconds()


class Placed(Struct, frozen=True, kw_only=True):
    """The best estimate of when (aware, UTC), and how good it is."""

    measured_at: datetime
    time_quality: TimeQuality


def place(evidence: Evidence, zone: ZoneInfo) -> Placed:
    """Where on the time line `evidence` puts its record, for a home in `zone`."""
    if not evidence.is_stamped:  # a record that the meter had stored may be weeks old: its time is a guess then
        quality = TimeQuality.RECEIVED if evidence.is_live else TimeQuality.SUSPECT
        return Placed(measured_at=evidence.received_at, time_quality=quality)
    if evidence.meter_wall is None:
        return _without_time(evidence)
    if evidence.clock_meter is not None and evidence.clock_at is not None:
        return _by_both_clocks(evidence, evidence.meter_wall, evidence.clock_meter, evidence.clock_at, zone)
    return _by_the_record_alone(evidence, evidence.meter_wall, zone)


def as_orphan(evidence: Evidence, zone: ZoneInfo) -> Placed:
    """For a record of which no clock of ours can be trusted either: kept, shown, not judged."""
    if evidence.meter_wall is not None and _has_likely_year(evidence.meter_wall, evidence):
        claimed = local_instant(evidence.meter_wall, zone, evidence.received_at)
        if claimed <= evidence.received_at + FUTURE_TOLERANCE:
            return Placed(measured_at=claimed, time_quality=TimeQuality.ORPHAN)
    return Placed(measured_at=evidence.received_at, time_quality=TimeQuality.ORPHAN)


def local_instant(wall: datetime, zone: ZoneInfo, received_at: datetime) -> datetime:
    """The instant of a wall clock in `zone`. In the hour that comes twice the first one counts, unless `received_at` proves that
    it was the second."""
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if abs(received_at - first) > TRUST_WITHIN and abs(received_at - second) <= TRUST_WITHIN:
        return second
    return first


def _comes_twice(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether the clocks of `zone` are set back over `wall`: of a stored record nothing says which of the two times it was."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first is not None and second is not None and first > second


def _without_time(evidence: Evidence) -> Placed:
    quality = TimeQuality.SUSPECT if evidence.is_live else TimeQuality.ORPHAN
    return Placed(measured_at=evidence.received_at, time_quality=quality)


def _by_both_clocks(evidence: Evidence, wall: datetime, meter: datetime, at: datetime, zone: ZoneInfo) -> Placed:
    """Both clocks run evenly, so the distance on the meter's is the distance on ours, whatever zone or year it believes in.

    Except a clock that was never set at all: some of those do not run, and then the distance means nothing.
    """
    if meter.year < FIRST_YEAR:
        return _without_time(evidence)
    age = meter - wall
    if age < at - evidence.received_at - READING_TOGETHER:
        return as_orphan(evidence, zone)  # from before the meter's clock was set back: not on its present time line
    if age > _OLDEST:
        return _without_time(evidence)
    measured_at = at - age
    quality = TimeQuality.SYNCED if evidence.is_externally_set else TimeQuality.CORRECTED
    if evidence.has_jumped and not evidence.is_live:
        quality = (
            TimeQuality.SUSPECT
        )  # no earlier than this on the present line; on the one before, any time since the last session
    return Placed(measured_at=min(measured_at, evidence.received_at), time_quality=quality)


def _by_the_record_alone(evidence: Evidence, wall: datetime, zone: ZoneInfo) -> Placed:
    if not _has_likely_year(wall, evidence):
        return _without_time(evidence)
    claimed = local_instant(wall, zone, evidence.received_at)
    if claimed > evidence.received_at + FUTURE_TOLERANCE:
        return _without_time(evidence)
    if evidence.received_at - claimed <= TRUST_WITHIN and (evidence.is_live or not _comes_twice(wall, zone)):
        return Placed(measured_at=claimed, time_quality=TimeQuality.TRUSTED)
    if evidence.is_live:
        return Placed(measured_at=evidence.received_at, time_quality=TimeQuality.RECEIVED)
    # A stored record, and nothing shows whether its clock was right: the table is silent, so keep its word and say so.
    return Placed(measured_at=claimed, time_quality=TimeQuality.SUSPECT)


def _has_likely_year(wall: datetime, evidence: Evidence) -> bool:
    return FIRST_YEAR <= wall.year <= evidence.received_at.year + 1
