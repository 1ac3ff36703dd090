"""Firmware by itself, for tests: a meter of a kind, what it says, and a collector that listens to some of it."""

from datetime import datetime
from typing import Any

import msgspec

from firmware_sims.firmware import Firmware, Indicate, Notify
from firmware_sims.happenings import firmware_of
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter

WALL = datetime(2026, 11, 21, 7, 5, 30)  # noqa: DTZ001  # a wall clock

ONE_OF_EACH: dict[str, dict[str, Any]] = {
    "blood_pressure": {"systolic_mmhg": 152, "diastolic_mmhg": 94},
    "enhanced_blood_pressure": {"systolic_mmhg": 152, "diastolic_mmhg": 94},
    "glucose": {"glucose_mg_dl": 126},
    "sensor_glucose": {"glucose_mg_dl": 126},
    "weight": {"weight_kg": 61.2},
    "temperature": {"temperature_celsius": 38.4},
    "oxygen_saturation": {"spo2_percent": 97, "pulse_bpm": 66},
    "heart_rate": {"pulse_bpm": 66},
}
"""What every kind can be told to measure."""


def a_meter(kind: str, **settings: Any) -> Firmware:
    """`settings` as in a meters file."""
    return firmware_of(msgspec.convert({"name": "m", "kind": kind, "index": 1, **settings}, Meter))


def tell(firmware: Firmware, *, wall: datetime = WALL, **fields: Any) -> None:
    firmware.obey(msgspec.convert({"do": "measure", "meter": "m", **fields}, Measure), wall=wall)


def listen_to(firmware: Firmware, *characteristics: str) -> None:
    firmware.on_connected()
    for characteristic in characteristics:
        firmware.on_subscribed(characteristic, is_on=True)


def all_said(firmware: Firmware) -> list[tuple[str, str]]:
    """Everything that it says now, each indication confirmed: characteristic and bytes in hex."""
    said = []
    while isinstance(action := firmware.next_action(), Notify | Indicate):
        said.append((action.characteristic, action.value.hex().upper()))
        if isinstance(action, Indicate):
            firmware.on_confirmed()
    return said
