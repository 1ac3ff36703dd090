"""Readings, records and clocks for the gateway's tests: each says only what the test is about."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.clock import Clock
from gateway.timing import Evidence
from vitals.gatt.blood_pressure import BloodPressureMeasurement
from vitals.gatt.date_time import DateTime
from vitals.gatt.sfloat import Sfloat
from vitals.identity import reading_id
from vitals.reading import Reading, TimeQuality

NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
METER = "F0:00:00:10:00:01"
GATEWAY = "gw-1"


def bp_frame(nth: int = 0, *, systolic: int = 152, stamped: bool = True) -> bytes:
    """A cuff's frame, another one for every `nth`."""
    wall = datetime(2026, 11, 21, 7, 0) + timedelta(seconds=nth)  # noqa: DTZ001  # a meter's clock has no zone
    return bytes(
        BloodPressureMeasurement(
            systolic=Sfloat.of(systolic),
            diastolic=Sfloat.of(94),
            pulse=Sfloat.of(72),
            date_time=DateTime.of(wall) if stamped else None,
            user_id=1,
            status=0,
        )
    )


def reading(nth: int = 0, *, at: datetime = NOW, raw: bytes | None = None) -> Reading:
    """A reading, another one for every `nth`."""
    frame = bp_frame(nth) if raw is None else raw
    decoded = BloodPressureMeasurement.from_bytes(bp_frame(nth))
    return Reading(
        reading_id=reading_id(meter_id=METER, kind="blood_pressure", raw=frame, meter_time=decoded.meter_time),
        gateway_id=GATEWAY,
        meter_id=METER,
        measurement=decoded.to_measurement(),
        measured_at=at,
        meter_time=decoded.meter_time,
        received_at=at,
        time_quality=TimeQuality.CORRECTED,
        zone="Asia/Shanghai",
        characteristic="2a35",
        raw=frame,
        decoder="test",
    )


def evidence(**known: object) -> Evidence:
    """Evidence received NOW with a time stamp, unless said otherwise."""
    return Evidence(**({"received_at": NOW, "is_stamped": True} | known))  # type: ignore[arg-type]


@dataclass(slots=True)
class TestClock:
    """A clock that a test sets: a wall clock that NTP keeps, right or not, and a boot that counts right."""

    __test__ = False

    wall: datetime = NOW
    boot_s: float = 100.0
    boot: str = "boot-1"
    synchronised: bool = True
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(
            wall=lambda: self.wall,
            since_boot_s=lambda: self.boot_s,
            boot_id=lambda: self.boot,
            is_synchronised=lambda: self.synchronised,
        )

    def tick(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.boot_s += seconds
