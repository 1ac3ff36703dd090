"""Mistakes that somebody could make in times, numbers, receipts and judging. Each must show within a few months of thirty homes.

Every function replaces parts of the product for the rest of the process, and changes as little as the mistake would.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final
from uuid import uuid5

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """`trials`: how many months it may take to show."""

    name: str
    breaks: str
    switch_on: Callable[[], None]
    trials: int = 3


def switch_on(name: str) -> None:
    next(each for each in ALL if each.name == name).switch_on()


def corrected_time_in_id() -> None:
    from gateway import collector
    from vitals.identity import NAMESPACE

    right = collector.to_reading

    def wrong(*given: Any, **more: Any) -> Any:
        reading = right(*given, **more)
        name = f"{reading.meter_id} {reading.measured_at.isoformat()} {reading.raw.hex()}"
        return msgspec.structs.replace(reading, reading_id=uuid5(NAMESPACE, name))

    collector.to_reading = wrong


def numbers_trusted_after_battery() -> None:
    from gateway.sessions import glucose

    def collect(characteristics: frozenset[str], clock: Any, *, highest: int | None) -> Any:
        for characteristic in (
            glucose.uuids.GLUCOSE_MEASUREMENT,
            glucose.uuids.GLUCOSE_CONTEXT,
            glucose.uuids.RECORD_ACCESS,
        ):
            if characteristic in characteristics:
                yield from glucose.subscribe(characteristic)
        everything = glucose.RecordAccess.report_all()
        request = everything if highest is None else glucose.RecordAccess.report_from(highest)
        report = yield from glucose._ask(request, clock, None)
        return max(report.numbers, default=None)

    glucose.collect = collect  # type: ignore[assignment]


def any_clock_believed() -> None:
    from gateway.clock import Clock

    Clock.is_believable = lambda self: True  # type: ignore[method-assign]


def stored_record_trusted_as_live() -> None:
    from gateway import timing
    from vitals.reading import TimeQuality

    right = timing._by_the_record_alone

    def wrong(evidence: Any, wall: Any, zone: Any) -> Any:
        placed = right(evidence, wall, zone)
        if placed.time_quality is not TimeQuality.SUSPECT:
            return placed
        return timing.Placed(measured_at=evidence.received_at, time_quality=TimeQuality.TRUSTED)

    timing._by_the_record_alone = wrong


def sent_again_on_reconnect_only() -> None:
    from gateway.flights import Flights

    Flights.next_due_in_s = lambda self, now_s: None  # type: ignore[method-assign]
    Flights._is_due = lambda self, seq, now_s: seq not in self._flights  # type: ignore[method-assign]


def judged_since_the_newest() -> None:
    from server import ledger

    ledger.min = max  # type: ignore[attr-defined]


def late_readings_judged_as_new() -> None:
    from server.store import judging

    right = judging.take_due

    def wrong(conn: Any, patient_id: int) -> Any:
        taken = right(conn, patient_id)
        return taken and replace(taken, since=max(taken.since, taken.now - timedelta(hours=6)))

    judging.take_due = wrong


def due_deleted_beyond_those_taken() -> None:
    from server.store import judging

    statements: Mapping[str, bytes] = judging.SQL
    everything = (
        b"delete from due where patient_id in (select patient_id from due where due_id = any(%(due_ids)s::bigint[]))"
    )
    judging.SQL = {**statements, "forget_due": everything}  # type: ignore[misc]


ALL: Final = (
    Mistake(
        name="corrected-time-in-id",
        breaks="the corrected time is part of a reading's identity",
        switch_on=corrected_time_in_id,
    ),
    Mistake(
        name="numbers-trusted-after-battery",
        breaks="a glucometer is asked from the last number on, though its numbers have begun anew",
        switch_on=numbers_trusted_after_battery,
    ),
    Mistake(
        name="any-clock-believed",
        breaks="a gateway that has just booted in 1970 dates readings at once",
        switch_on=any_clock_believed,
    ),
    Mistake(
        name="sent-again-on-reconnect-only",
        breaks="what was lost on a standing connection is not sent again on it",
        switch_on=sent_again_on_reconnect_only,
    ),
    Mistake(
        name="judged-since-the-newest",
        breaks="a batch is judged from its newest reading on, not from its earliest",
        switch_on=judged_since_the_newest,
        trials=16,
    ),
    Mistake(
        name="late-readings-judged-as-new",
        breaks="judging looks six hours back, however late the readings are",
        switch_on=late_readings_judged_as_new,
        trials=16,
    ),
    Mistake(
        name="due-deleted-beyond-those-taken",
        breaks="a judging deletes what became due while it went on",
        switch_on=due_deleted_beyond_those_taken,
        trials=8,
    ),
    Mistake(
        name="stored-record-trusted-as-live",
        breaks="a stored record of a meter whose clock cannot be read is dated when it is read, and called trusted",
        switch_on=stored_record_trusted_as_live,
    ),
)
