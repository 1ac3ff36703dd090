"""Names of services and characteristics: four hex digits for the Bluetooth SIG's numbers, the 36 characters for a maker's own."""

import re
from typing import Final

BLOOD_PRESSURE_SERVICE: Final = "1810"
GLUCOSE_SERVICE: Final = "1808"
HEALTH_THERMOMETER_SERVICE: Final = "1809"
HEART_RATE_SERVICE: Final = "180d"
WEIGHT_SCALE_SERVICE: Final = "181d"
PULSE_OXIMETER_SERVICE: Final = "1822"
CURRENT_TIME_SERVICE: Final = "1805"
DEVICE_INFORMATION_SERVICE: Final = "180a"
BATTERY_SERVICE: Final = "180f"
USER_DATA_SERVICE: Final = "181c"
CGM_SERVICE: Final = "181f"

BLOOD_PRESSURE_MEASUREMENT: Final = "2a35"
INTERMEDIATE_CUFF_PRESSURE: Final = "2a36"
BLOOD_PRESSURE_FEATURE: Final = "2a49"
ENHANCED_BLOOD_PRESSURE_MEASUREMENT: Final = "2b34"
ENHANCED_INTERMEDIATE_CUFF_PRESSURE: Final = "2b35"
BLOOD_PRESSURE_RECORD: Final = "2b36"
GLUCOSE_MEASUREMENT: Final = "2a18"
GLUCOSE_CONTEXT: Final = "2a34"
GLUCOSE_FEATURE: Final = "2a51"
RECORD_ACCESS: Final = "2a52"
TEMPERATURE_MEASUREMENT: Final = "2a1c"
TEMPERATURE_TYPE: Final = "2a1d"
INTERMEDIATE_TEMPERATURE: Final = "2a1e"
HEART_RATE_MEASUREMENT: Final = "2a37"
BODY_SENSOR_LOCATION: Final = "2a38"
PLX_SPOT_CHECK: Final = "2a5e"
PLX_CONTINUOUS: Final = "2a5f"
PLX_FEATURES: Final = "2a60"
WEIGHT_MEASUREMENT: Final = "2a9d"
WEIGHT_SCALE_FEATURE: Final = "2a9e"
CGM_MEASUREMENT: Final = "2aa7"
CGM_FEATURE: Final = "2aa8"
CGM_STATUS: Final = "2aa9"
CGM_SESSION_START_TIME: Final = "2aaa"
CGM_SESSION_RUN_TIME: Final = "2aab"
CGM_CONTROL: Final = "2aac"
DATABASE_CHANGE_INCREMENT: Final = "2a99"
USER_INDEX: Final = "2a9a"
USER_CONTROL: Final = "2a9f"
DATE_TIME: Final = "2a08"
CURRENT_TIME: Final = "2a2b"
LOCAL_TIME: Final = "2a0f"
BATTERY_LEVEL: Final = "2a19"
SYSTEM_ID: Final = "2a23"
MODEL_NUMBER: Final = "2a24"
SERIAL_NUMBER: Final = "2a25"
FIRMWARE_REVISION: Final = "2a26"
HARDWARE_REVISION: Final = "2a27"
SOFTWARE_REVISION: Final = "2a28"
MANUFACTURER_NAME: Final = "2a29"
PNP_ID: Final = "2a50"

LONG: Final = 36
"""Characters of a maker's own number."""
CONTOUR_CLOCK: Final = "00001026-0002-11e2-9e96-0800200c9a66"
CARESENS_CLOCK: Final = "fff1"
"""Not the SIG's either: a number that i-SENS has taken from the range kept free for the SIG's members."""

_BASE: Final = "-0000-1000-8000-00805f9b34fb"
_SHORT: Final = re.compile(r"(?:0x)?([0-9a-f]{4})|0000([0-9a-f]{4})" + _BASE, re.ASCII)


def short(uuid: str) -> str | None:
    """Four lower-case hex digits for "2A35", "0x2a35" or the 128-bit form; None for a UUID that is not the SIG's."""
    match = _SHORT.fullmatch(uuid.lower())
    return None if match is None else match[1] or match[2]


def name_of(uuid: str) -> str:
    """How a characteristic is called here: four hex digits if the number is the SIG's, else the 36 lower-case characters."""
    return short(uuid) or uuid.lower()


def full(name: str) -> str:
    """The 128-bit form of what `name_of` gives."""
    assert name_of(name) == name, name
    return f"0000{name}{_BASE}" if len(name) == 4 else name
