"""Mistakes that somebody could make in a decoder, each of which a test with good frames would let pass."""

from dataclasses import replace
from typing import Any

from vitals.gatt.sfloat import Sfloat


def trusts_the_length() -> None:
    from vitals.gatt import blood_pressure, glucose, health_thermometer, pulse_oximeter, weight_scale

    for module in (blood_pressure, glucose, health_thermometer, pulse_oximeter, weight_scale):
        module.check_minimum = lambda *_: None  # type: ignore[attr-defined]


def specials_are_numbers() -> None:
    Sfloat.special = property(lambda _: None)  # type: ignore[assignment,method-assign]


def biased_exponent() -> None:
    """The mistake of a public library with 2,463 green tests."""

    def from_bytes(cls: type[Sfloat], data: bytes) -> Sfloat:
        read: Sfloat = right(data)
        return replace(read, exponent=(read.exponent & 0xF) - 8)

    def to_bytes(self: Sfloat) -> bytes:
        return bytes(((self.exponent + 8 & 0xF) << 12 | self.mantissa & 0xFFF).to_bytes(2, "little"))

    right = Sfloat.from_bytes
    Sfloat.from_bytes = classmethod(from_bytes)  # type: ignore[assignment,method-assign]
    Sfloat.__bytes__ = to_bytes  # type: ignore[method-assign]


def swaps_type_and_location() -> None:
    from vitals.gatt import glucose
    from vitals.gatt.frame import member

    right = glucose.GlucoseMeasurement.from_bytes

    def from_bytes(cls: type[glucose.GlucoseMeasurement], data: bytes) -> glucose.GlucoseMeasurement:
        read: glucose.GlucoseMeasurement = right(data)
        return replace(
            read,
            sample_type=member(glucose.SampleType, read.sample_location or 0),
            sample_location=member(glucose.SampleLocation, read.sample_type or 0),
        )

    glucose.GlucoseMeasurement.from_bytes = classmethod(from_bytes)  # type: ignore[assignment,method-assign]


def drops_a_bad_row() -> None:
    from server import arrivals

    part = arrivals._part

    def silently(loose: dict[str, Any], fault: Any) -> tuple[list[Any], tuple[Any, ...]]:
        clean, _ = part(loose, fault)
        return clean, ()

    arrivals._part = silently
