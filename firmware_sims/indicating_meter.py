"""Firmware of a meter that sends by itself what it has: a pure state machine that cuffs, scales and thermometers share.

It stores each measurement as a record, advertises while it has one, indicates the records oldest first once a collector has
subscribed, and deletes a record only when its indication was confirmed. What a record is, a kind of meter says.
"""

from collections import deque
from typing import Final, SupportsBytes

from firmware_sims.firmware import Action, Firmware, HangUp, Indicate
from firmware_sims.settings import Meter

CAPACITY: Final = 250
"""Records kept. A full memory overwrites its oldest record, as the meters' manuals say of theirs."""


class IndicatingMeter(Firmware):
    """One meter with its records. `measurement` is the characteristic that they are indicated on."""

    measurement: str

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._records: deque[bytes] = deque(maxlen=CAPACITY)
        self._drops_left = meter.faults.drops_after_indication
        self._sending: bytes | None = None
        self._sent_of_first = 0
        self._may_hang_up = False

    @property
    def records(self) -> tuple[bytes, ...]:
        """Frames not yet confirmed by a collector, oldest first."""
        return tuple(self._records)

    @property
    def is_advertising(self) -> bool:
        return bool(self._records)

    def keep(self, frame: bytes) -> None:
        self._records.append(frame)

    def on_disconnected(self) -> None:
        super().on_disconnected()
        self._sending = None
        self._sent_of_first = 0
        self._may_hang_up = False

    def next_action(self) -> Action | None:
        if self._has_lost_patience:
            return HangUp()
        if self._sending is not None or self.measurement not in self._subscribed:
            return None
        if (window := self._open_window()) is not None:
            return window
        record = self._next_record()
        if record is not None:
            return self._indicate(record)
        if self._may_hang_up and self.meter.faults.hangs_up:
            self._may_hang_up = False
            return HangUp()
        return None

    def on_confirmed(self) -> None:
        assert self._sending is not None, "a confirmation belongs to an indication"
        record, self._sending = self._sending, None
        self._sent_of_first += 1
        if self._sent_of_first == (2 if self.meter.faults.sends_twice else 1):
            self._sent_of_first = 0
            self._may_hang_up = True
            if record in self._records:  # a full memory may have overwritten it meanwhile
                self._records.remove(record)

    def _next_record(self) -> bytes | None:
        """The record that this collector may have next."""
        return self._records[0] if self._records else None

    def _indicate(self, record: bytes) -> Indicate:
        self._sending = record
        then_drops = self._drops_left > 0
        self._drops_left -= then_drops
        return Indicate(characteristic=self.measurement, value=record, then_drops=then_drops)

    def _store(self, frame: SupportsBytes) -> bytes:
        """The frame as this model words it; the last of them, where it says more than one."""
        records = [self._cut(each) for each in self.personality.wording(bytes(frame))]
        self._records.extend(records)
        return records[-1]
