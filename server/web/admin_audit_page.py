"""`/admin/audit`: who did what, who looked at whose record, and how far that is proved, for auditors. No value is shown.

What an auditor looks at here is written down, too.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from server.people import users
from server.people.door import Caller, SignedIn
from server.people.looks import looked_at
from server.store import alarms, audit, audit_chain
from server.store.alarms import AlarmKind
from server.store.audit import Asked, Entry, Viewer
from server.store.postgres import Connection, transaction
from server.store.users import Wanted
from server.web.audit_words import AREAS, say_about, say_act, say_detail
from server.web.house_times import HouseClock, house_clock, name_actor
from server.web.rendering import render, words_of

router: Final = APIRouter(prefix="/admin/audit", include_in_schema=False)

PAGE: Final = 50
ACCOUNTS_MAX: Final = 2000
WAITING: Final = 1000
"""Up to which it is counted what waits to be sealed."""

Number = Annotated[str, Query(max_length=19, pattern=r"^[0-9]*$")]
Day = Annotated[str, Query(max_length=10, pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """How far what was written down is proved. `receipts`: who outside has answered to the last anchor."""

    links: int
    sealed_at: datetime | None
    waiting: int
    anchored_at: datetime | None
    receipts: tuple[str, ...]
    unanchored_since: datetime | None
    is_changed: bool


@router.get("")
def show(
    caller: SignedIn,
    request: Request,
    who: Number = "",
    patient: Number = "",
    area: Annotated[str, Query(max_length=40)] = "",
    since: Day = "",
    until: Day = "",
    before: Number = "",
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.house) as conn:
        chain = _chain(conn)
        clock = house_clock(conn, words)
        accounts = users.list_accounts(conn, Wanted(), now=caller.now, limit=ACCOUNTS_MAX)
        about = _number(patient)
        is_known = about is None or audit.has_patient(conn, about)
    first, last = _day(since), _day(until)
    asked = Asked(
        patient_id=about,
        actor=f"user:{int(who)}" if who else None,
        act=area if area in AREAS else None,
        since=_begin(first, clock),
        until=_begin(last + timedelta(days=1), clock) if last else None,
    )
    entries, viewers = _read(caller, asked, _number(before), is_known=is_known)
    if about is not None and is_known:
        looked_at(request, about)
    names = {each.user_id: each.display_name for each in accounts}
    kept = {"who": who, "patient": patient, "area": area, "since": since, "until": until}
    return render(
        request,
        "admin_audit.html",
        words,
        caller=caller,
        unread=0,
        chain=chain,
        clock=clock,
        now=caller.now,
        accounts=accounts,
        kept=kept,
        is_narrowed=any(kept.values()),
        entries=entries[:PAGE],
        more=entries[PAGE - 1].entry_id if len(entries) > PAGE else 0,
        is_known=is_known,
        about=about,
        viewers=viewers,
        AREAS=AREAS,
        actor=lambda each: name_actor(each, names, words),
        act=lambda each: say_act(each, words),
        subject=lambda each: say_about(each, names),
        detail=say_detail,
    )


def _read(caller: Caller, asked: Asked, before: int | None, *, is_known: bool) -> tuple[list[Entry], list[Viewer]]:
    """What fits, one more than a page; and who has looked at the record, where it is about one."""
    if not is_known:
        return [], []
    with transaction(caller.pool) as conn:
        entries = audit.list_entries(conn, asked, limit=PAGE + 1, before=before)
        viewers = audit.list_viewers(conn, asked.patient_id) if asked.patient_id is not None else ()
    return list(entries), list(viewers)


def _chain(conn: Connection) -> Chain:
    head, anchor = audit_chain.find_head(conn), audit_chain.last_anchor(conn)
    seals = audit_chain.list_seals(conn, first_seal=head.seal, limit=1) if head else ()
    receipts = audit_chain.list_receipts(conn, first=anchor.anchor) if anchor else ()
    return Chain(
        links=head.seq if head else 0,
        sealed_at=seals[0].at if seals else None,
        waiting=len(audit_chain.list_due(conn, limit=WAITING)),
        anchored_at=anchor.at if anchor else None,
        receipts=tuple(sorted({each.notary for each in receipts})),
        unanchored_since=audit_chain.unanchored_since(conn),
        is_changed=any(each.kind == AlarmKind.AUDIT_CHANGED for each in alarms.open_alarms(conn)),
    )


def _number(text: str) -> int | None:
    number = int(text) if text else 0
    return number if 0 < number < 2**63 else None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _begin(day: date | None, clock: HouseClock) -> datetime | None:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(clock.zone)) if day else None
