"""Gives each row of each message its fate (stored, repeated, quarantined) and its answer, inside one transaction.

Whose a reading is, a person has stated; nothing is guessed. A row that cannot be somebody's goes to quarantine with its
reason and raw bytes. No broker, no loop and no clock but the database's.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final

import structlog

from server.arrivals import Arrival, Candidate, Refused, refuse
from server.store import intake as store
from server.store import quarantine
from server.store.alarms import AlarmKind, raise_alarm
from server.store.enrolment import BEFORE_ENROLMENT
from server.store.intake import Attributed, Binding, Fate
from server.store.postgres import Connection
from server.store.quarantine import Detained
from vitals.envelope import Receipt, Rejection
from vitals.quality import grade

log = structlog.get_logger()

AHEAD: Final = timedelta(minutes=5)
"""A reading this far in the future is a wrong clock, not a reading (reliability: input limits)."""


@dataclass(slots=True, kw_only=True)
class _Ledger:
    """What one transaction decided, row by row, before it is written and answered."""

    arrivals: Sequence[Arrival]
    stored: list[Attributed] = field(default_factory=list)
    new: set[tuple[str, str, int]] = field(default_factory=set)  # gateway, epoch and seq of what is stored
    repeated: list[int] = field(default_factory=list)  # the arrival's index, once for each row
    refused: list[tuple[int, Refused]] = field(default_factory=list)


def commit_arrivals(conn: Connection, arrivals: Sequence[Arrival], *, quiet: bool) -> tuple[Receipt | None, ...]:
    """Write everything that follows from these messages; a receipt for each, or None where there is nothing to say."""
    ledger, known = _commit(conn, arrivals, quiet)
    store.note_heard(conn, known)
    store.forget_reused(conn, ledger.new)
    return _receipts(conn, ledger, known)


def commit_again(conn: Connection, arrivals: Sequence[Arrival]) -> Counter[str]:
    """Write what follows from messages that a gateway sent long ago and has been answered: it is not heard, and told nothing.

    Returns how many rows were `stored`, `repeated`, or refused, by reason. They count as received anew.
    """
    ledger, known = _commit(conn, arrivals, quiet=False)
    _receipts(conn, ledger, known)  # their numbers have come, whatever the receipt would say
    fates = Counter(row.reason for _, row in ledger.refused)
    return fates + Counter(stored=len(ledger.stored), repeated=len(ledger.repeated))


def _commit(conn: Connection, arrivals: Sequence[Arrival], quiet: bool) -> tuple[_Ledger, set[str]]:
    states = store.gateway_states(conn, {arrival.gateway_id for arrival in arrivals})
    ledger = _attribute_all(conn, [_checked(arrival, states) for arrival in arrivals])
    _write(conn, ledger, quiet)
    return ledger, {gateway_id for gateway_id, state in states.items() if state == "active"}


def _checked(arrival: Arrival, states: Mapping[str, str]) -> Arrival:
    """The arrival, refused as a whole if its gateway is not one that is listened to."""
    match states.get(arrival.gateway_id):
        case "active":
            return arrival
        case None:
            return arrival.refuse_all("unknown_gateway", "not enrolled")
        case state:
            return arrival.refuse_all("revoked", f"the gateway is {state}")


def _attribute_all(conn: Connection, arrivals: Sequence[Arrival]) -> _Ledger:
    """Give every row its fate; readings are stored here, so that a repeat or a poisonous row shows itself."""
    ledger = _Ledger(arrivals=arrivals)
    candidates = [(at, row) for at, each in enumerate(arrivals) for row in each.rows if isinstance(row, Candidate)]
    ledger.refused += [(at, row) for at, each in enumerate(arrivals) for row in each.rows if isinstance(row, Refused)]
    bindings = store.bindings_of(conn, {row.reading.meter_id for _, row in candidates})
    now = store.transaction_time(conn)
    found = [(at, row, attribute(row, bindings.get(row.reading.meter_id, ()), now)) for at, row in candidates]
    ledger.refused += [(at, theirs) for at, _, theirs in found if isinstance(theirs, Refused)]
    ours = [(at, row, theirs) for at, row, theirs in found if isinstance(theirs, Attributed)]
    store.make_room(conn, {month_of(theirs.reading.measured_at) for *_, theirs in ours})
    fates = store.store_readings(conn, [theirs for *_, theirs in ours])
    for (at, row, theirs), fate in zip(ours, fates, strict=True):
        match fate:
            case Fate.STORED:
                ledger.stored.append(theirs)
                if (epoch := arrivals[at].epoch) is not None:
                    ledger.new.add((arrivals[at].gateway_id, epoch, row.seq))
            case Fate.REPEATED:
                ledger.repeated.append(at)
            case Fate.COLLISION | Fate.POISON:
                ledger.refused.append((at, refuse(row, fate.value, f"reading {row.reading.reading_id}")))
                log.error("reading_refused", reason=fate.value, reading_id=str(row.reading.reading_id))
    return ledger


def attribute(row: Candidate, bindings: Sequence[Binding], now: datetime) -> Attributed | Refused:
    """Whose reading this is, by what a person has stated; or why it is nobody's. `bindings`: those of its meter."""
    reading = row.reading
    if not bindings:
        return refuse(row, "unknown_meter", "not bound to anybody")
    here = [binding for binding in bindings if binding.gateway_id == reading.gateway_id]
    if not here:
        return refuse(row, "binding_conflict", "the meter is bound in another home")
    mine = [binding for binding in here if binding.user_slot == reading.user_slot]
    if not mine:
        return refuse(row, "unmapped_slot", "this user slot of the meter is not bound to anybody")
    earliest = min(datetime.combine(binding.enrolled_on, time(), tzinfo=UTC) for binding in mine) - BEFORE_ENROLMENT
    if not earliest <= reading.measured_at <= now + AHEAD:
        return refuse(row, "time_implausible", "before the patient's time or in the future")
    then = [binding for binding in mine if binding.holds_at(reading.measured_at)]
    if not then:
        return refuse(row, "unknown_meter", "not bound to anybody at that time")
    if not then[-1].is_watched:
        return refuse(row, "no_consent", "the patient is not watched")
    quality, reasons = grade(reading.measurement)
    return Attributed(
        patient_id=then[-1].patient_id, reading=reading, sent=row.sent, quality=quality, quality_reasons=reasons
    )


