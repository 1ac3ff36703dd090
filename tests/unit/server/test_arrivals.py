"""Opening a message: nothing raises, nothing good is lost, every row is accounted for."""

import json
from datetime import UTC, date, datetime, timedelta
from time import perf_counter

import pytest
from households import EPOCH, Household
from hypothesis import given
from hypothesis import strategies as st

from server.arrivals import RAW_KEPT, Arrival, Candidate, Refused, open_message
from server.ledger import attribute
from server.store.intake import Attributed, Binding
from vitals.envelope import MAX_BYTES_TAKEN, MAX_DEPTH, encode_reading

HOME = Household(
    gateway_id="gw-1", patient_id=7, cuff="F0:00", glucometer="GLU-1", since=datetime(2026, 8, 1, tzinfo=UTC)
)
AT = datetime(2026, 11, 20, 7, 30, tzinfo=UTC)


def opened(payload: bytes) -> Arrival:
    return open_message(payload, topic_gateway=HOME.gateway_id)


def candidate() -> Candidate:
    (row,) = opened(HOME.envelope(HOME.pressure(AT))).rows
    assert isinstance(row, Candidate)
    return row


def test_a_clean_envelope_is_its_rows() -> None:
    readings = [HOME.pressure(AT), HOME.glucose(AT)]
    arrival = opened(HOME.envelope(*readings, first_seq=4))
    assert (arrival.gateway_id, arrival.epoch, arrival.answered) == ("gw-1", EPOCH, ())
    assert [(row.seq, row.reading) for row in arrival.rows if isinstance(row, Candidate)] == [
        (4, readings[0]),
        (5, readings[1]),
    ]


@given(st.binary(max_size=300))
def test_any_bytes_are_one_refusal_or_rows(payload: bytes) -> None:
    arrival = opened(payload)
    assert len(arrival.rows) == 1
    (row,) = arrival.rows
    assert isinstance(row, Refused)
    assert row.raw == payload


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=6), st.integers(min_value=0, max_value=6))
def test_a_good_row_is_taken_among_any_others(others: list[object], place: int) -> None:
    rows = [json.dumps(other).encode() for other in others]
    rows.insert(place, b'{"seq":1,"reading":%s}' % encode_reading(HOME.pressure(AT)))
    head = json.dumps({"v": 1, "gateway_id": "gw-1", "epoch": EPOCH}).encode()[:-1]
    arrival = opened(head + b',"readings":[' + b",".join(rows) + b"]}")
    assert len(arrival.rows) == len(rows)
    assert [row.seq for row in arrival.rows if isinstance(row, Candidate)] == [1]


@given(st.data())
def test_a_damaged_envelope_never_raises_and_names_no_strange_number(data: st.DataObject) -> None:
    payload = bytearray(HOME.envelope(*(HOME.pressure(AT - timedelta(minutes=n)) for n in range(3))))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    arrival = opened(bytes(payload))
    assert arrival.rows
    for seq in (*arrival.answered, *(row.seq for row in arrival.rows if row.seq is not None)):
        assert 1 <= seq <= 2**53


def test_a_key_said_twice_at_the_top_refuses_the_whole_and_answers_each_row() -> None:
    payload = HOME.envelope(HOME.pressure(AT), HOME.pressure(AT - timedelta(minutes=1)))
    twice = payload.replace(b'{"v":1,', b'{"v":1,"v":1,', 1)
    arrival = opened(twice)
    (row,) = arrival.rows
    assert isinstance(row, Refused)
    assert (row.reason, row.seq, arrival.answered) == ("decode:duplicate_key", None, (1, 2))


def test_a_nest_deeper_than_any_honest_message_is_refused_unread() -> None:
    deep = b'{"seq":1,"reading":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
    payload = HOME.envelope(HOME.pressure(AT)).replace(b'"readings":[', b'"readings":[' + deep + b",") + b" "
    arrival = opened(payload.replace(b'"v":1', b'"v":1.5', 1))
    assert [row.seq for row in arrival.rows] == [None]


