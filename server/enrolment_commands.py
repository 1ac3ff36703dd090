"""`python -m server gateway|patient|meter`: who is watched, with what, through which gateway, for whoever runs the clinic.

What is said here is a statement of a person, who is named; nothing is guessed, and nobody's past is rewritten. A refusal
says what to do instead.
"""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import typer

from server import clock
from server.terminal import RefusedError, fail, in_database, note_deed, print_json
from vitals.reading import Identifier

if TYPE_CHECKING:
    from server.release import Outcome
    from server.store.enrolment import BoundMeter, Gateway
    from server.store.people import User
    from server.store.postgres import Connection

Language = Literal["zh", "en"]
Sex = Literal["female", "male"]


def _commands(help_: str) -> typer.Typer:
    return typer.Typer(
        help=help_, no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )


gateways = _commands("The boxes in homes. What a gateway sends is taken in only while it is active.")
patients = _commands("The people who are watched.")
meters = _commands("Whose a meter is. What a meter measures that is nobody's goes to quarantine.")


# What is said on the command line, looked at before anything is opened.


def checked_name(text: str) -> str:
    """The name of a gateway or a meter; a Bluetooth address is meant in capitals, as gateways write it."""
    if re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", text):
        return text.upper()
    try:
        return msgspec.convert(text, Identifier)
    except msgspec.ValidationError as e:
        raise typer.BadParameter(f"{text!r}: 1 to 64 letters, digits, and : . _ - after the first") from e


def checked_zone(text: str | None) -> str | None:
    """The name of a time zone, where one is given."""
    if text is None:
        return None
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise typer.BadParameter(f"{text!r} is not an IANA time zone such as Asia/Shanghai") from e
    return text


def checked_reason(text: str) -> str:
    """Why something is done, in a few words."""
    if not text.strip() or not text.isprintable() or len(text) > 200:
        raise typer.BadParameter("1 to 200 characters that can be printed")
    return text.strip()


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 100:
        raise typer.BadParameter("1 to 100 characters that can be printed")
    return text.strip()


def _phone(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"[0-9+() -]{3,32}", text):
        raise typer.BadParameter("3 to 32 digits, and + ( ) - or spaces between them")
    return text


