"""How a simulated meter misbehaves: knobs as values, so that a bug report is a few lines of JSON.

What is here was seen on real meters or is asked for by the list of bad inputs; clocks have their own knob
(`settings.Clock`), because every meter has a clock and only some have faults.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct


class Faults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All off by default.

    - `disconnect_after_ms`: the link drops so long after it came up.
    - `drops_at_once`: so many times, the link drops as soon as it is up (where radio is poor, a link is often "established" on
      one side only: HCI error 0x3E).
    - `hangs_up`: the meter ends the link itself once its last record is confirmed (A&D UA-651BLE).
    - `impatient_after`: the meter ends the link after more reads than this before anything was subscribed to (A&D's E10).
    - `drops_after_indication`: so many times, the link drops right after an indication was sent; the meter has not seen the
      confirmation, so it keeps the record and sends it again next time.
    - `forgets_bond`: after every connection, as if the battery had been changed.
    - `sends_twice`: each record is indicated or notified twice.
    - `truncate_to`: every measurement frame is cut to so many bytes.
    - `fails`: every measurement ends without a value (a boso medicus: NaN everywhere and status 0).
    - `control_point_is_mute`: the User Control Point takes every command and never answers.
    - `is_silent_on_wrong_code`: it does not answer a consent with a wrong code (so it is asked of a BF720 in
      KristianP26/ble-scale-sync issue 335).
    - `ignores_clock_writes`: a clock write succeeds and changes nothing (some Omrons).
    """

    disconnect_after_ms: Annotated[int, Meta(ge=0)] | None = None
    drops_at_once: Annotated[int, Meta(ge=0)] = 0
    hangs_up: bool = False
    impatient_after: Annotated[int, Meta(ge=0)] | None = None
    drops_after_indication: Annotated[int, Meta(ge=0)] = 0
    forgets_bond: bool = False
    sends_twice: bool = False
    truncate_to: Annotated[int, Meta(ge=0)] | None = None
    fails: bool = False
    control_point_is_mute: bool = False
    is_silent_on_wrong_code: bool = False
    ignores_clock_writes: bool = False


NONE: Final = Faults()

BOSO_FAILED: Final = bytes.fromhex("16FF07FF07FF07E80706170E230AFF070000")
"""Captured from a boso medicus whose user moved: no value, 2024-06-23 14:35:10, status 0."""