def test_quarantine_keeps_the_first_bytes_but_all_of_a_newer_envelope() -> None:
    long = Refused(seq=None, reason="decode:json", detail="", raw=b"x" * MAX_BYTES_TAKEN)
    newer = Refused(seq=None, reason="schema_newer", detail="", raw=b"x" * MAX_BYTES_TAKEN)
    assert (len(long.kept), len(newer.kept)) == (RAW_KEPT, MAX_BYTES_TAKEN)


def binding(**changes: object) -> Binding:
    facts = {
        "meter_id": HOME.cuff,
        "user_slot": None,
        "gateway_id": "gw-1",
        "patient_id": 7,
        "valid_from": datetime(2026, 8, 1, tzinfo=UTC),
        "valid_to": None,
        "enrolled_on": date(2026, 8, 1),
    }
    return Binding(**{**facts, **changes})  # type: ignore[arg-type]


NOW = AT + timedelta(hours=1)


@pytest.mark.parametrize(
    ("bindings", "reason"),
    [
        ([], "unknown_meter"),
        ([binding(gateway_id="gw-2")], "binding_conflict"),
        ([binding(user_slot=1)], "unmapped_slot"),
        ([binding(valid_to=AT)], "unknown_meter"),
        ([binding(valid_from=AT + timedelta(seconds=1))], "unknown_meter"),
        ([binding(enrolled_on=date(2028, 1, 1))], "time_implausible"),
    ],
)
def test_what_nobody_has_stated_is_nobodys(bindings: list[Binding], reason: str) -> None:
    refused = attribute(candidate(), bindings, NOW)
    assert isinstance(refused, Refused)
    assert refused.reason == reason


def test_the_binding_of_the_moment_decides() -> None:
    moved = AT - timedelta(days=1)
    theirs = attribute(candidate(), [binding(valid_to=moved), binding(valid_from=moved, patient_id=8)], NOW)
    assert isinstance(theirs, Attributed)
    assert theirs.patient_id == 8


def test_a_binding_holds_from_its_first_instant_to_before_its_last() -> None:
    of_a_minute = binding(valid_from=AT, valid_to=AT + timedelta(minutes=1))
    assert of_a_minute.holds_at(AT)
    assert not of_a_minute.holds_at(AT + timedelta(minutes=1))
    assert not of_a_minute.holds_at(AT - timedelta(microseconds=1))


def test_times_are_believed_up_to_five_minutes_ahead() -> None:
    row = candidate()
    assert isinstance(attribute(row, [binding()], AT - timedelta(minutes=5)), Attributed)
    late = attribute(row, [binding()], AT - timedelta(minutes=5, microseconds=1))
    assert isinstance(late, Refused)
    assert late.reason == "time_implausible"


@pytest.mark.parametrize(
    "bad",
    [
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 4000 + b"1" + b"}" * 4000,
        b'"a\nb"',
        b'["\\"]", ' + b"[" * 3000 + b"]" * 3000 + b"]",
    ],
    ids=["arrays", "objects", "a control character", "a bracket in a string"],
)
def test_a_row_that_no_reader_of_json_takes_costs_its_neighbours_nothing(bad: bytes) -> None:
    envelope = HOME.envelope(HOME.pressure(AT), HOME.glucose(AT))
    head, first, second = envelope.split(b'{"seq":')
    arrival = opened(b'{"seq":'.join((head, first, b'7,"reading":' + bad + b"},", second)))
    assert [row.seq for row in arrival.rows if isinstance(row, Candidate)] == [1, 2]
    assert [(row.seq, row.reason) for row in arrival.rows if isinstance(row, Refused)] == [(7, "decode:json")]


@pytest.mark.parametrize(
    "payload", [b'\\"' * 60_000, b'{"a":"' + b'\\"' * 60_000, b'"' * 120_000, b"[" * 130_000, b"]" * 130_000]
)
def test_a_hostile_text_is_read_in_one_pass(payload: bytes) -> None:
    started = perf_counter()
    opened(payload)
    assert perf_counter() - started < 2, "a reader that looks back would take minutes"
