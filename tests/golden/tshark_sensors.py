"""Random frames of scales, thermometers, oximeters and straps, and what must agree (see `against_tshark`).

Known differences: Wireshark 4.0 shows every FLOAT as 0, whatever was sent, and the BMI and height of a scale only where a time
stamp is sent, too. A version that shows them must agree with us.
"""

import random
import struct
from collections.abc import Callable
from typing import Final

from fix_tshark import Fields
from golden.told import assert_same, assert_same_member, assert_same_number, assert_same_time, below, date_time, sfloat

from vitals.gatt.health_thermometer import IntermediateTemperature, TemperatureMeasurement, temperature_type
from vitals.gatt.heart_rate import HeartRateMeasurement, body_sensor_location
from vitals.gatt.pulse_oximeter import Continuous, Features, SpO2PR, SpotCheck
from vitals.gatt.weight_scale import WeightMeasurement, WeightScaleFeature


def _weight(frame: bytes, told: Fields) -> None:
    ours = WeightMeasurement.from_bytes(frame)
    assert bytes(ours) == frame
    theirs = below("weight_measurement", told)
    length = "in" if ours.unit == "lb" else "m"
    assert_same_number(ours.weight, theirs[f"weight.{ours.unit}"])
    assert_same_number(ours.user_id, theirs.get("user_id"))
    if ours.date_time is not None or "bmi" in theirs:
        assert_same_number(ours.bmi, theirs.get("bmi"))
        assert_same_number(ours.height, theirs.get(f"height.{length}"))
    assert_same_time(ours.date_time, told)


def _weight_feature(frame: bytes, told: Fields) -> None:
    ours = WeightScaleFeature.from_bytes(frame)
    theirs = {name: int(text, 0) for name, text in below("weight_scale_feature", told).items()}
    assert (ours.has_time_stamp, ours.has_users, ours.has_bmi) == (
        theirs["timestamp"],
        theirs["multiple_users"],
        theirs["bmi"],
    )
    assert ours.weight_resolution == theirs["weight_measurement_resolution"]
    assert ours.height_resolution == theirs["height_measurement_resolution"]


def _temperature(frame: bytes, told: Fields) -> None:
    _same_temperature(TemperatureMeasurement.from_bytes(frame), frame, told)


def _rising(frame: bytes, told: Fields) -> None:
    _same_temperature(IntermediateTemperature.from_bytes(frame), frame, told)


def _same_temperature(ours: TemperatureMeasurement | IntermediateTemperature, frame: bytes, told: Fields) -> None:
    assert bytes(ours) == frame
    value = told[f"temperature_measurement.value.{'fahrenheit' if ours.unit == '°F' else 'celsius'}"]
    if value != "0":
        assert_same(ours.temperature, value)
    assert_same_number(ours.type_code, told.get("temperature_type"))
    assert_same_time(ours.date_time, told)


def _type(frame: bytes, told: Fields) -> None:
    assert_same_member(temperature_type(frame), told["temperature_type"])


def _spot_check(frame: bytes, told: Fields) -> None:
    ours = SpotCheck.from_bytes(frame)
    assert bytes(ours) == frame
    theirs = below("plxs.spot_check_measurement", told)
    assert_same(ours.spo2, theirs["spo2"])
    assert_same(ours.pulse, theirs["pulse_rate"])
    assert ours.is_clock_set != bool(int(theirs["flags.device_clock_is_not_set"]))
    _assert_same_status(ours, theirs)
    assert_same_time(ours.date_time, told)


def _continuous(frame: bytes, told: Fields) -> None:
    ours = Continuous.from_bytes(frame)
    assert bytes(ours) == frame
    theirs = below("plxs.spot_check_measurement", told)
    pairs = [pair for pair in (ours.normal, ours.fast, ours.slow) if pair is not None]
    for nth, pair in enumerate(pairs, 1):
        _assert_same_pair(pair, theirs, "" if nth == 1 else f"#{nth}")
    assert f"spo2#{len(pairs) + 1}" not in theirs
    flags = below("plxs.continuous_measurement", told)
    assert (ours.fast is not None, ours.slow is not None) == (
        flags["flags.spo2pr_fast"] == "1",
        flags["flags.spo2pr_slow"] == "1",
    )
    _assert_same_status(ours, theirs)


def _assert_same_pair(pair: SpO2PR, theirs: Fields, suffix: str) -> None:
    assert_same(pair.spo2, theirs[f"spo2{suffix}"])
    assert_same(pair.pulse, theirs[f"pulse_rate{suffix}"])


