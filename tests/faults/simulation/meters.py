"""Meters in their homes, and the radio between them and a gateway: the product's firmware, driven without waiting.

A link does what `firmware_sims.air` does, frame by frame, and may be lost, cut by power or garble a frame wherever the plan of
the session says so. What a person measured is known here as an `Inflation`, whatever becomes of its record.
"""

import math
import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from faults.simulation.people import Person, Plan
from firmware_sims.blood_pressure_meter import BloodPressureMeter
from firmware_sims.firmware import AttError, Firmware, HangUp, Indicate, Notify, Property
from firmware_sims.glucometer import Glucometer
from firmware_sims.happenings import firmware_of
from firmware_sims.kinds import MEASUREMENTS
from firmware_sims.settings import Meter
from vitals.gatt import uuids
from vitals.gatt.link import Disconnected, LinkError, Notified

RESET_TO = datetime(2021, 1, 1)  # noqa: DTZ001 # a meter's clock has no zone


WallAt = Callable[[float], datetime]
"""The instant of a second of the agenda."""


class PowerCutError(Exception):
    """The gateway lost its power here."""


@dataclass(slots=True, kw_only=True, eq=False)
class Inflation:
    """One measurement as it was made: an inflation of a cuff or a drop of blood.

    `is_told_apart`: the meter's clock ran, so that a repeat of its record can be known as one. `clock_life` counts the settings
    of the meter's clock. `meant_at`: the instants that its own stamp can mean at home, none or one, or two in the hour that comes
    twice. `lost_by` is the cause once no copy is left anywhere; `set_aside` is the frame if it came garbled.
    """

    number: int
    meter_id: str
    kind: str
    true_at: datetime
    raw: bytes
    is_told_apart: bool
    clock_life: int
    meant_at: tuple[datetime, ...] = ()
    lost_by: str | None = None
    set_aside: bytes | None = None
    reading_ids: set[str] = field(default_factory=set)

    @property
    def is_waiting(self) -> bool:
        """Whether no gateway has taken anything of it yet, and it is not gone either."""
        return not self.reading_ids and self.lost_by is None and self.set_aside is None


class SimMeter:
    """One meter and everything it ever measured. `first_number` numbers its inflations."""

    def __init__(self, meter: Meter, person: Person, start: datetime) -> None:
        self.meter = meter
        self.firmware: Firmware = firmware_of(meter)
        self.clock_life = 0
        self.in_range = True
        self.is_awaited = False
        self.failures = 0
        self.by_raw: dict[bytes, list[Inflation]] = defaultdict(list)
        self.inflations: list[Inflation] = []
        self._zone = person.zone
        self._wall_zone = timezone(start.astimezone(person.zone).utcoffset() or timedelta(0))

    @property
    def meter_id(self) -> str:
        return self.meter.meter_id

    def wall(self, at: datetime) -> datetime:
        """A wall clock beside the meter that nobody moves when summer time begins or ends."""
        return at.astimezone(self._wall_zone).replace(tzinfo=None, microsecond=0)

    def measure(self, plan: Plan, at: datetime, number: int) -> Inflation:
        firmware, wall = self.firmware, self.wall(at)
        if isinstance(firmware, BloodPressureMeter):
            raw = firmware.measure(
                wall=wall,
                systolic_mmhg=plan.systolic_mmhg,
                diastolic_mmhg=plan.diastolic_mmhg,
                pulse_bpm=plan.pulse_bpm,
                status=plan.status,
            )
        else:
            assert isinstance(firmware, Glucometer), firmware
            assert plan.glucose_mg_dl is not None, plan
            raw = firmware.measure(wall=wall, glucose_mg_dl=plan.glucose_mg_dl, meal=plan.meal).measurement
        clock = firmware.clock
        inflation = Inflation(
            number=number,
            meter_id=self.meter_id,
            kind=self.meter.kind,
            true_at=at,
            raw=raw,
            is_told_apart=clock.is_there and clock.is_set and clock.stuck_at is None,
            clock_life=self.clock_life,
            meant_at=self._meant_at(firmware._shown(wall)),
        )
        self.by_raw[raw].append(inflation)
        self.inflations.append(inflation)
        return inflation

    def _meant_at(self, shown: datetime | None) -> tuple[datetime, ...]:
        if shown is None:
            return ()
        return tuple(dict.fromkeys(shown.replace(tzinfo=self._zone, fold=fold).astimezone(UTC) for fold in (0, 1)))

    def memory(self) -> Counter[bytes]:
        """The frames that a collector could still get from it, and how often: two inflations may look alike."""
        firmware = self.firmware
        if isinstance(firmware, BloodPressureMeter):
            return Counter(firmware.records)
        assert isinstance(firmware, Glucometer), firmware
        return Counter(record.measurement for record in firmware.records)

    def change_battery(self, at: datetime, *, keeps_records: bool) -> None:
        """The clock starts again at New Year 2021; a glucometer's numbers start again at 1 and its records are gone."""
        before = self.firmware
        self.firmware = firmware_of(self.meter)
        if keeps_records and isinstance(before, BloodPressureMeter):
            for record in before.records:
                self.firmware.keep(record)
        if self.firmware.clock.stuck_at is None and self.firmware.clock.is_set:
            self.firmware.clock.offset = RESET_TO - self.wall(at)
        self.clock_life += 1

    def set_ahead(self, by: timedelta) -> None:
        """Somebody has pressed the buttons."""
        self.firmware.clock.offset += by
        self.clock_life += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """What befalls one session, by the count of its operations; None: it does not happen."""

    lost_at: int | None = None
    power_cut_at: int | None = None
    clock_turns_at: int | None = None
    garbled: float = 0.0
    refuses_clock: bool = False
    pace: int = 2