def month_of(instant: datetime) -> datetime:
    """The start of the month for which storage must have room (`reading_make_room`)."""
    return instant.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _write(conn: Connection, ledger: _Ledger, quiet: bool) -> None:
    """Quarantine, due rows and accounts of what was decided."""
    detained = [(at, _detained(ledger.arrivals[at], row)) for at, row in ledger.refused]
    detention = quarantine.detain(conn, list({each.fingerprint: each for _, each in detained}.values()))
    _raise_alarms(conn, [each for _, each in detained if each.fingerprint in detention.new], detention.beyond)
    since: dict[int, datetime] = {}
    for each in ledger.stored:
        since[each.patient_id] = min(each.reading.measured_at, since.get(each.patient_id, each.reading.measured_at))
    store.mark_due(conn, since, quiet=quiet)
    store.count(conn, _accounts(ledger, detained, detention.new))


def _raise_alarms(conn: Connection, news: Sequence[Detained], beyond: Collection[bytes]) -> None:
    """Say what a person must look at, of rows that had not come before: a row that is sent again is no news."""
    found: dict[tuple[AlarmKind, str], str] = {}
    for row in news:
        if row.reason == "id_collision":
            found[AlarmKind.ID_COLLISION, row.meter_id or ""] = f"gateway {row.gateway_id}, {row.detail}"
        if row.reason == "binding_conflict":
            found[AlarmKind.BINDING_CONFLICT, row.meter_id or ""] = f"read at gateway {row.gateway_id}"
        if row.fingerprint in beyond:
            detail = f"{quarantine.ROWS_A_DAY} rows today, the last a {row.reason}: what comes now is only counted"
            found[AlarmKind.QUARANTINE_FULL, row.gateway_id] = detail
    impostors = {row.gateway_id for row in news if row.reason == "wrong_gateway"}
    for gateway_id in quarantine.suspend_impostors(conn, impostors) if impostors else ():
        found[AlarmKind.GATEWAY_SUSPENDED, gateway_id] = "spoke in another gateway's name"
    for (kind, subject), detail in sorted(found.items()):
        raise_alarm(conn, kind, subject=subject, detail=detail)


