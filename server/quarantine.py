"""The quarantine inbox: what one person sees of what was set aside, and what that person makes of it.

A clinician sees what patients of the panel may have measured; what was measured, only if nobody else can have. Whoever runs the
house sees what is nobody's, and never a value. Every deed is one transaction in which the rows are locked and looked at again, so
that of two people one wins and the other is told; said again by the same person, it changes nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from enum import StrEnum
from typing import Final

from server import release as releasing
from server.people import panels
from server.people.door import Caller
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError
from server.release import Outcome
from server.store import audit, enrolment, intake, quarantine
from server.store import quarantine_inbox as store
from server.store.postgres import Connection, in_transaction, transaction
from server.store.quarantine import RELEASABLE
from server.store.quarantine_inbox import Owner, Row
from vitals.envelope import decode_stored_reading
from vitals.errors import MalformedError
from vitals.reading import Reading

AT_ONCE_MAX: Final = 500
"""Rows that one deed may name, and that a list holds at most."""

CLINICIANS: Final = frozenset({"doctor", "nurse"})
FOR_LATER: Final = frozenset({"schema_newer", "kind_newer"})
"""What a later build reads (`server quarantine replay`): it must not be set aside for good."""

NOTHING: Final = Outcome(stored={}, repeated=0, left={})
_WHAT: Final = "reading in quarantine"


class Reason(StrEnum):
    """Why a row is set aside for good."""

    NOT_A_PATIENT = "not_a_patient"
    TRIAL = "trial"
    METER_PROBLEM = "meter_problem"
    UNREADABLE = "unreadable"
    SETTLED = "settled"


Slot = tuple[str, str | None, int | None]
"""Gateway, meter and user slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What somebody sees. `readings`: what was measured, of those rows of which that person may know it."""

    rows: Sequence[Row]
    next_before: int | None
    """Where older ones begin; None where there are none."""
    readings: Mapping[int, Reading] = field(default_factory=dict)
    bound: frozenset[Slot] = frozenset()
    """Slots that are somebody's by now, in the homes where they were read: what waits of them can be released."""

    @property
    def shown_of(self) -> frozenset[int]:
        """The patients of whom a value may be shown by it."""
        return frozenset(each for row in self.rows if row.quarantine_id in self.readings for each in row.near)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """That this slot of this meter, in the home of this gateway, is this patient's: since when, or from the first that waits."""

    gateway_id: str
    meter_id: str
    user_slot: int | None
    patient_id: int
    since: datetime | None = None


def see(caller: Caller, *, is_set_aside: bool = False, limit: int = AT_ONCE_MAX, before: int | None = None) -> Seen:
    """The newest first: what waits, or what was set aside for good."""
    if caller.session.role not in CLINICIANS:
        with transaction(caller.house) as conn:
            rows = store.list_of_nobody(conn, is_set_aside=is_set_aside, limit=limit + 1, before=before)
        return Seen(rows=rows[:limit], next_before=_next(rows, limit))
    with transaction(caller.house) as conn:
        rows = store.list_seen(conn, user_id=caller.user_id, is_set_aside=is_set_aside, limit=limit + 1, before=before)
    shown = _within_the_walls(caller, [row.quarantine_id for row in rows])
    found = [row for row in rows[:limit] if row.quarantine_id in shown]
    with transaction(caller.house) as conn:
        readings = _readings(conn, found, user_id=caller.user_id)
        bound = intake.bindings_of(conn, {row.meter_id for row in found if row.meter_id is not None})
    slots = frozenset((each.gateway_id, each.meter_id, each.user_slot) for some in bound.values() for each in some)
    return Seen(rows=found, next_before=_next(rows, limit), readings=readings, bound=slots)


