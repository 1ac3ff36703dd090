"""`python -m server consent|erase|hold|retention`: what patients have agreed to, and who is to be forgotten."""

from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from server.terminal import RefusedError, fail, in_database, in_pool, load_settings, operator, print_json

if TYPE_CHECKING:
    from server.people.erasure import Outcome
    from server.people.erasure_proof import Traces
    from server.people.retention import Report
    from server.store.erasure_requests import Proof
    from server.store.postgres import Connection

Purposes = Literal["care", "reminders", "channels", "research"]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PatientNumber = Annotated[int, typer.Argument(metavar="PATIENT", help="The patient's number.", show_default=False)]


def _commands(words: str) -> typer.Typer:
    return typer.Typer(rich_markup_mode=None, help=words, no_args_is_help=True)


consents = _commands("What patients have agreed to.")
holds = _commands("Whose record may not be erased, and why.")
erasures = typer.Typer(rich_markup_mode=None)
retention = typer.Typer(rich_markup_mode=None)
exports = typer.Typer(rich_markup_mode=None)


@consents.command(name="list")
def list_consents(patient_id: PatientNumber, as_json: AsJson = False) -> None:
    """All that a patient has ever said, the oldest first."""
    from server.store import consents as store

    words = in_database(lambda conn: store.history(conn, patient_id))
    if as_json:
        print_json(words)
        return
    for word in words:
        typer.echo(
            f"{word.said_at.date()} {word.purpose:<10} {'yes' if word.is_given else 'no':<4}"
            f" {word.how:<9} {word.recorded_by}"
        )


def _say(
    patient_id: int, purpose: Purposes, how: Literal["paper", "clinic"], on: datetime | None, *, given: bool
) -> None:
    from server import clock
    from server.people import consents as people
    from server.people.errors import NotOnPanelError
    from server.store.consents import Purpose

    now = clock.now()
    said_at = None if on is None else datetime.combine(on.date(), time(), tzinfo=UTC)
    saying = people.Saying(
        patient_id=patient_id,
        purpose=Purpose(purpose),
        is_given=given,
        how=how,
        actor=operator(),
        now=now,
        said_at=said_at,
    )
    try:
        is_new = in_database(lambda conn: people.say(conn, saying))
    except NotOnPanelError as e:
        fail(str(e))
    typer.echo("written down" if is_new else "it is so already")


How = Annotated[Literal["paper", "clinic"], typer.Option(help="How the patient said so.")]
On = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="When, if not now.", show_default=False)]


@consents.command()
def give(patient_id: PatientNumber, purpose: Purposes, how: How = "paper", on: On = None) -> None:
    """The patient agrees. Watched again, what was missed is judged."""
    _say(patient_id, purpose, how, on, given=True)


@consents.command()
def withdraw(patient_id: PatientNumber, purpose: Purposes, how: How = "clinic", on: On = None) -> None:
    """The patient takes it back: what waits to be sent for it is cancelled, and without `care` nobody watches any more."""
    _say(patient_id, purpose, how, on, given=False)


@consents.command()
def text(purpose: Purposes) -> None:
    """What the patient is asked, in English and Chinese."""
    from server.people.consents import TEXT_VERSION, TEXTS
    from server.store.consents import Purpose

    typer.echo(f"version {TEXT_VERSION}")
    for language, words in TEXTS[Purpose(purpose)].items():
        typer.echo(f"{language}: {words}")


@erasures.command()
def erase(
    patient_id: PatientNumber,
    reason: Annotated[
        Literal["asked", "withdrawn", "over", "ordered"],
        typer.Option(
            help="The patient asked, or took consent back; there is no purpose any more; an authority ordered it."
        ),
    ],
    by: Annotated[str, typer.Option(help="The login of who wants it.")],
    second: Annotated[str, typer.Option(help="The login of a second person who wants it.")],
    folder: Annotated[
        list[Path] | None, typer.Option(help="Where to look for what is left: logs, exports. May be said again.")
    ] = None,
    prove: Annotated[
        bool, typer.Option("--prove", help="Look for what is left in every table and in the folders.")
    ] = False,
) -> None:
    """Take a patient out of everything; destroy what names them, unless the law has it kept. Exit 1 if `--prove` finds any."""
    from server import clock
    from server.people import erasure, erasure_proof
    from server.people.errors import NotOnPanelError

    settings = load_settings()
    years = settings.retention_clinical_years
    actor, now = operator(), clock.now()
    wish = erasure.Wish(patient_id=patient_id, reason=reason, by=by, second=second, actor=actor, now=now)

    def work(conn: "Connection") -> "tuple[Outcome, Traces]":
        traces = erasure_proof.traces_of(conn, patient_id)
        try:
            return erasure.erase(conn, wish, clinical_years=years), traces
        except (NotOnPanelError, erasure.HeldError) as e:
            raise RefusedError(str(e)) from e

    outcome, traces = in_database(work)
    if not outcome.is_destroyed:
        typer.echo(f"out of everything; kept under seal until {outcome.keep_until.date()}, as the law says")
        return
    typer.echo(
        "destroyed: the keys are gone, and with them what they sealed; from backups with the next `vault rotate`"
    )
    if prove:
        where = erasure_proof.Where(folders=[*settings.folders_to_look_through, *(folder or ())])
        _say_proof(
            in_database(lambda conn: erasure_proof.prove(conn, patient_id, traces, where, actor=actor, now=clock.now()))
        )