def _assert_same_status(ours: SpotCheck | Continuous, theirs: Fields) -> None:
    assert_same_number(ours.status, theirs.get("measurement_status"))
    assert_same_number(ours.sensor_status, theirs.get("device_and_sensor_status"))
    assert_same(ours.amplitude, theirs.get("pulse_amplitude_index"))


def _features(frame: bytes, told: Fields) -> None:
    ours = Features.from_bytes(frame)
    assert bytes(ours) == frame
    theirs = below("plxs.spot_check_measurement", told)
    assert_same_number(ours.supported, told["plxs.features.supported_features"])
    assert_same_number(ours.status, theirs.get("measurement_status"))
    assert_same_number(ours.sensor_status, theirs.get("device_and_sensor_status"))
    stored = told["plxs.features.supported_features.measurement_storage_for_spot_check"]
    assert ours.stores_spot_checks == bool(int(stored))


def _beats(frame: bytes, told: Fields) -> None:
    ours = HeartRateMeasurement.from_bytes(frame)
    theirs = below("heart_rate_measurement", told)
    assert_same_number(ours.bpm, theirs.get("value.8", theirs.get("value.16")))
    assert_same_number(ours.energy_kj, theirs.get("energy_expended"))
    supported, contact = (theirs[f"flags.sensor_contact_status.{each}"] == "1" for each in ("support", "contact"))
    assert ours.has_contact == (contact if supported else None)
    intervals = [int(text) for name, text in theirs.items() if name.partition("#")[0] == "rr_interval"]
    assert ours.intervals == tuple(intervals)


def _location(frame: bytes, told: Fields) -> None:
    ours, theirs = body_sensor_location(frame), int(told["body_sensor_location"], 0)
    assert ours == (theirs if theirs <= 6 else None)


def _weight_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x10)
    return (
        bytes((flags,))
        + rng.randbytes(2)
        + (date_time(rng) if flags & 0x02 else b"")
        + (rng.randbytes(1) if flags & 0x04 else b"")
        + (rng.randbytes(4) if flags & 0x08 else b"")
    )


def _temperature_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x08)
    return (
        bytes((flags,))
        + rng.randbytes(4)
        + (date_time(rng) if flags & 0x02 else b"")
        + (rng.randbytes(1) if flags & 0x04 else b"")
    )


def _spot_check_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x20)
    return (
        bytes((flags,))
        + sfloat(rng)
        + sfloat(rng)
        + (date_time(rng) if flags & 0x01 else b"")
        + (rng.randbytes(2) if flags & 0x02 else b"")
        + (rng.randbytes(3) if flags & 0x04 else b"")
        + (sfloat(rng) if flags & 0x08 else b"")
    )


def _continuous_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x20)
    pairs = 1 + (flags & 1) + (flags >> 1 & 1)
    return (
        bytes((flags,))
        + b"".join(sfloat(rng) for _ in range(2 * pairs))
        + (rng.randbytes(2) if flags & 0x04 else b"")
        + (rng.randbytes(3) if flags & 0x08 else b"")
        + (sfloat(rng) if flags & 0x10 else b"")
    )


def _features_frame(rng: random.Random) -> bytes:
    supported = rng.randrange(0x100)
    status = rng.randbytes(2) if supported & 1 else b""
    return struct.pack("<H", supported) + status + (rng.randbytes(3) if supported & 2 else b"")


def _beats_frame(rng: random.Random) -> bytes:
    flags = rng.randrange(0x20)
    return (
        bytes((flags,))
        + rng.randbytes(2 if flags & 0x01 else 1)
        + (rng.randbytes(2) if flags & 0x08 else b"")
        + (rng.randbytes(2 * rng.randrange(1, 8)) if flags & 0x10 else b"")
    )


def _octet(rng: random.Random) -> bytes:
    return rng.randbytes(1) if rng.random() < 0.5 else bytes((rng.randrange(11),))


def _four(rng: random.Random) -> bytes:
    return rng.randbytes(4)


FRAMES: Final[dict[str, Callable[[random.Random], bytes]]] = {
    "2a9d": _weight_frame,
    "2a9e": _four,
    "2a1c": _temperature_frame,
    "2a1d": _octet,
    "2a1e": _temperature_frame,
    "2a5e": _spot_check_frame,
    "2a5f": _continuous_frame,
    "2a60": _features_frame,
    "2a37": _beats_frame,
    "2a38": _octet,
}
AGREEMENTS: Final[dict[str, Callable[[bytes, Fields], None]]] = {
    "2a9d": _weight,
    "2a9e": _weight_feature,
    "2a1c": _temperature,
    "2a1d": _type,
    "2a1e": _rising,
    "2a5e": _spot_check,
    "2a5f": _continuous,
    "2a60": _features,
    "2a37": _beats,
    "2a38": _location,
}
