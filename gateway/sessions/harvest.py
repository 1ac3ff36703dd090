"""What one report of numbered records has brought, and how much of it may be kept: do its numbers mean what they meant?

A number alone names no record: a meter that was reset gives it again, and one that counts from its newest record gives each
another one with every drop. So a report is vouched for by a record that comes back as it was. How one is asked for is not known
here (`record_access`), nor what is in a record.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.sessions.commands import MeterRecord, Script, keep, look_up, set_aside
from vitals.errors import MalformedError

NAMELESS: Final = ("nameless", "neither its number nor a time tells this record from another")
"""Reason and detail of a record that would be another reading each time it is asked for."""
WAITING_MAX: Final = 4096
"""More records are not held back: no meter of which we know keeps as many. Then the numbers are taken to have begun anew."""
NEAR: Final = 16
"""So many numbers back every record is looked for that is not known by its own (engineering choice: nobody measures so often
between two visits of which the first broke off)."""


class Renaming(Protocol):
    """What a profile's record would be called if its number were another one, or none."""

    def under(self, record: MeterRecord, number: int) -> MeterRecord:
        """The same record as it was sent when it had this number."""
        ...

    def without(self, record: MeterRecord) -> MeterRecord | None:
        """By what lasts of it beside its number; None if nothing does."""
        ...


@dataclass(slots=True)
class Harvest:
    """What one report has brought. The record numbered `anchor_sequence` is held back as `anchor`, and the others wait for it; if
    it is not the one that is known by this number, or does not come, there is none, and nothing is kept of this report.

    `heard` are all records that came, by what lasts of them, with their numbers; `numbers` are those of what may be kept."""

    anchor_sequence: int | None = None
    anchor: MeterRecord | None = None
    is_strange: bool = False
    malformed: set[bytes] = field(default_factory=set)
    heard: dict[bytes, int] = field(default_factory=dict)
    numbers: set[int] = field(default_factory=set)
    waiting: list[MeterRecord] = field(default_factory=list)
    lacks_after: int | None = None
    """The last number before the first that is missing for good; None if nothing is."""

    def keep(self, record: MeterRecord) -> Script[None]:
        """Make a numbered record durable, or hold it back."""
        assert record.sequence is not None, record
        self.numbers.add(record.sequence)
        if record.sequence == self.anchor_sequence:
            self.is_strange |= (yield from look_up(record)).is_new
            self.anchor = None if self.is_strange else record
            waiting, self.waiting = self.waiting, []
            for each in waiting if self.anchor is not None else ():
                yield from keep(each)
        elif self.anchor_sequence is None or self.anchor is not None:
            yield from keep(record)
        elif not self.is_strange and len(self.waiting) < WAITING_MAX:
            self.waiting.append(record)

    @property
    def highest(self) -> int | None:
        """The highest number up to which nothing is missing; None if nothing has come."""
        return max(
            (each for each in self.numbers if self.lacks_after is None or each <= self.lacks_after), default=None
        )

    def refuse(self, characteristic: str, raw: bytes, why: MalformedError) -> Script[None]:
        """Set aside what cannot be read; the report will be asked for once more."""
        self.malformed.add(raw)
        yield from set_aside(characteristic, raw, why.reason, why.message)

    def settle(self) -> Script[None]:
        """The report is complete."""
        yield from ()


@dataclass(slots=True)
class DoubtedHarvest(Harvest):
    """What a report of everything has brought whose numbers nobody vouches for. Its records wait for one that is known by its own
    number: then they mean what they meant. If none is, and the report is complete, one may be known by another number or without
    one: then they `have_moved`, and every record is kept without. Else the numbers have begun anew."""

    renaming: Renaming | None = None
    are_understood: bool = False
    have_moved: bool = False

    def keep(self, record: MeterRecord) -> Script[None]:
        if self.are_understood:
            yield from self._keep_numbered(record)
            return
        self.waiting.append(record)
        if len(self.waiting) > WAITING_MAX or not (yield from look_up(record)).is_new:
            yield from self._understand()

    def settle(self) -> Script[None]:
        if self.are_understood:
            return
        if self.renaming is not None:
            moved_by, unnumbered = yield from self._move(self.renaming)
            self.have_moved = moved_by is not None or unnumbered < len(self.waiting)
            if self.have_moved:
                yield from self._keep_unnumbered(self.renaming, moved_by)
                return
        yield from self._understand()

    def _understand(self) -> Script[None]:
        self.are_understood = True
        waiting, self.waiting = self.waiting, []
        for record in waiting:
            yield from self._keep_numbered(record)

    def _keep_numbered(self, record: MeterRecord) -> Script[None]:
        assert record.sequence is not None, record
        self.numbers.add(record.sequence)
        if record.sequence != self.anchor_sequence:
            yield from keep(record)
            return
        if self.anchor is not None and self.anchor.raw != record.raw:
            yield from keep(self.anchor)  # two records of one number: neither may be lost
        self.anchor = record

    def _move(self, renaming: Renaming) -> Script[tuple[int | None, int]]:
        """How many numbers farther on the records are than when they were kept by number, None if none of those is here; and how
        many are not known without a number. Every one has moved as far. The oldest is looked for under any number, the others
        nearby: of a report that broke off they may be all that is known."""
        strangers = []
        for record in sorted(self.waiting, key=_number):
            lasting = renaming.without(record)
            if lasting is None or (yield from look_up(lasting)).is_new:
                strangers.append(record)
        for record in [*strangers[-1:], *strangers[:-1]]:
            lowest = 0 if record is strangers[-1] else max(0, _number(record) - NEAR)
            for before in range(_number(record) - 1, lowest - 1, -1):
                if not (yield from look_up(renaming.under(record, before))).is_new:
                    return _number(record) - before, len(strangers)
        return None, len(strangers)

    def _keep_unnumbered(self, renaming: Renaming, moved_by: int | None) -> Script[None]:
        for record in self.waiting:
            before = -1 if moved_by is None else _number(record) - moved_by
            if before >= 0 and not (yield from look_up(renaming.under(record, before))).is_new:
                continue
            lasting = renaming.without(record)
            if lasting is None:
                yield from set_aside(record.characteristic, record.raw, *NAMELESS)
            else:
                yield from keep(lasting)


def _number(record: MeterRecord) -> int:
    assert record.sequence is not None, record
    return record.sequence
