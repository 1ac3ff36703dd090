"""What every answer of `homevigil decode` is made of: values, names, and the doubt that a reading would carry."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from vitals import quality
from vitals.gatt.frame import member, word_of
from vitals.gatt.sfloat import Sfloat
from vitals.reading import Measurement

Canonical = dict[str, Any]
"""What is printed: JSON values only, never NaN."""

Decoder = Callable[[bytes], Canonical]
"""One characteristic's frame as JSON values; raises `MalformedError`."""

VALUE_SPECIAL: Canonical = {"quality": "invalid", "reasons": ["value_special"]}
"""The doubt about a value that is never a reading and is no number either."""


def doubt(measurement: Measurement) -> Canonical:
    """The marks that the server would give this measurement; nothing if it would accept it."""
    graded, reasons = quality.grade(measurement)
    return {} if graded is quality.Quality.ACCEPTED else {"quality": graded.value, "reasons": list(reasons)}


def number(sent: Sfloat | None) -> float | None:
    return None if sent is None else sent.number


def named(enumeration: type[IntEnum], code: int | None) -> str | int | None:
    """The specification's name; the bare number of a reserved code."""
    return None if code is None else word_of(member(enumeration, code)) or code
