"""How long a test waits before it gives up, in one place: an emulated machine is slower than a bridge in memory.

A wait ends with what is waited for; patience is only what a failure costs.
"""

import os
from typing import Final

from machine.appliance import Machine

ON_THE_MACHINE: Final = 6.0
"""An operation of the real stack takes up to ten times as long under software emulation, and the host may be busy as well."""

MACHINE: Final = Machine.at(os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", ""))
"""The appliance that this test session is a client of; None where an org.bluez bridge on a private bus is used."""


def patient(seconds: float) -> float:
    """`seconds`, which suit the bridge, as suits the tier that runs."""
    return seconds * (ON_THE_MACHINE if MACHINE is not None else 1.0)