def assign(caller: Caller, quarantine_ids: Sequence[int], *, patient_id: int) -> Outcome:
    """Take them in as this patient's, because the caller knows who measured. Binds no meter.

    Raises `NotAClinicianError`, `NotOnPanelError`, `DecisionConflictError`.
    """
    _check_clinician(caller)
    _check_walls(caller, quarantine_ids)

    def work(conn: Connection) -> Outcome:
        owner = _owner(conn, caller, patient_id)
        rows = _locked(conn, caller, quarantine_ids)
        if _are_done(rows, caller, lambda row: row.released_as is not None):
            return NOTHING
        _check_releasable(rows)
        outcome = releasing.assign(
            conn,
            quarantine_ids=[row.quarantine_id for row in rows],
            patient_id=patient_id,
            enrolled_on=owner.enrolled_on,
            by=caller.session.login,
        )
        _note(conn, caller, "quarantine.assign", rows, patient_id=patient_id, taken_in=outcome.taken_in)
        return outcome

    return in_transaction(caller.house, work)


def release(caller: Caller, quarantine_ids: Sequence[int]) -> Outcome:
    """Take in those of them that are somebody's by now, as the bindings say. Raises as `assign`."""
    _check_clinician(caller)
    _check_walls(caller, quarantine_ids)

    def work(conn: Connection) -> Outcome:
        rows = _locked(conn, caller, quarantine_ids)
        if _are_done(rows, caller, lambda row: row.released_as is not None):
            return NOTHING
        _check_releasable(rows)
        outcome = releasing.release_these(
            conn, quarantine_ids=[row.quarantine_id for row in rows], by=caller.session.login
        )
        for patient_id, taken_in in sorted(outcome.stored.items()):
            _note(conn, caller, "quarantine.release", rows, patient_id=patient_id, taken_in=taken_in)
        if not outcome.stored:
            _note(conn, caller, "quarantine.release", rows, taken_in=0)
        return outcome

    return in_transaction(caller.house, work)


def bind(caller: Caller, wish: Binding) -> Outcome:
    """State whose the meter is, and take in what it measured since, in one. Said again, it takes in what came meanwhile.

    Raises `NotOnPanelError` (nothing of it waits that the caller sees, or no such patient), `DecisionConflictError` (somebody
    else's meter, a gateway that is not listened to), `MalformedError` (`since`).
    """
    ids = _waiting(caller, wish)

    def work(conn: Connection) -> Outcome:
        owner = _owner(conn, caller, wish.patient_id)
        in_force = enrolment.lock_bindings(conn, wish.meter_id)
        mine = next((each for each in in_force if each.user_slot == wish.user_slot), None)
        rows = [row for row in _seen(conn, caller, ids) if row.resolved_at is None]
        if not rows:
            if mine is None or (mine.patient_id, mine.gateway_id) != (wish.patient_id, wish.gateway_id):
                raise NotOnPanelError("nothing of this meter waits in quarantine")
            return NOTHING
        if mine is not None and mine.patient_id != wish.patient_id:
            raise DecisionConflictError("somebody else's: its binding must be ended first", what="meter")
        _check_gateway(conn, wish.gateway_id)
        since = wish.since or _first_of(conn, [row.quarantine_id for row in rows], owner, caller.now)
        if since > caller.now:
            raise MalformedError("since", "a binding states what is so; it cannot begin in the future")
        _bind(conn, wish, since=since, by=caller.session.login)
        outcome = releasing.release_these(
            conn, quarantine_ids=[row.quarantine_id for row in rows], by=caller.session.login
        )
        detail = {"gateway_id": wish.gateway_id, "user_slot": wish.user_slot, "since": since.isoformat()}
        audit.note(
            conn,
            actor=f"user:{caller.user_id}",
            act="meter.bind",
            at=caller.now,
            patient_id=wish.patient_id,
            subject=wish.meter_id,
            detail=detail,
        )
        _note(conn, caller, "quarantine.release", rows, patient_id=wish.patient_id, taken_in=outcome.taken_in)
        return outcome

    return in_transaction(caller.house, work)