def _detained(arrival: Arrival, row: Refused) -> Detained:
    mark = f"{arrival.gateway_id}|{arrival.epoch}|{row.seq}|{row.reason}|".encode()
    return Detained(
        gateway_id=arrival.gateway_id,
        reason=row.reason,
        detail=row.detail.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:200],
        epoch=arrival.epoch,
        seq=row.seq,
        meter_id=row.meter_id,
        user_slot=row.user_slot,
        raw=row.kept,
        message_hash=arrival.message_hash,
        fingerprint=hashlib.sha256(mark + row.raw).digest(),
    )


def _accounts(
    ledger: _Ledger, detained: Sequence[tuple[int, Detained]], new: Collection[bytes]
) -> list[tuple[str, int, int, int, int]]:
    """`(gateway_id, received, stored, repeated, quarantined)`: received is counted from what came in, the rest from fates."""
    received: dict[str, int] = defaultdict(int)
    stored: dict[str, int] = defaultdict(int)
    repeated: dict[str, int] = defaultdict(int)
    quarantined: dict[str, int] = defaultdict(int)
    for arrival in ledger.arrivals:
        received[arrival.gateway_id] += len(arrival.rows)
    for row in ledger.stored:
        stored[row.reading.gateway_id] += 1
    for at in ledger.repeated:
        repeated[ledger.arrivals[at].gateway_id] += 1
    unseen = set(new)
    for _, each in detained:
        counter = quarantined if each.fingerprint in unseen else repeated
        unseen.discard(each.fingerprint)
        counter[each.gateway_id] += 1
    return [
        (gateway_id, n, stored[gateway_id], repeated[gateway_id], quarantined[gateway_id])
        for gateway_id, n in sorted(received.items())
    ]


def _receipts(conn: Connection, ledger: _Ledger, known: set[str]) -> tuple[Receipt | None, ...]:
    """Note which seqs are committed and answer each message. None to strangers, and where no epoch or seq can be read."""
    seqs = [_seqs(arrival) if arrival.gateway_id in known else set() for arrival in ledger.arrivals]
    committed: dict[tuple[str, str], set[int]] = defaultdict(set)
    for arrival, theirs in zip(ledger.arrivals, seqs, strict=True):
        if arrival.epoch is not None and theirs:
            committed[arrival.gateway_id, arrival.epoch] |= theirs
    upto = store.advance(conn, committed)
    rejected: dict[int, dict[int, str]] = defaultdict(dict)
    for at, row in ledger.refused:
        named = ledger.arrivals[at].answered if row.seq is None else (row.seq,)
        rejected[at] |= dict.fromkeys(named, row.reason)
    return tuple(
        _receipt(arrival.epoch, upto[arrival.gateway_id, arrival.epoch], theirs, rejected[at])
        if arrival.epoch is not None and theirs
        else None
        for at, (arrival, theirs) in enumerate(zip(ledger.arrivals, seqs, strict=True))
    )


def _seqs(arrival: Arrival) -> set[int]:
    return {row.seq for row in arrival.rows if row.seq is not None} | set(arrival.answered)


def _receipt(epoch: str, upto: int, seqs: set[int], rejected: Mapping[int, str]) -> Receipt:
    return Receipt(
        epoch=epoch,
        upto=upto,
        extra=tuple(sorted(seq for seq in seqs if seq > upto)),
        rejected=tuple(Rejection(seq=seq, reason=reason) for seq, reason in sorted(rejected.items())),
    )
