"""What the oracle is told of patients of whom nothing comes: made out from the single facts, not by the judge's statement."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from server.oracle import marks
from server.oracle.shapes import OracleReading
from server.store.absences import WAITS_FOR
from server.store.postgres import Connection, load_sql
from server.store.quarantine import WANTING_AN_OWNER

_SQL: Final = load_sql("recompute")

Span = tuple[datetime, datetime | None]
"""From when to when; None: still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absences:
    """Of one patient, as `OraclePatient` has them."""

    last_counted_before: datetime | None
    unheard: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binding:
    gateway_id: str
    meter_id: str
    span: Span


def absences_of(
    conn: Connection,
    enrolled: Mapping[int, date],
    loaded_from: Mapping[int, datetime],
    judged_from: Mapping[int, datetime],
    readings: Mapping[int, Sequence[OracleReading]],
) -> dict[int, Absences]:
    """For each of `enrolled`, with the readings from `loaded_from` on. One there before `judged_from` is enough."""
    wanting = {
        patient_id: since
        for patient_id, since in loaded_from.items()
        if not any(_counts(each, judged_from[patient_id]) for each in readings.get(patient_id, ()))
    }
    asked = {"patient_ids": list(wanting), "since": list(wanting.values())}
    last: dict[int, datetime] = dict(conn.execute(_SQL["last_counted"], asked).fetchall())
    bindings: dict[int, list[_Binding]] = defaultdict(list)
    for patient_id, gateway_id, meter_id, begin, end in conn.execute(_SQL["bindings"], {"patient_ids": list(enrolled)}):
        bindings[patient_id].append(_Binding(gateway_id=gateway_id, meter_id=meter_id, span=(begin, end)))
    heard = _Hearing(conn, [each for theirs in bindings.values() for each in theirs])
    found = {}
    for patient_id, enrolled_on in enrolled.items():
        since = loaded_from[patient_id]
        if patient_id in wanting:
            since = min(since, last.get(patient_id) or datetime.combine(enrolled_on, time(), UTC) - timedelta(days=1))
        spans = (*heard.without(bindings[patient_id]), *_between(bindings[patient_id], since))
        found[patient_id] = Absences(
            last_counted_before=last.get(patient_id),
            unheard=tuple(span for span in spans if span[1] is None or span[1] > since),
        )
    return found


def _counts(reading: OracleReading, until: datetime) -> bool:
    return reading.measured_at <= until and reading.time_quality != "orphan" and marks.by_itself(reading) == "accepted"


class _Hearing:
    """What kept gateways and meters from being heard, by their names."""

    def __init__(self, conn: Connection, bindings: Iterable[_Binding]) -> None:
        asked = {
            "gateway_ids": sorted({each.gateway_id for each in bindings}),
            "meter_ids": sorted({each.meter_id for each in bindings}),
            "reasons": list(WANTING_AN_OWNER),
        }
        self._everybody: list[Span] = []
        self._by_gateway: dict[str, list[Span]] = defaultdict(list)
        self._held_at: dict[str, list[Span]] = defaultdict(list)
        self._held_of: dict[str, list[Span]] = defaultdict(list)
        for subject, begin, end in conn.execute(_SQL["deaf"], asked):
            (self._by_gateway[subject] if subject else self._everybody).append((begin, end))
        for gateway_id, state, enrolled_at, first_at, last_at in conn.execute(_SQL["doors"], asked):
            self._by_gateway[gateway_id].append((enrolled_at, first_at))
            if state != "active":
                self._by_gateway[gateway_id].append((last_at or enrolled_at, None))
        for gateway_id, meter_id, received_at, resolved_at in conn.execute(_SQL["ownerless"], asked):
            until = received_at + WAITS_FOR
            span = (received_at, until if resolved_at is None else min(until, resolved_at))
            self._held_at[gateway_id].append(span)
            self._held_of[meter_id].append(span)

    def without(self, bindings: Sequence[_Binding]) -> Iterable[Span]:
        """When nothing of somebody with these bindings could be heard, though there was a meter."""
        yield from self._everybody
        for each in bindings:
            for span in self._by_gateway[each.gateway_id]:
                yield from _common(span, each.span)
        for gateway_id in {each.gateway_id for each in bindings}:
            yield from self._held_at[gateway_id]
        for meter_id in {each.meter_id for each in bindings}:
            yield from self._held_of[meter_id]


def _common(one: Span, other: Span) -> Iterable[Span]:
    begin = max(one[0], other[0])
    ends = [end for end in (one[1], other[1]) if end is not None]
    end = min(ends) if ends else None
    if end is None or begin < end:
        yield begin, end


def _between(bindings: Iterable[_Binding], since: datetime) -> Iterable[Span]:
    """From `since` on, the times in which no meter was bound."""
    free_from: datetime | None = since
    for begin, end in sorted((each.span for each in bindings), key=lambda span: span[0]):
        if free_from is None:
            return
        if begin > free_from:
            yield free_from, begin
        free_from = None if end is None else max(free_from, end)
    if free_from is not None:
        yield free_from, None
