"""Takes readings out of quarantine and in through the ledger's own door, once a person has bound their meter, or has said of
single ones whose they are: a guest's, or those of a user who had forgotten to choose a slot.

A reading that is still nobody's, or that cannot be read, stays where it is and costs the others nothing. Everything is in
the caller's transaction: a release that is killed has not happened, and one that is made again finds nothing to do.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import structlog

from server.arrivals import Candidate, Refused
from server.ledger import attribute, month_of
from server.store import intake, quarantine
from server.store.intake import Attributed, Binding, Fate
from server.store.postgres import Connection
from server.store.quarantine import Held
from server.store.quarantine_inbox import find_owner
from vitals.envelope import decode_stored_reading
from vitals.errors import MalformedError
from vitals.reading import Reading

_Sorted = tuple[list[tuple[Held, Attributed]], Counter[str]]
"""The rows that are somebody's, and why the others are not, counted."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a meter's waiting readings: how many were stored for each patient, were there already, or stay and why."""

    stored: Mapping[int, int]
    repeated: int
    left: Mapping[str, int]

    @property
    def taken_in(self) -> int:
        return sum(self.stored.values())

    @property
    def stay(self) -> int:
        return sum(self.left.values())

    @property
    def is_empty(self) -> bool:
        return not (self.stored or self.repeated or self.left)


def preview(conn: Connection, *, meter_id: str) -> Outcome:
    """What `release` would find by the bindings as they are; changes nothing. What came another way counts as to be stored."""
    ours, left = _sort_out(conn, meter_id, None)
    return Outcome(stored=Counter(row.patient_id for _, row in ours), repeated=0, left=left)


def release(conn: Connection, *, meter_id: str, user_slot: int | None, by: str) -> Outcome:
    """Store what is somebody's by now, for the judges to judge; `user_slot` `None`: of every slot. `by`: the login who asks."""
    outcome = _take_in(conn, *_sort_out(conn, meter_id, user_slot), by=by)
    log.info("quarantine_released", meter_id=meter_id, by=by, stored=outcome.taken_in, left=outcome.stay)
    return outcome


def release_these(conn: Connection, *, quarantine_ids: Sequence[int], by: str) -> Outcome:
    """As `release`, of single rows: store those of them that are somebody's by the bindings as they are."""
    held = quarantine.take_these(conn, quarantine_ids)
    bindings = intake.bindings_of(conn, {row.meter_id for row in held})
    sorted_out = _sorted(held, lambda reading: bindings.get(reading.meter_id, ()), intake.transaction_time(conn))
    outcome = _take_in(conn, *sorted_out, by=by)
    log.info("quarantine_released", rows=len(quarantine_ids), by=by, stored=outcome.taken_in, left=outcome.stay)
    return outcome


def assign(conn: Connection, *, quarantine_ids: Sequence[int], patient_id: int, enrolled_on: date, by: str) -> Outcome:
    """Store these as this patient's, because a person says so; `by`: the login who says it. No meter is bound by it.

    A number of what is no reading without an owner is in none of the outcome's counts. Of a patient who has not agreed to be
    watched nothing is taken in.
    """
    owner = find_owner(conn, patient_id)
    is_watched = owner is not None and owner.standing == "active"

    def as_said(reading: Reading) -> Sequence[Binding]:
        said = Binding(
            meter_id=reading.meter_id,
            user_slot=reading.user_slot,
            gateway_id=reading.gateway_id,
            patient_id=patient_id,
            valid_from=reading.measured_at,
            valid_to=None,
            enrolled_on=enrolled_on,
            is_watched=is_watched,
        )
        return (said,)

    held = quarantine.take_these(conn, quarantine_ids)
    outcome = _take_in(conn, *_sorted(held, as_said, intake.transaction_time(conn)), by=by)
    log.info("quarantine_assigned", by=by, stored=outcome.taken_in, left=outcome.stay)
    return outcome


def _take_in(conn: Connection, ours: Sequence[tuple[Held, Attributed]], left: Counter[str], *, by: str) -> Outcome:
    """Store what is somebody's, once, and settle the accounts."""
    intake.make_room(conn, {month_of(row.reading.measured_at) for _, row in ours})
    fates = intake.store_readings(conn, [row for _, row in ours])
    released = {
        held.quarantine_id: fate
        for (held, _), fate in zip(ours, fates, strict=True)
        if fate in (Fate.STORED, Fate.REPEATED)
    }
    quarantine.mark_released(conn, released, by=by)
    _settle_accounts(conn, [held for held, _ in ours], released)
    stored = [row for (_, row), fate in zip(ours, fates, strict=True) if fate is Fate.STORED]
    intake.mark_due(conn, _since(stored), quiet=False)
    left += Counter(fate.value for fate in fates if fate in (Fate.COLLISION, Fate.POISON))
    return Outcome(
        stored=Counter(row.patient_id for row in stored),
        repeated=fates.count(Fate.REPEATED),
        left=left,
    )


def _sort_out(conn: Connection, meter_id: str, user_slot: int | None) -> _Sorted:
    """By the bindings of the meter as they are."""
    held = quarantine.take_held(conn, meter_id=meter_id, user_slot=user_slot)
    bindings = intake.bindings_of(conn, {meter_id}).get(meter_id, ())
    return _sorted(held, lambda _: bindings, intake.transaction_time(conn))


def _sorted(held: Sequence[Held], bindings_for: Callable[[Reading], Sequence[Binding]], now: datetime) -> _Sorted:
    ours: list[tuple[Held, Attributed]] = []
    left: Counter[str] = Counter()
    for row in held:
        match _attribute(row, bindings_for, now):
            case Attributed() as attributed:
                ours.append((row, attributed))
            case str() as why:
                left[why] += 1
    return ours, left


def _attribute(held: Held, bindings_for: Callable[[Reading], Sequence[Binding]], now: datetime) -> Attributed | str:
    """Whose this reading is, or why it stays."""
    try:
        reading = decode_stored_reading(held.raw)
    except MalformedError as fault:
        return f"cannot be read ({fault.reason})"
    if (reading.meter_id, reading.gateway_id) != (held.meter_id, held.gateway_id):
        return "is not what its row says"
    theirs = attribute(Candidate(seq=held.seq, reading=reading, sent=held.raw), bindings_for(reading), now)
    return theirs.detail if isinstance(theirs, Refused) else theirs


def _settle_accounts(conn: Connection, held: Sequence[Held], released: Mapping[int, Fate]) -> None:
    """Move what was released from `quarantined` to `stored` or `repeated`; nothing was received."""
    stored = Counter(row.gateway_id for row in held if released.get(row.quarantine_id) is Fate.STORED)
    repeated = Counter(row.gateway_id for row in held if released.get(row.quarantine_id) is Fate.REPEATED)
    moved = stored + repeated
    if moved:
        intake.count(conn, [(each, 0, stored[each], repeated[each], -n) for each, n in sorted(moved.items())])


def _since(stored: Sequence[Attributed]) -> dict[int, datetime]:
    """For each patient the earliest instant whose judgement may have changed."""
    since: dict[int, datetime] = {}
    for row in stored:
        since[row.patient_id] = min(row.reading.measured_at, since.get(row.patient_id, row.reading.measured_at))
    return since
