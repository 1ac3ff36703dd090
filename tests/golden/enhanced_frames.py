"""Frames of the Enhanced Blood Pressure characteristics (0x2B34 to 0x2B36) and what they say.

No meter that has them was at hand, and nobody has published a capture. The frames are those of two public codecs' own
tests, and two built by hand from the GATT Specification Supplement (2025-12-23), sections 3.35, 3.97 and 3.98. The Python
codec's SFLOATs are written here as IEEE 11073-20601 has them: its own are wrong, its layout is not.
"""

from typing import Any

from golden.published import Published

_SIG_PYTHON = "RonanB96/bluetooth-sig-python"
_IM97MORI = "im97mori-github/JavaBLEUtil"
_SUPPLEMENT = "GATT Specification Supplement 2025-12-23"

_UNBELIEVABLE: dict[str, Any] = {"quality": "invalid", "reasons": ["range"]}
_NONE: dict[str, Any] = {
    "pulse_bpm": None,
    "user_slot": None,
    "status": None,
    "meter_time": None,
    "user_facing_time": None,
}
_MORNING: dict[str, Any] = _NONE | {
    "kind": "blood_pressure",
    "systolic_mmhg": 148.0,
    "diastolic_mmhg": 92.0,
    "mean_mmhg": 111.0,
    "pulse_bpm": 72.0,
    "status_flags": None,
    "meter_time": "2026-11-20T23:30:00",
    "user_facing_time": "2026-11-21T07:30:00",
    "unit_sent": "mmHg",
}
_MORNING_FRAME = "66 9400 5C00 6F00 78949332 4800 F8049432"

MEASUREMENT = (
    Published(
        source=f"{_SUPPLEMENT} 3.97, built by hand: half past seven in Shanghai",
        characteristic="2b34",
        frame=_MORNING_FRAME,
        expected=_MORNING,
    ),
    Published(
        source=f"{_SIG_PYTHON} EnhancedBloodPressureMeasurement minimal, epoch 1900",
        characteristic="2b34",
        frame="00 7800 5000 6400",
        expected=_NONE | {"systolic_mmhg": 120.0, "diastolic_mmhg": 80.0, "mean_mmhg": 100.0, "unit_sent": "mmHg"},
    ),
    Published(
        source=f"{_SIG_PYTHON} EnhancedBloodPressureMeasurement kPa",
        characteristic="2b34",
        frame="01 1000 0B00 0D00",
        expected=_NONE | {"systolic_mmhg": 120.00992, "diastolic_mmhg": 82.50682, "unit_sent": "kPa"},
    ),
    Published(
        source=f"{_SIG_PYTHON} EnhancedBloodPressureMeasurement all optional fields, epoch 2000",
        characteristic="2b34",
        frame="7E 7800 5000 6400 80510100 4800 05 0300 00A30200",
        expected={
            "systolic_mmhg": 120.0,
            "pulse_bpm": 72.0,
            "user_slot": 5,
            "status_flags": ("body_movement", "cuff_too_loose"),
            "meter_time": "2000-01-02T00:00:00",
            "user_facing_time": "2000-01-03T00:00:00",
            "quality": "rejected",
            "reasons": ["body_movement", "cuff_too_loose"],
        },
    ),
    Published(
        source=f"{_IM97MORI} EnhancedBloodPressureMeasurement time stamp, epoch 1900",
        characteristic="2b34",
        frame="02 0100 0200 0300 04050607",
        expected=_NONE | _UNBELIEVABLE | {"systolic_mmhg": 1.0, "mean_mmhg": 3.0, "meter_time": "1903-09-26T19:56:52"},
    ),
    Published(
        source=f"{_IM97MORI} EnhancedBloodPressureMeasurement user",
        characteristic="2b34",
        frame="08 0100 0200 0300 04",
        expected=_NONE | _UNBELIEVABLE | {"user_slot": 4},
    ),
    Published(
        source=f"{_IM97MORI} EnhancedBloodPressureMeasurement status",
        characteristic="2b34",
        frame="10 0100 0200 0300 0405",
        expected=_NONE | _UNBELIEVABLE | {"status": 0x0504},
    ),
)

CUFF_PRESSURE = (
    Published(
        source=f"{_SIG_PYTHON} EnhancedIntermediateCuffPressure minimal",
        characteristic="2b35",
        frame="00 9600",
        expected=_NONE | {"kind": "intermediate_cuff_pressure", "cuff_pressure_mmhg": 150.0, "unit_sent": "mmHg"},
    ),
    Published(
        source=f"{_SIG_PYTHON} EnhancedIntermediateCuffPressure kPa",
        characteristic="2b35",
        frame="01 1400",
        expected=_NONE | {"cuff_pressure_mmhg": 150.0124, "unit_sent": "kPa"},
    ),
    Published(
        source=f"{_SIG_PYTHON} EnhancedIntermediateCuffPressure all optional fields, epoch 2000",
        characteristic="2b35",
        frame="7E 8200 E8030000 4800 01 0500 D0070000",
        expected={
            "cuff_pressure_mmhg": 130.0,
            "pulse_bpm": 72.0,
            "user_slot": 1,
            "status": 5,
            "meter_time": "2000-01-01T00:16:40",
            "user_facing_time": "2000-01-01T00:33:20",
        },
    ),
)

_SEGMENT = {"kind": "blood_pressure_record"}
RECORD = (
    Published(
        source=f"{_SUPPLEMENT} 3.35, built by hand: a whole record",
        characteristic="2b36",
        frame=f"03 2A00 342B {_MORNING_FRAME}",
        expected=_SEGMENT
        | {"sequence": 42, "characteristic": "2b34", "is_first": True, "is_last": True, "counter": 0}
        | {"has_crc": False, "record": _MORNING},
    ),
    Published(
        source=f"{_IM97MORI} BloodPressureRecordPacket, of another characteristic",
        characteristic="2b36",
        frame="0B 0304 0506 070809",
        expected=_SEGMENT
        | {"sequence": 0x0403, "characteristic": "0605", "is_first": True, "is_last": True, "counter": 2}
        | {"has_crc": False, "value": "070809"},
    ),
    Published(
        source=f"{_SIG_PYTHON} BloodPressureRecord first segment",
        characteristic="2b36",
        frame="05 0000 352B",
        expected=_SEGMENT | {"sequence": 0, "is_first": True, "is_last": False, "counter": 1, "part": ""},
    ),
    Published(
        source=f"{_SIG_PYTHON} BloodPressureRecord last segment",
        characteristic="2b36",
        frame="FA FFFF 342B 0102030405",
        expected=_SEGMENT
        | {"sequence": 0xFFFF, "is_first": False, "is_last": True, "counter": 62, "part": "0102030405"},
    ),
)

PUBLISHED = MEASUREMENT + CUFF_PRESSURE + RECORD
