"""What is on its way, when it is sent again, and that no message is ever too long."""

from hypothesis import given
from hypothesis import strategies as st
from unit.gateway.samples import reading

from gateway.flights import WINDOW, Flights, pack
from gateway.outbox import Row
from vitals.envelope import MAX_BYTES_SENT, MAX_READINGS, decode_envelope, decode_reading, encode_reading


def _rows(*seqs: int) -> list[Row]:
    return [Row(seq, encode_reading(reading(seq))) for seq in seqs]


def _due(flights: Flights, rows: list[Row], now_s: float) -> list[int]:
    due = [row.seq for row in flights.due(rows, now_s)]
    flights.published(due, now_s)
    return due


def test_a_row_is_sent_once_and_then_waits_for_its_receipt() -> None:
    flights = Flights()
    assert _due(flights, _rows(1, 2), 0.0) == [1, 2]
    assert _due(flights, _rows(1, 2), 2.9) == []


def test_a_row_without_a_receipt_is_sent_again_after_3_6_12_and_at_most_60_seconds() -> None:
    flights, rows = Flights(), _rows(1)
    sent = [now_s for now_s in range(400) if _due(flights, rows, float(now_s))]
    assert sent == [0, 3, 9, 21, 45, 93, 153, 213, 273, 333, 393]


def test_on_a_new_connection_everything_is_sent_again_at_once() -> None:
    flights = Flights()
    _due(flights, _rows(1, 2), 0.0)
    flights.connection_lost()
    assert _due(flights, _rows(1, 2), 0.1) == [1, 2]


def test_the_window_bounds_what_is_on_its_way_and_moves_on_with_receipts() -> None:
    flights = Flights(window=3)
    assert _due(flights, _rows(1, 2, 3, 4, 5), 0.0) == [1, 2, 3]
    assert _due(flights, _rows(2, 3, 4, 5), 0.1) == [4]
    assert len(flights) == 3


def test_it_says_when_the_next_row_must_be_sent_again() -> None:
    flights = Flights()
    assert flights.next_due_in_s(0.0) is None
    _due(flights, _rows(1), 10.0)
    assert flights.next_due_in_s(11.0) == 2.0


def test_rows_travel_in_few_messages_with_their_numbers_and_bytes() -> None:
    rows = _rows(3, 4, 9)
    (parcel,), oversize = pack(rows, gateway_id="gw-1", epoch="0" * 16)
    assert (parcel.seqs, oversize) == ((3, 4, 9), [])
    envelope = decode_envelope(parcel.payload)
    assert (envelope.gateway_id, envelope.epoch) == ("gw-1", "0" * 16)
    assert [(row.seq, decode_reading(row)) for row in envelope.readings] == [(s, reading(s)) for s in (3, 4, 9)]


def test_a_row_that_fits_no_message_is_named_and_the_others_travel() -> None:
    rows = [*_rows(1), Row(2, b'"' + b"x" * MAX_BYTES_SENT + b'"'), *_rows(3)]
    parcels, oversize = pack(rows, gateway_id="gw-1", epoch="0" * 16)
    assert oversize == [2]
    assert [parcel.seqs for parcel in parcels] == [(1, 3)]


@given(st.lists(st.integers(2, 20_000), max_size=WINDOW * 3), st.integers(4096, MAX_BYTES_SENT))
def test_no_message_is_longer_than_allowed_and_no_row_is_forgotten(lengths: list[int], max_bytes: int) -> None:
    rows = [Row(2**53 - n, b'"' + b"x" * (length - 2) + b'"') for n, length in enumerate(lengths)]
    parcels, oversize = pack(rows, gateway_id="g" * 64, epoch="0" * 32, max_bytes=max_bytes)
    assert all(len(parcel.payload) <= max_bytes for parcel in parcels)
    assert all(len(parcel.seqs) <= MAX_READINGS for parcel in parcels)
    assert sorted([*oversize, *(seq for parcel in parcels for seq in parcel.seqs)]) == sorted(row.seq for row in rows)
    assert all(len(row.body) > max_bytes - 512 for row in rows if row.seq in oversize)
