"""The status as it is sent: a hundred meters fit into one message, and what does not fit is counted."""

import json
from dataclasses import replace
from datetime import timedelta

from unit.gateway.samples import METER, NOW

from gateway.outbox_rows import MeterMemory
from gateway.status import MeterFacts, encode_status, meter_facts
from gateway.totals import METERS_COUNTED, MeterTotals, Totals
from vitals.envelope import MAX_BYTES_SENT

ABOUT = {"manufacturer": "A&D Medical", "model": "UA-651BLE", "serial": "5180400123", "firmware": "BLP010_d016_013"}


def _meter(nth: int) -> MeterFacts:
    at = NOW - timedelta(minutes=nth)
    return MeterFacts(
        meter_id=f"F0:00:00:10:00:{nth:02X}", heard_at=at, read_at=at, battery_percent=80, failed=12, about=ABOUT
    )


def test_a_hundred_meters_fit_into_one_message_with_when_each_was_read() -> None:
    payload = encode_status({"state": "online", "much": "x" * 2500}, [_meter(n) for n in range(100)], max_bytes=16_384)
    said = json.loads(payload)
    assert len(payload) <= MAX_BYTES_SENT
    assert len(said["meters"]) == 100
    assert "meters_left_out" not in said
    assert {"heard_at", "read_at", "battery_percent", "failed"} <= said["meters"]["F0:00:00:10:00:63"].keys()


def test_few_meters_are_shown_in_full() -> None:
    said = json.loads(encode_status({}, [_meter(1)], max_bytes=16_384))
    assert said["meters"]["F0:00:00:10:00:01"]["about"] == ABOUT


def test_for_every_size_of_broker_the_message_fits_and_the_newest_meters_are_there() -> None:
    meters = [_meter(n) for n in range(150)]
    for max_bytes in range(4_000, 16_385, 619):
        payload = encode_status({"state": "online"}, meters, max_bytes=max_bytes)
        said = json.loads(payload)
        assert len(payload) <= max_bytes
        assert list(said["meters"]) == [meter.meter_id for meter in meters[: len(said["meters"])]]
        assert said["meters_left_out"] == 150 - len(said["meters"])


def test_a_meter_that_was_read_before_the_restart_is_there_and_one_that_is_only_heard() -> None:
    memory = MeterMemory(meter_id=METER, battery_percent=15, about=ABOUT)
    counted = {"OTHER": MeterTotals(heard_s=40.0, failed_in_a_row=3)}
    found = {each.meter_id: each for each in meter_facts([(memory, NOW)], counted, now=NOW, since_boot_s=100.0)}
    assert found[METER] == MeterFacts(meter_id=METER, read_at=NOW, battery_percent=15, about=ABOUT)
    assert found["OTHER"] == MeterFacts(meter_id="OTHER", heard_at=NOW - timedelta(seconds=60), failed=3)
    assert replace(found["OTHER"], heard_at=None).last_at is None


def test_of_the_meters_in_the_air_a_bounded_number_is_counted() -> None:
    totals = Totals()
    for nth in range(2 * METERS_COUNTED):
        totals.of(str(nth)).heard_s = float(nth)
    assert len(totals.meters) == METERS_COUNTED
    assert "0" not in totals.meters


def test_a_street_full_of_meters_that_refuse_to_pair_does_not_crowd_out_the_meters_of_the_home() -> None:
    advice = {"pairings_failed": 3, "advice": "x" * 160}
    own = _meter(1)
    pairing = {f"F0:00:00:00:00:{n:02X}": advice for n in range(128)} | {own.meter_id: {"wants_code": True}}
    payload = encode_status({"state": "online", "radio": {"pairing": pairing}}, [own], max_bytes=16_384)
    assert len(payload) <= 16_384
    said = json.loads(payload)
    assert own.meter_id in said["meters"]
    assert said["radio"]["pairing"][own.meter_id] == {"wants_code": True}
    assert len(said["radio"]["pairing"]) + said["radio"]["pairing_left_out"] == len(pairing)
