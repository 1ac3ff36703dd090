"""What every target of the fuzzing is made of: where it starts, and what may leave a decoder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec
from golden.frames import PUBLISHED

from vitals.errors import MalformedError
from vitals.quality import grade
from vitals.reading import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`check` takes any bytes; `seeds` are honest ones to start from. A target that `is_json` has its trees changed, too."""

    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    max_bytes: int
    is_json: bool = False


class _Frame(Protocol):
    def __bytes__(self) -> bytes: ...


T = TypeVar("T")
F = TypeVar("F", bound=_Frame)


def read(decode: Callable[[bytes], T], data: bytes) -> T | None:
    """What `decode` makes of it; None if it was refused as it should be, with a reason."""
    try:
        return decode(data)
    except MalformedError as fault:
        reason = fault.reason
    assert reason
    return None


def decoded(decode: Callable[[bytes], F], data: bytes) -> F | None:
    """The frame, after it has been there and back; None if it was refused."""
    frame = read(decode, data)
    assert frame is None or decode(bytes(frame)) == frame
    return frame


def assert_can_travel(measurement: Measurement) -> None:
    """What a meter sent can be graded, and goes over the wire as it is."""
    graded, reasons = grade(measurement)
    assert graded.value
    assert all(reasons)
    assert msgspec.json.decode(msgspec.json.encode(measurement), type=Measurement) == measurement


def frames(*characteristics: str) -> tuple[bytes, ...]:
    return tuple(each.raw for each in PUBLISHED if each.characteristic in characteristics)