def set_aside(caller: Caller, quarantine_ids: Sequence[int], *, reason: Reason) -> int:
    """They wait no longer, for good; they stay, counted as quarantined, and can be opened again. How many did until now."""
    _check_walls(caller, quarantine_ids)

    def work(conn: Connection) -> int:
        rows = _locked(conn, caller, quarantine_ids)
        if _are_done(rows, caller, lambda row: row.set_aside_as == reason):
            return 0
        if any(row.reason in FOR_LATER for row in rows):
            raise MalformedError(
                "reason", "what a newer gateway sent can be read after an upgrade of the server: it waits"
            )
        n = store.set_aside(
            conn,
            [row.quarantine_id for row in rows],
            reason=reason,
            by=caller.session.login,
            now=caller.now,
        )
        _note(conn, caller, "quarantine.set_aside", rows, reason=reason.value)
        return n

    return in_transaction(caller.house, work)


def open_again(caller: Caller, quarantine_ids: Sequence[int]) -> int:
    """What was set aside waits again. How many; what waits already is left as it is. Raises as `assign`."""
    _check_walls(caller, quarantine_ids)

    def work(conn: Connection) -> int:
        rows = _locked(conn, caller, quarantine_ids)
        if any(row.released_as is not None for row in rows):
            raise DecisionConflictError("a reading by now", what=_WHAT)
        closed = [row for row in rows if row.set_aside_as is not None]
        if closed:
            store.open_again(conn, [row.quarantine_id for row in closed])
            _note(conn, caller, "quarantine.open_again", closed)
        return len(closed)

    return in_transaction(caller.house, work)


# -- who may -----------------------------------------------------------------------------------------------------------


def _next(rows: Sequence[Row], limit: int) -> int | None:
    return rows[limit - 1].quarantine_id if len(rows) > limit else None


def _check_clinician(caller: Caller) -> None:
    if caller.session.role not in CLINICIANS:
        raise NotAClinicianError("only a doctor or a nurse says whose a reading is")


def _within_the_walls(caller: Caller, quarantine_ids: Collection[int]) -> frozenset[int]:
    with transaction(caller.pool) as conn:
        return store.visible(conn, quarantine_ids)


def _check_walls(caller: Caller, quarantine_ids: Sequence[int]) -> None:
    """The database's own answer, before the house does anything in the caller's name. Of nobody's rows it knows no panel."""
    assert len(quarantine_ids) <= AT_ONCE_MAX, len(quarantine_ids)
    if caller.session.role in CLINICIANS and not set(quarantine_ids) <= _within_the_walls(caller, quarantine_ids):
        raise NotOnPanelError("no such row in quarantine")


def _locked(conn: Connection, caller: Caller, quarantine_ids: Sequence[int]) -> Sequence[Row]:
    rows = _seen(conn, caller, quarantine_ids)
    if {row.quarantine_id for row in rows} != set(quarantine_ids):
        raise NotOnPanelError("no such row in quarantine")
    return rows


def _seen(conn: Connection, caller: Caller, quarantine_ids: Sequence[int]) -> Sequence[Row]:
    user_id = caller.user_id if caller.session.role in CLINICIANS else None
    return store.lock_seen(conn, sorted(set(quarantine_ids)), user_id=user_id)


def _are_done(rows: Sequence[Row], caller: Caller, is_this: Callable[[Row], bool]) -> bool:
    """Whether the caller has done this very thing already. Raises `DecisionConflictError` for what somebody has settled."""
    settled = [row for row in rows if row.resolved_at is not None]
    if not settled:
        return False
    if len(settled) == len(rows) and all(row.resolved_by == caller.session.login and is_this(row) for row in rows):
        return True
    names = ", ".join(sorted({row.resolved_by or "somebody" for row in settled}))
    raise DecisionConflictError(f"settled already, by {names}", what=_WHAT)


