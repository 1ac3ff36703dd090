"""Firmware of a weight scale (Weight Scale Service 0x181D): a pure state machine.

Each step on it is a record, indicated as `IndicatingMeter` does. A scale with `users` gives each of them only to who has said
that user's consent code, and a record of nobody's to anybody who has said one.

Behaviour: Bluetooth SIG, WSS 1.0.0.
"""

from collections import deque
from datetime import datetime
from decimal import Decimal
from typing import Final

from firmware_sims.firmware import Action, AttCode, AttError, Characteristic, Indicate, Property
from firmware_sims.indicating_meter import IndicatingMeter
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter
from firmware_sims.user_records import UserRecords
from vitals.errors import MalformedError
from vitals.gatt import uuids
from vitals.gatt.user_data import DatabaseChangeIncrement, ResponseValue, UserIndex
from vitals.gatt.weight_scale import UNSUCCESSFUL, WeightMeasurement, WeightScaleFeature
from vitals.reading import GUEST
from vitals.units import KG_PER_LB, M_PER_INCH

_GRAMS_5: Final = 7
_MILLIMETRE: Final = 3
"""Resolutions as the feature word codes them."""

_USER_DATA: Final = (
    Characteristic(
        uuid=uuids.USER_CONTROL,
        service=uuids.USER_DATA_SERVICE,
        properties=Property.WRITE | Property.INDICATE,
        is_protected=True,
    ),
    Characteristic(uuid=uuids.USER_INDEX, service=uuids.USER_DATA_SERVICE, properties=Property.READ),
    Characteristic(uuid=uuids.DATABASE_CHANGE_INCREMENT, service=uuids.USER_DATA_SERVICE, properties=Property.READ),
)


class WeightScale(IndicatingMeter):
    """One scale with its records."""

    model = "HV-WS1"
    measurement = uuids.WEIGHT_MEASUREMENT
    needs = ("weight_kg",)
    takes = ("height_m", "user_slot")
    advertised_service = uuids.WEIGHT_SCALE_SERVICE
    own_characteristics = (
        Characteristic(
            uuid=uuids.WEIGHT_MEASUREMENT,
            service=uuids.WEIGHT_SCALE_SERVICE,
            properties=Property.INDICATE,
            is_protected=True,
        ),
        Characteristic(uuid=uuids.WEIGHT_SCALE_FEATURE, service=uuids.WEIGHT_SCALE_SERVICE, properties=Property.READ),
    )

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        has_users = bool(meter.users) or meter.personality.has_users
        self._users = UserRecords(meter.users) if has_users else None
        self._answers: deque[bytes] = deque()
        self._is_answering = False

    @property
    def characteristics(self) -> tuple[Characteristic, ...]:
        return super().characteristics + (_USER_DATA if self._users is not None else ())

    def measure(
        self, *, wall: datetime, weight_kg: float, height_m: float | None = None, user_slot: int | None = None
    ) -> bytes:
        """Weigh once while the wall clock shows `wall`; gives the frame that was stored. A scale that is told a height adds the
        body mass index."""
        unit = self.meter.weight_unit
        if self.meter.faults.fails:
            return self._store(
                WeightMeasurement(weight=UNSUCCESSFUL, unit=unit, date_time=self.clock.stamp(wall), user_id=user_slot)
            )
        return self._store(
            WeightMeasurement(
                weight=WeightMeasurement.count(_shown(weight_kg, KG_PER_LB, is_imperial=unit == "lb"), unit),
                unit=unit,
                date_time=self.clock.stamp(wall),
                user_id=user_slot,
                bmi=None if not height_m else round(weight_kg / height_m**2 * 10),
                height=None if not height_m else self._height(height_m),
            )
        )

    def read(self, characteristic: str, *, wall: datetime) -> bytes:
        match characteristic:
            case uuids.WEIGHT_SCALE_FEATURE:
                return bytes(self._feature)
            case uuids.USER_INDEX if self._users is not None:
                return bytes(UserIndex(index=self._users.index))
            case uuids.DATABASE_CHANGE_INCREMENT if self._users is not None:
                return bytes(DatabaseChangeIncrement(count=0))
        return super().read(characteristic, wall=wall)

    def write(self, characteristic: str, value: bytes, *, wall: datetime) -> None:
        if characteristic == uuids.USER_CONTROL and self._users is not None:
            self._take_command(value, self._users)
        else:
            super().write(characteristic, value, wall=wall)

    def on_disconnected(self) -> None:
        super().on_disconnected()
        self._answers.clear()
        self._is_answering = False
        if self._users is not None:
            self._users.close()

    def next_action(self) -> Action | None:
        if self._is_answering or self._sending is not None:
            return None
        if self._answers:
            self._is_answering = True
            return Indicate(characteristic=uuids.USER_CONTROL, value=self._answers.popleft())
        return super().next_action()

    def on_confirmed(self) -> None:
        if self._is_answering:
            self._is_answering = False
        else:
            super().on_confirmed()

    def _measure(self, told: Measure, wall: datetime) -> None:
        assert told.weight_kg is not None, "needed"
        self.measure(wall=wall, weight_kg=told.weight_kg, height_m=told.height_m, user_slot=told.user_slot)

    @property
    def _feature(self) -> WeightScaleFeature:
        return WeightScaleFeature(
            has_time_stamp=self.clock.is_there,
            has_users=True,
            has_bmi=True,
            weight_resolution=_GRAMS_5,
            height_resolution=_MILLIMETRE,
        )

    def _height(self, height_m: float) -> int:
        """In 0.001 m or 0.1 in."""
        if self.meter.weight_unit == "kg":
            return round(height_m * 1000)
        return round(_shown(height_m, M_PER_INCH, is_imperial=True) * 10)

    def _next_record(self) -> bytes | None:
        if self._users is None:
            return super()._next_record()
        opened = self._users.opened
        if opened is None:
            return None
        return next((record for record in self._records if _owner(record) in (opened, None)), None)

    def _take_command(self, value: bytes, users: UserRecords) -> None:
        if not value:
            raise AttError(AttCode.INVALID_LENGTH)
        if uuids.USER_CONTROL not in self._subscribed:
            raise AttError(AttCode.CCCD_IMPROPERLY_CONFIGURED)
        if self._answers or self._is_answering:
            raise AttError(AttCode.PROCEDURE_IN_PROGRESS)
        answer = users.answer(value)
        faults = self.meter.faults
        is_wrong = answer.response_value == ResponseValue.USER_NOT_AUTHORIZED
        if not (faults.control_point_is_mute or (faults.is_silent_on_wrong_code and is_wrong)):
            self._answers.append(bytes(answer))


def _shown(value: float, per_unit: Decimal, *, is_imperial: bool) -> Decimal:
    exact = Decimal(str(value))
    return exact / per_unit if is_imperial else exact


def _owner(record: bytes) -> int | None:
    """Whose record it is; None for nobody's, a guest's and one that cannot be read."""
    try:
        slot = WeightMeasurement.from_bytes(record).user_slot
    except MalformedError:
        return None
    return None if slot == GUEST else slot
