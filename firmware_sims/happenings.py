"""What is told of a meter's conversation, to whoever counts frames: the journey test, the demo, a person debugging."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from firmware_sims.firmware import Firmware
from firmware_sims.kinds import KINDS
from firmware_sims.settings import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """`indicated`: a frame goes out on the air now. `confirmed`: the meter got the confirmation of the frame."""

    event: Literal["indicated", "confirmed"]
    meter: str
    meter_id: str
    characteristic: str
    raw: bytes


Listener = Callable[[Happening], None]


def ignore(_: Happening) -> None:
    """For drivers that nobody listens to."""


def firmware_of(meter: Meter) -> Firmware:
    """New firmware for the kind of meter."""
    kind = KINDS[meter.kind]
    firmware: type[Firmware] = getattr(importlib.import_module(kind.module), kind.firmware)
    return firmware(meter)
