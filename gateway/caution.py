"""Finds the message that makes a broker cut the connection, so that it does not hold up every good one behind it for ever.

A broker disconnects who sends it a message over a limit of its own, and says nothing that tells which (measured: mosquitto
answers `message_size_limit` with a packet that is none, `max_packet_size` with a reset). The client connects again, sends the
same again, and so on. So: after three cuts in a row, each with messages under way and no receipt between, the rows that were
under way are suspects, and everything is sent alone, one row to a message, the next only when the broker has taken the one
before. A row whose message alone has been under way at three cuts in a row is put aside.

A broker that is down, restarts, or takes long puts nothing aside: what it has answered (a PUBACK proves that a message does not
cut the connection; it confirms nothing) is innocent, so is what has been under way for `PATIENCE_S`, and a cut while two messages
are under way blames neither. Pure: times are given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.outbox import Row

CUTS: Final = 3
"""Cuts in a row before anybody is suspected: a lost radio cell or a broker's restart is one, seldom two."""
STRIKES: Final = 3
"""Cuts by one row alone before it is put aside."""
PATIENCE_S: Final = 5.0
"""A broker cuts at once or not at all: two orders of magnitude over a round trip."""
STATUS: Final = 0
"""The status message, among the seqs of readings (which begin at 1)."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    seqs: frozenset[int]
    since_s: float


class Caution:
    """What is known of messages that cut the connection, over all connections of one uplink."""

    def __init__(self) -> None:
        self._cuts = 0
        self._suspects: frozenset[int] = frozenset()
        self._strikes: dict[int, int] = {}
        self._under_way: dict[int, _UnderWay] = {}

    @property
    def is_on(self) -> bool:
        """Whether rows are to be sent alone."""
        return bool(self._suspects)

    def published(self, message: int, seqs: Iterable[int], now_s: float) -> None:
        """These rows (or `STATUS`) have just been handed to the broker in one message, which has this number."""
        self._under_way[message] = _UnderWay(frozenset(seqs), now_s)

    def answered(self, message: int) -> None:
        """The broker has said something about this message, whatever it is: the message does not cut the connection."""
        under_way = self._under_way.pop(message, None)
        if under_way is not None:
            self._acquit(under_way.seqs)

    def progressed(self) -> None:
        """A receipt has changed something: the cuts before it are over."""
        self._cuts = 0

    def next_alone(self, due: Sequence[Row], waiting: Sequence[Row], now_s: float) -> list[Row]:
        """The one row of `due` to send now, none while a message is under way. Rows that wait no longer are no suspects."""
        self._suspects &= {STATUS, *(row.seq for row in waiting)}
        for under_way in self._under_way.values():
            if now_s - under_way.since_s < PATIENCE_S:
                return []
            self._acquit(under_way.seqs)
        return list(due[:1])

    def lost(self, *, is_cut: bool) -> int | None:
        """The connection has ended, by the far end if `is_cut`; the row (or `STATUS`) to put aside, if it is proved."""
        under_way = list(self._under_way.values())
        self._under_way.clear()
        if not (is_cut and under_way):
            return None
        if self.is_on and len(under_way) == 1 and len(under_way[0].seqs) == 1:
            (seq,) = under_way[0].seqs
            return self._strike(seq)
        self._cuts += 1
        if self._cuts >= CUTS:
            self._cuts = 0
            self._suspects |= frozenset().union(*(message.seqs for message in under_way))
        return None

    def _strike(self, seq: int) -> int | None:
        self._strikes[seq] = self._strikes.get(seq, 0) + 1
        if self._strikes[seq] < STRIKES:
            self._suspects |= {seq}
            return None
        self._acquit({seq})
        return seq

    def _acquit(self, seqs: Iterable[int]) -> None:
        self._suspects -= frozenset(seqs)
        for seq in seqs:
            self._strikes.pop(seq, None)
