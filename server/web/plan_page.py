"""`/p/{patient_id}/plan`: what was agreed with one patient, how it is kept, and the next version of it. One ordinary form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import FormData

from server.people import plans
from server.people.door import Caller, SignedIn, check_form
from server.people.errors import DecisionConflictError, NotAClinicianError, NotOnPanelError, StaleVersionError
from server.people.follow_ups import CLINICIANS
from server.people.plans import NO_PLAN, Setting, check_reason
from server.rules.keeping import Kept
from server.rules.occasions import Occasion
from server.rules.plans import EMPTY, WEEK, Block, Measure, Medicine, Plan, plan_templates, read_plan, silent_days
from server.store import plans as store
from server.store import thresholds, worklist
from server.store.postgres import transaction
from server.web.record_pages import PatientId
from server.web.rendering import render, words_of
from server.web.rows import ASSESSED_FOR
from server.web.words import KINDS, Words, mark
from vitals.errors import MalformedError

router: Final = APIRouter(prefix="/p/{patient_id}/plan", include_in_schema=False)

KEPT_DAYS: Final = 30
SPARE_ROWS: Final = 2
REASON_MAX: Final = 500

WEEKDAYS: Final = (mark("Mon"), mark("Tue"), mark("Wed"), mark("Thu"), mark("Fri"), mark("Sat"), mark("Sun"))
WHATS: Final[Mapping[str, str]] = {
    "measure:blood_pressure": mark("Measure blood pressure"),
    "measure:glucose:fasting": mark("Measure glucose, fasting"),
    "measure:glucose:before_meal": mark("Measure glucose, before a meal"),
    "measure:glucose:after_meal": mark("Measure glucose, after a meal"),
    "measure:glucose:bedtime": mark("Measure glucose, at bedtime"),
    "measure:glucose": mark("Measure glucose"),
    "measure:weight": mark("Weigh oneself"),
    "measure:oxygen_saturation": mark("Measure oxygen"),
    "measure:temperature": mark("Measure temperature"),
    "block:blood_pressure": mark("Week of blood pressure before a visit"),
    "medicine": mark("Take a medicine"),
}
"""What a line of a plan can ask for, by the code of the form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the form, as it is filled in."""

    what: str
    at: str
    weekdays: tuple[int, ...]
    readings: int
    name: str
    dose: str
    before: str


async def _posted(request: Request) -> FormData:
    return await request.form()


@router.get("")
def show_plan(
    caller: SignedIn,
    request: Request,
    patient_id: PatientId,
    template: Annotated[str, Query(max_length=64, pattern=r"^[a-z0-9-]*$")] = "",
) -> Response:
    return _page(caller, request, patient_id, template=template)


@router.post("")
def set_plan(
    caller: SignedIn, request: Request, patient_id: PatientId, form: Annotated[FormData, Depends(_posted)]
) -> Response:
    """The whole plan as the form says it; lines that ask for nothing are left out."""
    check_form(caller, request, _text(form, "csrf_token"))
    words = words_of(request, caller)
    rows = _rows_of(form)
    try:
        reason = _text(form, "reason").strip()
        check_reason(reason)
        setting = Setting(
            patient_id=patient_id,
            version=int(_text(form, "if_match") or 0),
            plan=_plan_of(form, rows),
            reason=reason[:REASON_MAX],
            user_id=caller.user_id,
            login=caller.session.login,
            role=caller.session.role,
            now=caller.now,
        )
        plans.set_plan(caller.pool, setting)
    except NotAClinicianError:
        told = words.say("Nothing was changed: only a doctor or a nurse agrees a plan.")
        return _page(caller, request, patient_id, told=told, status=403)
    except (StaleVersionError, DecisionConflictError):
        told = words.say("Nothing was changed: somebody else has decided, or it is so already. This is how it is now.")
        return _page(caller, request, patient_id, told=told, status=412)
    except (MalformedError, ValueError) as e:
        is_silent = isinstance(e, MalformedError) and e.reason == "reason"
        told = (
            words.say("Nothing was changed: say why, in a few words.")
            if is_silent
            else words.say(
                "Nothing was changed: write times as 07:30, with a space between them, and earlier ones first."
            )
        )
        return _page(caller, request, patient_id, told=told, status=422, filled=rows)
    return RedirectResponse(f"/p/{patient_id}/plan", status_code=303)


def _page(
    caller: Caller,
    request: Request,
    patient_id: int,
    *,
    template: str = "",
    told: str = "",
    status: int = 200,
    filled: Sequence[Row] | None = None,
) -> Response:
    words = words_of(request, caller)
    with transaction(caller.pool) as conn:
        patient = worklist.find_panel_patient(
            conn, patient_id, user_id=caller.user_id, since=caller.now - ASSESSED_FOR, now=caller.now
        )
        if patient is None:
            raise NotOnPanelError("no such patient")
        versions = store.list_versions(conn, patient_id)
        kept = plans.kept_by(conn, patient_id, since=caller.now - timedelta(days=KEPT_DAYS), now=caller.now)
        ahead = plans.occasions_of(conn, patient_id, begin=caller.now, end=caller.now + timedelta(days=1))
        own = next(iter(thresholds.list_versions(conn, patient_id, rule_id=plans.SILENCE_RULE)), None)
        unread = worklist.count_unread(conn, user_id=caller.user_id)
    plan = versions[0].plan if versions else EMPTY
    chosen = next((each.plan for each in plan_templates() if each.id == template), None)
    edited = chosen or plan
    rows = [*(filled if filled is not None else map(_row, edited.items))]
    silent = silent_days(plan)
    return render(
        request,
        "plan.html",
        words,
        caller=caller,
        status=status,
        unread=unread,
        told=told,
        patient=patient,
        plan=plan,
        edited=edited,
        is_template=chosen is not None,
        agreed=[_say_item(item, words) for item in plan.items],
        versions=versions,
        version=versions[0].version if versions else NO_PLAN,
        silent=silent if silent and own and own.reason.startswith(plans.REASON) else None,
        kept=_say_kept(kept, words),
        points=kept.points,
        streak=kept.streak_days,
        kept_days=KEPT_DAYS,
        ahead=[_say_occasion(each, words) for each in ahead],
        templates=sorted(plan_templates(), key=lambda each: not each.fits(patient.conditions)),
        rows=[*rows, *(EMPTY_ROW for _ in range(SPARE_ROWS))],
        WHATS=WHATS,
        WEEKDAYS=WEEKDAYS,
        may_decide=caller.session.role in CLINICIANS,
        reason_max=REASON_MAX,
    )


EMPTY_ROW: Final = Row(what="", at="", weekdays=WEEK, readings=1, name="", dose="", before="")


def _row(item: Measure | Block | Medicine) -> Row:
    match item:
        case Measure():
            what = ":".join(("measure", item.of, *((item.slot,) if item.slot else ())))
        case Block():
            what = f"block:{item.of}"
        case _:
            what = "medicine"
    return Row(
        what=what,
        at=" ".join(item.at),
        weekdays=WEEK if isinstance(item, Block) else item.weekdays,
        readings=1 if isinstance(item, Medicine) else item.readings,
        name=item.name if isinstance(item, Medicine) else "",
        dose=item.dose if isinstance(item, Medicine) else "",
        before=item.before.isoformat() if isinstance(item, Block) else "",
    )


def _rows_of(form: FormData) -> list[Row]:
    """The lines of the form that ask for something."""
    count = min(int(_text(form, "rows") or 0), 40)
    return [
        Row(
            what=_text(form, f"what_{n}"),
            at=_text(form, f"at_{n}"),
            weekdays=tuple(int(str(day)) for day in form.getlist(f"day_{n}") if str(day).isdigit()),
            readings=int(_text(form, f"readings_{n}") or 1),
            name=_text(form, f"name_{n}"),
            dose=_text(form, f"dose_{n}"),
            before=_text(form, f"before_{n}"),
        )
        for n in range(count)
        if _text(form, f"what_{n}") in WHATS
    ]


def _plan_of(form: FormData, rows: Sequence[Row]) -> Plan:
    """Raises `MalformedError` for what is no plan."""
    every = _text(form, "call_every_days")
    return read_plan(
        {
            "items": [_written(row) for row in rows],
            "phase": _text(form, "phase") or None,
            "call_every_days": int(every) if every else None,
            "reminders_a_day": int(_text(form, "reminders_a_day") or 0),
        }
    )


def _written(row: Row) -> dict[str, Any]:
    kind, *rest = row.what.split(":")
    at = row.at.replace("，", " ").replace(",", " ").replace("：", ":").split()
    match kind:
        case "medicine":
            return {
                "kind": kind,
                "name": row.name.strip(),
                "dose": row.dose.strip(),
                "at": at,
                "weekdays": row.weekdays,
            }
        case "block":
            return {"kind": kind, "of": rest[0], "before": row.before, "at": at, "readings": row.readings}
    slot = {"slot": rest[1]} if len(rest) > 1 else {}
    return {"kind": kind, "of": rest[0], "at": at, "weekdays": row.weekdays, "readings": row.readings, **slot}


def _say_item(item: Measure | Block | Medicine, words: Words) -> str:
    what = words.say(WHATS[_row(item).what])
    at = words.listed(list(item.at))
    match item:
        case Block():
            return words.say("%(what)s on %(day)s: %(at)s", what=what, day=words.day(item.before), at=at)
        case Medicine():
            named = " ".join(filter(None, (item.name, item.dose)))
            return words.say(
                "%(what)s: %(named)s, %(days)s, %(at)s", what=what, named=named, days=_days(item, words), at=at
            )
    times = words.count("%(n)s reading each time", "%(n)s readings each time", item.readings)
    return words.say("%(what)s, %(days)s, %(at)s, %(times)s", what=what, days=_days(item, words), at=at, times=times)


def _days(item: Measure | Medicine, words: Words) -> str:
    if item.weekdays == WEEK:
        return words.say("every day")
    return words.listed([words.say(WEEKDAYS[day - 1]) for day in item.weekdays])


def _say_occasion(occasion: Occasion, words: Words) -> str:
    what = words.among(WHATS, "medicine") if occasion.kind == "medicine" else words.among(KINDS, occasion.of)
    return f"{occasion.clock} {what}"


def _say_kept(kept: Kept, words: Words) -> str:
    if kept.share is None:
        return words.say("Nothing planned is over yet.")
    said = words.say(
        "%(measured)s of %(planned)s planned times were measured",
        measured=words.number(kept.measured),
        planned=words.number(kept.planned - kept.unknown),
    )
    if not kept.unknown:
        return said
    return said + words.count(
        "; of %(n)s more nobody knows, for the home could not be heard",
        "; of %(n)s more nobody knows, for the home could not be heard",
        kept.unknown,
    )


def _text(form: FormData, name: str) -> str:
    found = form.get(name)
    return found if isinstance(found, str) else ""