def _say_proof(proof: "Proof") -> None:
    for place in proof.places:
        typer.echo(f"found in {place}", err=True)
    for what in proof.unreached:
        typer.echo(f"not looked at: {_UNREACHED.get(what, what)}")
    if proof.places:
        raise typer.Exit(1)
    typer.echo(
        f"looked for {proof.traces} traces in {proof.tables} tables, {proof.files} files and"
        f" {proof.broker_stores} stores of a broker: nothing is left"
    )


_UNREACHED = {
    "backups": "backups made before; nothing opens them for this patient after the next `server vault rotate`,"
    " when the old key's copies are destroyed",
    "given_out": "what was printed, exported or sent elsewhere before; `server audit list --patient` says what",
    "folders": "files; name logs, exports and the broker's store by --folder or HOMEVIGIL_SERVER_ERASURE_FOLDERS",
    "broker": "what the broker keeps: no store of mosquitto was among the files; have it written"
    " (`systemctl kill -s USR1 mosquitto`) and name /var/lib/mosquitto/mosquitto.db",
}


@holds.command(name="add")
def add_hold(
    patient_id: PatientNumber,
    reason: Annotated[str, typer.Option(help="Why; it is shown to whoever wants to erase.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The day on which it ends.")],
) -> None:
    """Nothing of this patient is erased until then."""
    from server import clock
    from server.people import erasure
    from server.people.errors import NotOnPanelError

    end = datetime.combine(until.date(), time(), tzinfo=UTC)
    try:
        hold_id = in_database(
            lambda conn: erasure.hold(conn, patient_id, reason=reason, until=end, actor=operator(), now=clock.now())
        )
    except NotOnPanelError as e:
        fail(str(e))
    typer.echo(f"hold {hold_id}")


@holds.command(name="end")
def end_hold(hold_id: Annotated[int, typer.Argument(metavar="HOLD", help="Its number.", show_default=False)]) -> None:
    """The record may be erased again."""
    from server import clock
    from server.people import erasure

    if not in_database(lambda conn: erasure.end_hold(conn, hold_id, actor=operator(), now=clock.now())):
        fail(f"there is no hold {hold_id} in force")
    typer.echo(f"hold {hold_id} has ended")


@holds.command(name="list")
def list_holds(as_json: AsJson = False) -> None:
    """Those in force."""
    from server import clock
    from server.store import erasure

    found = in_database(lambda conn: erasure.list_holds(conn, now=clock.now()))
    if as_json:
        print_json(found)
        return
    for each in found:
        typer.echo(f"{each.hold_id:>6} patient {each.patient_id} until {each.until.date()}, by {each.made_by}")


@retention.command()
def keep(
    carry_out: Annotated[
        bool,
        typer.Option(
            "--carry-out", help="Remove what is over, and destroy whom the law does not have kept any longer."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what --carry-out would do, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """How long what is kept, by which law, and who is under seal until when. The role `watch` carries it out every night."""
    from server import clock
    from server.people import retention as people
    from server.store import erasure

    if carry_out and dry_run:
        fail("say --carry-out or --dry-run", code=2)
    now = clock.now()
    done = in_database(lambda conn: people.rehearse(conn, now=now)) if dry_run else None
    if carry_out:
        folders = load_settings().folders_to_look_through
        done = in_pool(lambda pool: people.carry_out(pool, folders=folders, actor=operator(), now=now))
        if done is None:
            fail("another process is at it just now; look again in a minute")
    kept = in_database(erasure.list_kept)
    if as_json:
        print_json({"clocks": people.CLOCKS, "done": done, "kept": kept})
        return
    if done is None:
        for each in people.CLOCKS:
            typer.echo(f"{each.name:<14} {each.keeps.days:>4} days {each.source}")
    else:
        _say_report(done, "would be " if dry_run else "")
    for one in kept:
        typer.echo(
            f"patient {one.patient_id}: under seal since {one.restricted_at.date()}, until {one.keep_until.date()}"
        )


def _say_report(done: "Report", would: str) -> None:
    for name, rows in done.removed.items():
        typer.echo(f"{name}: {rows} {would}removed")
    for patient_id in done.destroyed:
        typer.echo(f"patient {patient_id}: {would}destroyed")
    for patient_id, places in done.left.items():
        typer.echo(f"patient {patient_id}: a trace is left in {', '.join(places)}", err=True)
    if done.left:
        raise typer.Exit(1)


@exports.command()
def export(
    patient_id: PatientNumber,
    by: Annotated[str, typer.Option(help="The login of who gives it out; they must see the patient.")],
    out: Annotated[Path, typer.Option(help="The ZIP file to write; it must not be there yet.")],
) -> None:
    """All that is known about a patient, to be given to them: FHIR, tables, and who has seen it."""
    from server import clock
    from server.people import portability
    from server.people.errors import NotOnPanelError
    from server.store import erasure

    base = f"{load_settings().public_url or 'http://localhost:8080'}/fhir"

    def work(conn: "Connection") -> bytes:
        people = erasure.users(conn, by)
        if by not in people:
            raise RefusedError(f"no account {by!r} that is in use")
        try:
            return portability.export(
                conn, patient_id, user_id=people[by], actor=f"user:{people[by]}", base=base, now=clock.now()
            )
        except NotOnPanelError as e:
            raise RefusedError(f"no patient {patient_id} whom {by} sees") from e

    packed = in_database(work)
    try:
        with out.open("xb") as file:
            out.chmod(0o600)
            file.write(packed)
    except FileExistsError:
        fail(f"{out} is there already: name another file")
    typer.echo(f"written: {out}; give it to the patient alone, and delete it here")
