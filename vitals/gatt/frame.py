"""Reading and building frames whose flags say which fields follow: the length rule that all characteristics share.

Nothing here knows a characteristic. A frame that is shorter or longer than its flags say is never read in part: half a
frame has been seen to decode into somebody's blood pressure.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Self, TypeVar

from vitals.errors import MalformedError
from vitals.gatt.date_time import DateTime
from vitals.gatt.float32 import Float32
from vitals.gatt.sfloat import Sfloat

E = TypeVar("E", bound=IntEnum)


def check_length(data: bytes, *, expected: int, reserved: bool = False) -> None:
    """Raise `MalformedError` unless `data` has `expected` bytes.

    `reserved` tells that flag bits are set which this specification does not know: they may announce a field of their own,
    so the blame is `flags` and not `frame_length`. Unknown bits that bring no field are let pass.
    """
    if len(data) != expected:
        reason = "flags" if reserved else "frame_length"
        raise MalformedError(reason, f"{len(data)} bytes, flags say {expected}", data)


def check_minimum(data: bytes, minimum: int) -> None:
    """Raise `MalformedError` (`frame_length`) for a frame too short to have its mandatory fields."""
    if len(data) < minimum:
        raise MalformedError("frame_length", f"{len(data)} bytes, at least {minimum} are needed", data)


def member(of: type[E], code: int) -> E | None:
    """The member of the enumeration with this code; None for a reserved one."""
    try:
        return of(code)
    except ValueError:
        return None


def word_of(named: IntEnum | None) -> str | None:
    """The specification's name in snake case, as it is stored and shown."""
    return None if named is None else named.name.lower()


class FlagWord(IntFlag):
    """Two bytes of flags that are a characteristic of their own."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Two bytes; `int.from_bytes` keeps its own meaning. Raises `MalformedError`."""
        check_length(data, expected=2)
        return cls(int.from_bytes(data, "little"))

    def __bytes__(self) -> bytes:
        return u16(self)


def flag_words(of: type[IntFlag], word: int) -> tuple[str, ...]:
    """The names of the known flags set in `word`, lowest bit first, in snake case."""
    return tuple(flag.name.lower() for flag in of if flag.name and word & flag)


@dataclass(slots=True)
class Cursor:
    """A place in a frame of known length. Its verbs take a field and move on."""

    data: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        assert len(taken) == count, "the length is checked against the flags before a field is taken"
        self.at += count
        return taken

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u24(self) -> int:
        return int.from_bytes(self.take(3), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def s8(self) -> int:
        return int.from_bytes(self.take(1), "little", signed=True)

    def s16(self) -> int:
        return int.from_bytes(self.take(2), "little", signed=True)

    def sfloat(self) -> Sfloat:
        return Sfloat.from_bytes(self.take(2))

    def float32(self) -> Float32:
        return Float32.from_bytes(self.take(4))

    def date_time(self) -> DateTime:
        return DateTime.from_bytes(self.take(DateTime.LENGTH))


def u16(value: int) -> bytes:
    return value.to_bytes(2, "little")


def u24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def u32(value: int) -> bytes:
    return value.to_bytes(4, "little")


def s16(value: int) -> bytes:
    return value.to_bytes(2, "little", signed=True)
