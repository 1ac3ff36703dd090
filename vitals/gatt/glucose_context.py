"""Glucose Measurement Context (0x2A34): what the person told the meter about the record of the same sequence number.

Layout: Bluetooth SIG, GLS 1.0.1. It may come later than its measurement, or never.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Literal, Self

from vitals.gatt.frame import Cursor, check_length, check_minimum, member, u16
from vitals.gatt.sfloat import Sfloat

EXERCISE_OVERRUN: Final = 0xFFFF
"""An exercise duration that the meter could not count."""


class Carbohydrate(IntEnum):
    BREAKFAST = 1
    LUNCH = 2
    DINNER = 3
    SNACK = 4
    DRINK = 5
    SUPPER = 6
    BRUNCH = 7


class Meal(IntEnum):
    PREPRANDIAL = 1
    POSTPRANDIAL = 2
    FASTING = 3
    CASUAL = 4
    BEDTIME = 5


class Tester(IntEnum):
    """Low nibble."""

    SELF = 1
    HEALTH_CARE_PROFESSIONAL = 2
    LAB_TEST = 3
    NOT_AVAILABLE = 15


class Health(IntEnum):
    """High nibble."""

    MINOR_HEALTH_ISSUES = 1
    MAJOR_HEALTH_ISSUES = 2
    DURING_MENSES = 3
    UNDER_STRESS = 4
    NO_HEALTH_ISSUES = 5
    NOT_AVAILABLE = 15


class Medication(IntEnum):
    RAPID_ACTING_INSULIN = 1
    SHORT_ACTING_INSULIN = 2
    INTERMEDIATE_ACTING_INSULIN = 3
    LONG_ACTING_INSULIN = 4
    PRE_MIXED_INSULIN = 5


class _Flags(IntFlag):
    CARBOHYDRATE = 0x01
    MEAL = 0x02
    TESTER_HEALTH = 0x04
    EXERCISE = 0x08
    MEDICATION = 0x10
    MEDICATION_LITRE = 0x20
    HBA1C = 0x40
    EXTENDED = 0x80


_ALWAYS: Final = 3
"""Flags and sequence number."""
_OPTIONAL: Final = {
    _Flags.EXTENDED: 1,
    _Flags.CARBOHYDRATE: 3,
    _Flags.MEAL: 1,
    _Flags.TESTER_HEALTH: 1,
    _Flags.EXERCISE: 3,
    _Flags.MEDICATION: 3,
    _Flags.HBA1C: 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GlucoseContext:
    """A field is None where its flag is clear; enumerations are None for reserved members too.

    `carbohydrate` is in kilograms, `medication` in kilograms or litres (`medication_unit`), `hba1c` in percent,
    `exercise_duration_s` in seconds (0xFFFF: more than it could count).
    """

    Flags = _Flags

    sequence: int
    extended_flags: int | None = None
    carbohydrate_id: Carbohydrate | None = None
    carbohydrate: Sfloat | None = None
    meal: Meal | None = None
    tester: Tester | None = None
    health: Health | None = None
    exercise_duration_s: int | None = None
    exercise_intensity_percent: int | None = None
    medication_id: Medication | None = None
    medication: Sfloat | None = None
    medication_unit: Literal["kg", "L"] = "kg"
    hba1c: Sfloat | None = None

    def __post_init__(self) -> None:
        assert 0 <= self.sequence <= 0xFFFF, self.sequence
        assert (self.exercise_duration_s is None) == (self.exercise_intensity_percent is None)
        assert self.carbohydrate_id is None or self.carbohydrate is not None
        assert self.medication_id is None or self.medication is not None

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError`: `frame_length`, or `flags` where extended flags may explain the length."""
        check_minimum(data, _ALWAYS)
        flags = data[0]
        expected = _ALWAYS + sum(length for flag, length in _OPTIONAL.items() if flags & flag)
        check_length(data, expected=expected, reserved=bool(flags & _Flags.EXTENDED and data[3:4] != b"\0"))
        at = Cursor(data, 1)
        sequence = at.u16()
        extended = at.u8() if flags & _Flags.EXTENDED else None
        carbohydrate_id, carbohydrate = (at.u8(), at.sfloat()) if flags & _Flags.CARBOHYDRATE else (0, None)
        meal = at.u8() if flags & _Flags.MEAL else 0
        tester_health = at.u8() if flags & _Flags.TESTER_HEALTH else 0
        exercise = (at.u16(), at.u8()) if flags & _Flags.EXERCISE else (None, None)
        medication_id, medication = (at.u8(), at.sfloat()) if flags & _Flags.MEDICATION else (0, None)
        return cls(
            sequence=sequence,
            extended_flags=extended,
            carbohydrate_id=member(Carbohydrate, carbohydrate_id),
            carbohydrate=carbohydrate,
            meal=member(Meal, meal),
            tester=member(Tester, tester_health & 0xF),
            health=member(Health, tester_health >> 4),
            exercise_duration_s=exercise[0],
            exercise_intensity_percent=exercise[1],
            medication_id=member(Medication, medication_id),
            medication=medication,
            medication_unit="L" if flags & _Flags.MEDICATION_LITRE else "kg",
            hba1c=at.sfloat() if flags & _Flags.HBA1C else None,
        )

    @staticmethod
    def meal_code(data: bytes) -> int | None:
        """The meal of a whole context as its number, reserved ones too: a maker may say with one that it is no glucose."""
        if not data[0] & _Flags.MEAL:
            return None
        return data[_ALWAYS + sum(_OPTIONAL[flag] for flag in (_Flags.EXTENDED, _Flags.CARBOHYDRATE) if data[0] & flag)]

    def __bytes__(self) -> bytes:
        flags = _Flags.MEDICATION_LITRE if self.medication_unit == "L" else _Flags(0)
        body = u16(self.sequence)
        for flag, field in self._optional_fields():
            if field is not None:
                flags |= flag
                body += field
        return bytes((flags,)) + body

    def _optional_fields(self) -> tuple[tuple[_Flags, bytes | None], ...]:
        """In the order of the frame, which is not that of the flags."""
        return (
            (_Flags.EXTENDED, None if self.extended_flags is None else bytes((self.extended_flags,))),
            (_Flags.CARBOHYDRATE, _named_amount(self.carbohydrate_id, self.carbohydrate)),
            (_Flags.MEAL, None if self.meal is None else bytes((self.meal,))),
            (_Flags.TESTER_HEALTH, self._tester_health()),
            (_Flags.EXERCISE, self._exercise()),
            (_Flags.MEDICATION, _named_amount(self.medication_id, self.medication)),
            (_Flags.HBA1C, None if self.hba1c is None else bytes(self.hba1c)),
        )

    def _tester_health(self) -> bytes | None:
        if self.tester is None and self.health is None:
            return None
        return bytes(((self.health or 0) << 4 | (self.tester or 0),))

    def _exercise(self) -> bytes | None:
        if self.exercise_duration_s is None or self.exercise_intensity_percent is None:
            return None
        return u16(self.exercise_duration_s) + bytes((self.exercise_intensity_percent,))


def _named_amount(name: IntEnum | None, amount: Sfloat | None) -> bytes | None:
    return None if amount is None else bytes((name or 0,)) + bytes(amount)
