"""What every comparison with Wireshark is made of: its fields, our values, and random values that both may be shown."""

import random
import struct
from decimal import Decimal, InvalidOperation
from typing import Final

from fix_tshark import Fields

from vitals.gatt.date_time import DateTime
from vitals.gatt.sfloat import DecimalFloat

SPECIAL_MANTISSAS: Final = {0x7FE, 0x7FF, 0x800, 0x801, 0x802}


def below(prefix: str, told: Fields) -> Fields:
    return {name.removeprefix(f"{prefix}."): text for name, text in told.items() if name.startswith(prefix)}


def assert_same(ours: DecimalFloat | None, text: str | None) -> None:
    if ours is None:
        assert text is None
    elif ours.value is None:
        assert text is not None
        assert not is_number(text)
    else:
        assert text is not None
        assert Decimal(text) == ours.value


def is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def assert_same_number(ours: int | None, text: str | None) -> None:
    assert ours == (None if text is None else int(text, 0))


def assert_same_member(ours: int | None, text: str | None) -> None:
    """A reserved member is None to us and a number to tshark."""
    if ours is None and text is not None:
        assert int(text, 0) in RESERVED
    else:
        assert_same_number(ours, text)


RESERVED = {0, *range(4, 256)}
"""No enumeration of these has 1, 2 or 3 reserved."""


def assert_same_time(ours: DateTime | None, told: Fields) -> None:
    names = ("year", "month", "day", "hours", "minutes", "seconds")
    if ours is None:
        assert not set(names) & told.keys()
        return
    sent = (ours.year, ours.month, ours.day, ours.hour, ours.minute, ours.second)
    assert sent == tuple(int(told[name]) for name in names)


def sfloat(rng: random.Random) -> bytes:
    """Any word but a special mantissa with an exponent, which the two read differently (see the first test)."""
    word = rng.randrange(0x10000) if rng.random() < 0.8 else rng.choice((0x07FF, 0x0800, 0x07FE, 0x0802, 0x0801))
    return struct.pack("<H", word & 0xFFF if word & 0xFFF in SPECIAL_MANTISSAS else word)


def date_time(rng: random.Random) -> bytes:
    return struct.pack("<H", rng.randrange(3000)) + bytes(
        (rng.randrange(13), rng.randrange(32), rng.randrange(24), rng.randrange(60), rng.randrange(60))
    )