@dataclass(slots=True)
class Watch:
    """The time at a gateway, in seconds of the agenda; it runs ahead of the agenda while a session goes on."""

    at_s: float = 0.0


class SimLink:
    """One connection to a meter. `heard` are frames that are here; a cuff has deleted what was confirmed to it."""

    def __init__(
        self,
        meter: SimMeter,
        watch: Watch,
        plan: SessionPlan,
        rng: random.Random,
        *,
        wall_at: WallAt,
        until_s: float,
        turn_clock: Callable[[], None],
    ) -> None:
        """`turn_clock` turns the gateway's clock in the middle of the session, if the plan says so; `until_s` ends it."""
        self._turn_clock = turn_clock
        self._meter, self._firmware = meter, meter.firmware
        self._watch, self._plan, self._rng, self._wall_at = watch, plan, rng, wall_at
        self._properties = {c.uuid: c.properties for c in self._firmware.characteristics}
        self._until_s = until_s
        self._is_up = True
        self._operations = 0
        self._heard: deque[tuple[Notified, bytes]] = deque()
        self.taken: bytes = b""
        """The frame given out last, as the meter sent it."""
        self.given = 0
        """How many were given out."""
        self._firmware.on_connected()

    @property
    def characteristics(self) -> frozenset[str]:
        return frozenset(self._properties)

    def read(self, characteristic: str) -> bytes:
        self._operate(0.12)
        self._check(characteristic)
        if characteristic == uuids.CURRENT_TIME and self._plan.refuses_clock:
            raise LinkError("not now", 0x0E)
        try:
            return self._firmware.read(characteristic, wall=self._wall())
        except AttError as e:
            raise LinkError(str(e), e.code) from e

    def write(self, characteristic: str, value: bytes) -> None:
        self._operate(0.2)
        self._check(characteristic)
        before = self._firmware.read(uuids.CURRENT_TIME, wall=RESET_TO) if self._has_clock else b""
        try:
            self._firmware.write(characteristic, value, wall=self._wall())
        except AttError as e:
            raise LinkError(str(e), e.code) from e
        if self._has_clock and self._firmware.read(uuids.CURRENT_TIME, wall=RESET_TO) != before:
            self._meter.clock_life += 1

    def subscribe(self, characteristic: str) -> None:
        self._operate(0.15)
        self._check(characteristic)
        if not self._properties[characteristic] & (Property.NOTIFY | Property.INDICATE):
            raise LinkError(f"{characteristic} neither notifies nor indicates")
        self._firmware.on_subscribed(characteristic, is_on=True)

    def event(self, timeout_s: float) -> Notified | Disconnected | None:
        self._operate(0.0)
        if not self._heard:
            self._listen()
        if self._heard:
            notified, self.taken = self._heard.popleft()
            self.given += 1
            self._pass(0.05)
            return notified
        if not self._is_up:
            return Disconnected()
        self._pass(timeout_s)
        return None

    def drop(self) -> None:
        """The link is gone; what has arrived can still be asked for, and no deadline counts any more."""
        self._until_s = math.inf
        if self._is_up:
            self._is_up = False
            self._firmware.on_disconnected()

    @property
    def _has_clock(self) -> bool:
        return self._firmware.clock.is_there

    def _wall(self) -> datetime:
        return self._meter.wall(self._wall_at(self._watch.at_s))

    def _listen(self) -> None:
        """The meter says what it can in one connection event; the stack confirms indications at once."""
        for _ in range(self._rng.randint(1, self._plan.pace)):
            action = self._firmware.next_action() if self._is_up else None
            if action is None:
                return
            if isinstance(action, HangUp):
                self.drop()
                return
            self._heard.append(
                (Notified(characteristic=action.characteristic, value=self._garbled(action)), action.value)
            )
            if isinstance(action, Indicate):
                if action.then_drops:
                    self.drop()
                else:
                    self._firmware.on_confirmed()

    def _garbled(self, action: Notify | Indicate) -> bytes:
        is_record = action.characteristic in MEASUREMENTS
        if not is_record or self._rng.random() >= self._plan.garbled:
            return action.value
        return action.value[: self._rng.randint(1, len(action.value) - 1)]

    def _operate(self, takes_s: float) -> None:
        self._operations += 1
        if self._operations == self._plan.power_cut_at:
            raise PowerCutError
        if self._operations == self._plan.clock_turns_at:
            self._turn_clock()
        if self._operations == self._plan.lost_at:
            self.drop()
        self._pass(takes_s)

    def _pass(self, seconds: float) -> None:
        self._watch.at_s += seconds
        if self._watch.at_s > self._until_s:
            raise TimeoutError

    def _check(self, characteristic: str) -> None:
        if not self._is_up:
            raise LinkError("the link is gone")
        if characteristic not in self._properties:
            raise LinkError(f"no characteristic {characteristic}")
