"""Blood Pressure Record (0x2B36): a stored measurement, cut into segments that fit a notification (service 0x1810, BLS
1.1).

Layout: Bluetooth SIG, GATT Specification Supplement (2025-12-23) section 3.35. Its table gives every segment a sequence
number and a UUID and names no exception; one public codec (im97mori/JavaBLEUtil) reads them in the first segment only, and
the service specification was not at hand. So a record of one segment is beyond doubt, and of several only one whose
segments all repeat both numbers is joined: read the other way, four octets of somebody's pressure would be numbers.

The E2E-CRC covers all fields of all segments but itself (section 3.35.5, the only source), so it is looked for at the end
of the last. Whether there is one is said by the Blood Pressure Feature (bit 6), never by the record.

Which sequence numbers are a user's own (they start again at 0 after 65,535) is the gateway's to remember.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Self

from vitals.errors import MalformedError
from vitals.gatt import e2e_crc
from vitals.gatt.frame import Cursor, check_minimum, u16

COUNTERS: Final = 64
"""The rolling segment counter is six bits."""
_HEAD: Final = 5
_FIRST, _LAST = 0x01, 0x02


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSegment:
    """One notification: its place in the record, the record's number and the characteristic that it holds, and a part of that."""

    is_first: bool
    is_last: bool
    counter: int
    sequence: int
    uuid: int
    part: bytes

    def __post_init__(self) -> None:
        assert 0 <= self.counter < COUNTERS, self.counter
        assert 0 <= self.sequence <= 0xFFFF, self.sequence
        assert 0 <= self.uuid <= 0xFFFF, self.uuid

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Raises `MalformedError` (`frame_length`) for less than five octets."""
        check_minimum(data, _HEAD)
        at = Cursor(data)
        header = at.u8()
        return cls(
            is_first=bool(header & _FIRST),
            is_last=bool(header & _LAST),
            counter=header >> 2,
            sequence=at.u16(),
            uuid=at.u16(),
            part=data[_HEAD:],
        )

    def __bytes__(self) -> bytes:
        header = self.counter << 2 | _FIRST * self.is_first | _LAST * self.is_last
        return bytes((header,)) + u16(self.sequence) + u16(self.uuid) + self.part


@dataclass(frozen=True, slots=True, kw_only=True)
class BloodPressureRecord:
    """A whole record: the number of the characteristic (such as 0x2B34) and its value."""

    sequence: int
    uuid: int
    value: bytes

    @classmethod
    def joined(cls, segments: Sequence[RecordSegment], *, is_sealed: bool) -> Self:
        """The record in `segments`, in the order in which they came. `is_sealed`: the cuff's feature says that it sends a sum.

        Raises `MalformedError`: `segments` unless they are one record from its first to its last without a gap, `crc` for a
        wrong sum, `frame_length` for one that does not lie whole in the last segment.
        """
        _check_segments(segments)
        value = b"".join(segment.part for segment in segments)
        if is_sealed:
            if len(segments[-1].part) < e2e_crc.LENGTH:
                raise MalformedError("frame_length", "the last segment has no room for its E2E-CRC", segments)
            e2e_crc.check_seal(b"".join(map(bytes, segments)))
            value = value[: -e2e_crc.LENGTH]
        return cls(sequence=segments[0].sequence, uuid=segments[0].uuid, value=value)

    def segments(self, *, part_max: int, is_sealed: bool, counter: int = 0) -> tuple[RecordSegment, ...]:
        """The record as a cuff sends it: at most `part_max` octets of it in a segment, the first with this `counter`."""
        assert part_max >= e2e_crc.LENGTH, part_max
        parts = [self.value[start : start + part_max] for start in range(0, max(len(self.value), 1), part_max)]
        if is_sealed and len(parts[-1]) + e2e_crc.LENGTH > part_max:
            parts.append(b"")
        cut = tuple(
            RecordSegment(
                is_first=nth == 0,
                is_last=nth == len(parts) - 1,
                counter=(counter + nth) % COUNTERS,
                sequence=self.sequence,
                uuid=self.uuid,
                part=part,
            )
            for nth, part in enumerate(parts)
        )
        if not is_sealed:
            return cut
        seal = u16(e2e_crc.e2e_crc(b"".join(map(bytes, cut))))
        return (*cut[:-1], replace(cut[-1], part=cut[-1].part + seal))


def _check_segments(segments: Sequence[RecordSegment]) -> None:
    ends = [(segment.is_first, segment.is_last) for segment in segments]
    if not ends or ends != [(nth == 0, nth == len(ends) - 1) for nth in range(len(ends))]:
        raise MalformedError("segments", "not one record from its first segment to its last", segments)
    for before, after in pairwise(segments):
        if after.counter != (before.counter + 1) % COUNTERS:
            raise MalformedError("segments", f"segment {after.counter} after {before.counter}", segments)
        if (after.sequence, after.uuid) != (before.sequence, before.uuid):
            raise MalformedError("segments", "segments of different records, or without numbers of their own", segments)