def _check_releasable(rows: Sequence[Row]) -> None:
    if any(row.reason not in RELEASABLE for row in rows):
        raise DecisionConflictError("none that waits for an owner", what=_WHAT)


def _owner(conn: Connection, caller: Caller, patient_id: int) -> Owner:
    """The patient whose it is to be. An admin names one by number and learns no more than that there is one."""
    if caller.session.role in CLINICIANS:
        panels.check_regular(conn, user_id=caller.user_id, patient_id=patient_id)
    owner = store.find_owner(conn, patient_id)
    if owner is None or owner.standing == "destroyed":
        raise NotOnPanelError("no such patient")
    if owner.standing != "active":
        raise DecisionConflictError("not watched: there is no consent", what="patient")
    return owner


def _check_gateway(conn: Connection, gateway_id: str) -> None:
    found = enrolment.list_gateways(conn, gateway_id)
    if not found or found[0].state != "active":
        raise DecisionConflictError(found[0].state if found else "not enrolled", what="gateway")


# -- what it needs -----------------------------------------------------------------------------------------------------


def _waiting(caller: Caller, wish: Binding) -> Sequence[int]:
    """What waits of that slot of that meter in that home; of a clinician, within the walls."""
    with transaction(caller.house) as conn:
        ids = store.waiting_of_slot(
            conn, gateway_id=wish.gateway_id, meter_id=wish.meter_id, user_slot=wish.user_slot, limit=AT_ONCE_MAX
        )
    if caller.session.role not in CLINICIANS:
        return ids
    shown = _within_the_walls(caller, ids)
    return [each for each in ids if each in shown]


def _bind(conn: Connection, wish: Binding, *, since: datetime, by: str) -> None:
    try:
        enrolment.bind_meter(
            conn,
            meter_id=wish.meter_id,
            user_slot=wish.user_slot,
            gateway_id=wish.gateway_id,
            patient_id=wish.patient_id,
            bound_by=by,
            now=since,
        )
    except MalformedError as e:  # its own words name the other patient
        raise MalformedError("since", "somebody else had this meter at that time; say a later one") from e


def _first_of(conn: Connection, quarantine_ids: Sequence[int], owner: Owner, now: datetime) -> datetime:
    """When the first of them was measured; but never before the patient's own first day, and never later than now."""
    measured = [reading.measured_at for reading in _opened(conn, quarantine_ids).values()]
    return min(max(min(measured, default=now), datetime.combine(owner.enrolled_on, time(), tzinfo=UTC)), now)


def _readings(conn: Connection, rows: Sequence[Row], *, user_id: int) -> Mapping[int, Reading]:
    """What was measured, of those rows that can be nobody's whom the user does not see."""
    found = _opened(conn, [row.quarantine_id for row in rows if row.is_whole and row.reason in store.OF_PERSONS])
    measured_at = {number: reading.measured_at for number, reading in found.items()}
    strangers = store.may_be_strangers(conn, measured_at, user_id=user_id) if found else frozenset()
    return {number: reading for number, reading in found.items() if number not in strangers}


def _opened(conn: Connection, quarantine_ids: Sequence[int]) -> Mapping[int, Reading]:
    found = {}
    for held in quarantine.raws(conn, quarantine_ids):
        try:
            reading = decode_stored_reading(held.raw)
        except MalformedError:
            continue
        if (reading.meter_id, reading.gateway_id) == (held.meter_id, held.gateway_id):
            found[held.quarantine_id] = reading
    return found


def _note(
    conn: Connection, caller: Caller, act: str, rows: Sequence[Row], *, patient_id: int | None = None, **facts: object
) -> None:
    numbers = [row.quarantine_id for row in rows]
    audit.note(
        conn,
        actor=f"user:{caller.user_id}",
        act=act,
        at=caller.now,
        patient_id=patient_id,
        subject=str(min(numbers)),
        detail={"quarantine_ids": numbers, **facts},
    )
