"""Which rows are on their way, and which it is time to send (again). Pure: times are given.

A row is on its way from its publication until the server's receipt. The window bounds how many; a row without a receipt is
sent again after 3 s, then less and less often, and at once on a new connection, for what the old one carried may be gone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.backoff import Backoff
from gateway.outbox import Row
from vitals.envelope import MAX_BYTES_SENT, MAX_READINGS, encode_envelope

WINDOW: Final = 50
"""Rows on their way at a time (docs/explanation/reliability)."""
RESEND: Final = Backoff(first_s=3.0, longest_s=60.0)

_ENVELOPE_BYTES: Final = 256
"""More than an envelope's own words: the longest gateway name and epoch, and the punctuation."""
_ROW_BYTES: Final = 40
"""More than a row's own words: a seq of 16 digits, and the punctuation."""


@dataclass(slots=True)
class _Flight:
    sent_s: float
    times: int = 1


class Flights:
    """The rows on their way over one uplink."""

    def __init__(self, window: int = WINDOW) -> None:
        self.window = window
        self._flights: dict[int, _Flight] = {}

    def due(self, waiting: Sequence[Row], now_s: float) -> list[Row]:
        """The rows of `waiting` (the first unconfirmed ones) to publish now; rows no longer waiting have landed."""
        seqs = {row.seq for row in waiting}
        self._flights = {seq: flight for seq, flight in self._flights.items() if seq in seqs}
        return [row for row in waiting[: self.window] if self._is_due(row.seq, now_s)]

    def published(self, seqs: Iterable[int], now_s: float) -> None:
        """These rows have just been handed to the broker."""
        for seq in seqs:
            flight = self._flights.get(seq)
            if flight is None:
                self._flights[seq] = _Flight(now_s)
            else:
                flight.sent_s, flight.times = now_s, flight.times + 1

    def next_due_in_s(self, now_s: float) -> float | None:
        """Seconds until some row must be sent again; None if none is on its way."""
        waits = [flight.sent_s + RESEND.delay_s(flight.times) - now_s for flight in self._flights.values()]
        return max(0.0, min(waits)) if waits else None

    def connection_lost(self) -> None:
        """Everything is due again; how often it has been tried is remembered no longer."""
        self._flights.clear()

    def __len__(self) -> int:
        return len(self._flights)

    def _is_due(self, seq: int, now_s: float) -> bool:
        flight = self._flights.get(seq)
        return flight is None or now_s - flight.sent_s >= RESEND.delay_s(flight.times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One message: the encoded envelope and the rows in it."""

    seqs: tuple[int, ...]
    payload: bytes


def pack(
    rows: Sequence[Row], *, gateway_id: str, epoch: str, max_bytes: int = MAX_BYTES_SENT
) -> tuple[list[Parcel], list[int]]:
    """`rows` as messages of at most 100 readings and `max_bytes` (never over 16 KiB), and the seqs that fit into none.

    A message over the broker's limit would be disconnected and sent again for ever, and hold up every good one behind it.
    """
    assert _ENVELOPE_BYTES < max_bytes <= MAX_BYTES_SENT, max_bytes
    parcels: list[Parcel] = []
    oversize: list[int] = []
    batch: list[Row] = []
    size = _ENVELOPE_BYTES
    for row in rows:
        row_size = len(row.body) + _ROW_BYTES
        if _ENVELOPE_BYTES + row_size > max_bytes:
            oversize.append(row.seq)
            continue
        if size + row_size > max_bytes or len(batch) == MAX_READINGS:
            parcels.append(_parcel(batch, gateway_id, epoch))
            batch, size = [], _ENVELOPE_BYTES
        batch.append(row)
        size += row_size
    if batch:
        parcels.append(_parcel(batch, gateway_id, epoch))
    return parcels, oversize


def _parcel(rows: list[Row], gateway_id: str, epoch: str) -> Parcel:
    payload = encode_envelope(gateway_id, epoch, [(row.seq, row.body) for row in rows])
    assert len(payload) <= MAX_BYTES_SENT, len(payload)
    return Parcel(seqs=tuple(row.seq for row in rows), payload=payload)