def _conditions(codes: Sequence[str] | None) -> list[str]:
    for code in codes or ():
        if not re.fullmatch(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?", code):
            raise typer.BadParameter(f"{code!r} is not an ICD-10 code such as I10 or E11.9")
    return list(dict.fromkeys(codes or ()))


def _instant(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as e:
        raise typer.BadParameter(f"{text!r} is not an ISO 8601 time such as 2026-11-21T07:05+08:00") from e


GatewayArgument = Annotated[str, typer.Argument(callback=checked_name, metavar="ID", help="The gateway's name.")]
MeterArgument = Annotated[
    str,
    typer.Argument(callback=checked_name, metavar="METER_ID", help="The Bluetooth address that gateways know it by."),
]
ZoneOption = Annotated[
    str, typer.Option(callback=checked_zone, metavar="ZONE", help="IANA time zone, such as Asia/Shanghai.")
]
SlotOption = Annotated[
    int | None,
    typer.Option(
        "--slot",
        min=0,
        max=255,
        help="User slot, for a meter that tells its users apart; 255: those whom it does not know (guests).",
    ),
]
ByOption = Annotated[str, typer.Option("--by", metavar="LOGIN", help="Who says so.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@gateways.command("add")
def add_gateway(gateway_id: GatewayArgument, zone: ZoneOption) -> None:
    """Enrol a gateway. Said again it changes the zone, and nothing else."""
    from server.store import enrolment

    def work(conn: "Connection") -> "Gateway":
        enrolment.add_gateway(conn, gateway_id, zone)
        note_deed(conn, "gateway.add", subject=gateway_id, zone=zone)
        return gateway_of(conn, gateway_id)

    found = in_database(work)
    typer.echo(f"gateway {found.gateway_id}: {found.zone}, {found.state}")


@patients.command("add")
def add_patient(
    name: Annotated[str, typer.Option(callback=_name, help="The name that the clinic knows.")],
    zone: ZoneOption,
    enrolled_on: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="First day, by the patient's calendar.")
    ],
    doctor: Annotated[str, typer.Option(metavar="LOGIN", help="The patient's own doctor, who is told of alerts.")],
    language: Annotated[Language, typer.Option(help="The language of the patient's page.")],
    sex: Annotated[Sex | None, typer.Option(help="If known.")] = None,
    birth_date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="If known.")] = None,
    phone: Annotated[str | None, typer.Option(callback=_phone, help="For whoever must call.")] = None,
    condition: Annotated[
        list[str] | None, typer.Option(callback=_conditions, metavar="CODE", help="ICD-10; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol a patient; prints the number by which everything else names the patient."""
    from server.store import enrolment

    born = None if birth_date is None else birth_date.date()
    _check_days(enrolled_on.date(), born, today=clock.now().astimezone(ZoneInfo(zone)).date())

    def work(conn: "Connection") -> int:
        patient_id = enrolment.add_patient(
            conn,
            name=name,
            language=language,
            enrolled_on=enrolled_on.date(),
            zone=zone,
            sex=sex,
            birth_date=born,
            phone=phone,
            conditions=condition or (),
            doctor_id=_doctor(conn, doctor).user_id,
            now=clock.now(),
        )
        note_deed(conn, "patient.enrol", patient_id=patient_id)
        return patient_id

    patient_id = in_database(work)
    if as_json:
        print_json({"patient_id": patient_id})
    else:
        typer.echo(f"patient {patient_id}: enrolled on {enrolled_on:%Y-%m-%d}, {zone}, doctor {doctor}")


@patients.command("list")
def list_patients(as_json: JsonOption = False) -> None:
    """Everybody who is enrolled."""
    from server.store import enrolment

    found = in_database(enrolment.list_patients)
    if as_json:
        print_json(found)
        return
    for each in found:
        doctor = each.doctor or "(no doctor)"
        typer.echo(f"{each.patient_id:>6} {each.enrolled_on} {each.zone:<20} {doctor:<16} {each.name}")


@meters.command("bind")
def bind_meter(
    meter_id: MeterArgument,
    patient: Annotated[int, typer.Option(metavar="ID", min=1, help="Whose it is.")],
    gateway: Annotated[
        str, typer.Option(metavar="ID", callback=checked_name, help="The gateway of the home it is in.")
    ],
    by: ByOption,
    slot: SlotOption = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=_instant, metavar="ISO", help="Since when; without an offset by the gateway's clock. Default: now."
        ),
    ] = None,
) -> None:
    """State that this meter (this user slot of it) is this patient's, in the home of this gateway."""
    from server import release
    from server.store import enrolment

    def work(conn: "Connection") -> "tuple[datetime, Outcome]":
        home, now = gateway_of(conn, gateway), clock.now()
        account_of(conn, by)
        from_ = now if since is None else since if since.tzinfo else since.replace(tzinfo=ZoneInfo(home.zone))
        _check_binding(conn, home, patient_id=patient, since=from_, now=now)
        _check_owner(enrolment.lock_bindings(conn, meter_id), meter_id, slot, patient)
        enrolment.bind_meter(
            conn, meter_id=meter_id, user_slot=slot, gateway_id=gateway, patient_id=patient, bound_by=by, now=from_
        )
        note_deed(conn, "meter.bind", patient_id=patient, subject=meter_id, gateway_id=gateway, user_slot=slot, by=by)
        bound = next(each for each in enrolment.lock_bindings(conn, meter_id) if each.user_slot == slot)
        return bound.valid_from.astimezone(ZoneInfo(home.zone)), release.preview(conn, meter_id=meter_id)

    valid_from, waiting = in_database(work)
    typer.echo(f"{_spoken(meter_id, slot)} is patient {patient}'s at {gateway} from {spoken_instant(valid_from)} on")
    _say_waiting(waiting, meter_id)


@meters.command("unbind")
def unbind_meter(meter_id: MeterArgument, slot: SlotOption = None) -> None:
    """State that this meter (this user slot of it) is nobody's from now on. What it measured before stays whose it was."""
    from server.store import enrolment

    def work(conn: "Connection") -> "BoundMeter":
        was = enrolment.unbind_meter(conn, meter_id=meter_id, user_slot=slot, now=clock.now())
        if was is None:
            others = [_spoken(meter_id, each.user_slot) for each in enrolment.lock_bindings(conn, meter_id)]
            known = f"bound are: {', '.join(others)}" if others else "`server meter list` shows the bound ones"
            raise RefusedError(f"{_spoken(meter_id, slot)} is not bound to anybody; {known}")
        note_deed(conn, "meter.unbind", patient_id=was.patient_id, subject=meter_id, user_slot=slot)
        return was

    was = in_database(work)
    typer.echo(f"{_spoken(meter_id, slot)} was patient {was.patient_id}'s until now; what it measures is nobody's")


@meters.command("list")
def list_meters(as_json: JsonOption = False) -> None:
    """Every meter that is bound: to whom, where, since when, and who said so."""
    from server.store import enrolment

    found = in_database(enrolment.list_bindings)
    if as_json:
        print_json(found)
        return
    for each in found:
        slot = "-" if each.user_slot is None else str(each.user_slot)
        typer.echo(
            f"{each.meter_id:<20} {slot:>4} patient {each.patient_id:<6} {each.gateway_id:<16}"
            f" since {spoken_instant(each.valid_from)}, says {each.bound_by}"
        )


# What must be so at the clinic. Each raises RefusedError.


def gateway_of(conn: "Connection", gateway_id: str) -> "Gateway":
    from server.store import enrolment

    for found in enrolment.list_gateways(conn, gateway_id):
        return found
    raise RefusedError(
        f"no gateway {gateway_id!r} is enrolled: `server gateway add {gateway_id} --zone ZONE` enrols it,"
        " `server gateway list` shows those that are"
    )


def account_of(conn: "Connection", login: str) -> "User":
    """The account that may sign in under this login."""
    from server.store import people

    user = next((each for each in people.list_users(conn) if each.login == login and each.active), None)
    if user is None:
        raise RefusedError(f"no active account {login!r}: `server user list` shows the accounts")
    return user


def _doctor(conn: "Connection", login: str) -> "User":
    user = account_of(conn, login)
    if user.role != "doctor":
        raise RefusedError(f"{login} is no doctor but {user.role}: choose the patient's own doctor's login")
    return user


def _check_days(enrolled_on: date, born: date | None, *, today: date) -> None:
    if enrolled_on > today:
        fail(f"--enrolled-on {enrolled_on} is in the future: enrol the patient on that day", code=2)
    if born is not None and not date(1880, 1, 1) <= born <= enrolled_on:
        fail(f"--birth-date {born} is not before the day of enrolment: check the year", code=2)


def _check_binding(conn: "Connection", home: "Gateway", *, patient_id: int, since: datetime, now: datetime) -> None:
    from server.store import enrolment

    if home.state != "active":
        raise RefusedError(
            f"gateway {home.gateway_id} is {home.state}:"
            f" `server gateway restore {home.gateway_id} --by LOGIN` listens to it again"
        )
    if not enrolment.has_patient(conn, patient_id):
        raise RefusedError(f"no patient {patient_id}: `server patient list` shows the numbers")
    if since > now:
        raise RefusedError(f"--since {since.isoformat()} is in the future: a binding states what is so")


def _check_owner(in_force: "Sequence[BoundMeter]", meter_id: str, slot: int | None, patient_id: int) -> None:
    for each in in_force:
        if each.user_slot == slot and each.patient_id != patient_id:
            option = "" if slot is None else f" --slot {slot}"
            raise RefusedError(
                f"{_spoken(meter_id, slot)} has been patient {each.patient_id}'s at {each.gateway_id} since"
                f" {spoken_instant(each.valid_from)}: if it no longer is, `server meter unbind {meter_id}{option}` first"
            )


def _say_waiting(waiting: "Outcome", meter_id: str) -> None:
    if n := sum(waiting.stored.values()):
        typer.echo(
            f"in quarantine: {n} of its readings have an owner by now;"
            f" `server quarantine release --meter {meter_id} --by LOGIN` takes them in"
        )
    for why, n in sorted(waiting.left.items()):
        typer.echo(f"in quarantine: {n} stay: {why}")


def _spoken(meter_id: str, slot: int | None) -> str:
    return meter_id if slot is None else f"{meter_id} slot {slot}"


def spoken_instant(at: datetime) -> str:
    return at.isoformat(timespec="minutes")
