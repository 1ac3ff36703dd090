"""`python -m server quarantine`: what could not become a reading, and the way in for what has found its patient.

It shows where a row came from and why it lies there, never what was measured: whoever looks here need not be a clinician.
"""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from server.enrolment_commands import ByOption, JsonOption, SlotOption, account_of, checked_name
from server.terminal import RefusedError, in_database, note_deed, print_json

if TYPE_CHECKING:
    from server.release import Outcome
    from server.replay import Replayed
    from server.store.postgres import Connection

app = typer.Typer(
    help="What could not become a reading: kept with its reason and bytes, counted, judged by nobody.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_open(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest first.")] = 200,
    as_json: JsonOption = False,
) -> None:
    """What waits for a person: number, gateway, reason, meter, slot, when it came."""
    from server.store import quarantine

    rows, in_all = in_database(lambda conn: quarantine.list_open(conn, limit=limit))
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            slot = "-" if row.user_slot is None else str(row.user_slot)
            typer.echo(
                f"{row.quarantine_id:>8} {row.received_at.isoformat(timespec='seconds')} {row.gateway_id:<16}"
                f" {row.reason:<20} {row.meter_id or '-':<20} {slot:>4}"
            )
    if in_all > len(rows):
        typer.echo(f"{in_all - len(rows)} older ones are not shown; --limit shows more", err=True)


@app.command("release")
def release_meter(
    meter: Annotated[str, typer.Option("--meter", metavar="METER_ID", callback=checked_name, help="Whose readings.")],
    by: ByOption,
    slot: SlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what a meter measured before it was bound, for whom it was bound to at the time of measuring.

    All of its slots, unless one is named. What is still nobody's stays. Saying it twice does nothing more; 1 if all of it stays.
    """
    from server import release

    def work(conn: "Connection") -> "Outcome":
        account_of(conn, by)
        note_deed(conn, "quarantine.release", subject=meter, by=by)
        return release.release(conn, meter_id=meter, user_slot=slot, by=by)

    outcome = in_database(work)
    if as_json:
        print_json(outcome)
    else:
        _say(outcome, meter)
    if outcome.left and not (outcome.stored or outcome.repeated):
        raise typer.Exit(1)


@app.command("assign")
def assign_readings(
    numbers: Annotated[
        list[int],
        typer.Argument(metavar="NUMBER...", min=1, help="As `quarantine list` shows them.", show_default=False),
    ],
    patient: Annotated[int, typer.Option("--patient", min=1, metavar="NUMBER", help="Whose they are.")],
    by: ByOption,
    as_json: JsonOption = False,
) -> None:
    """Take in single readings as a patient's, because you know who measured: a guest's slot, or the wrong one. Binds no meter.

    1 if not all of them became readings.
    """
    from server import release
    from server.store import enrolment

    def work(conn: "Connection") -> "Outcome":
        account_of(conn, by)
        owner = next((each for each in enrolment.list_patients(conn) if each.patient_id == patient), None)
        if owner is None:
            raise RefusedError(f"no patient {patient}: `server patient list` shows them")
        note_deed(conn, "quarantine.assign", patient_id=patient, by=by, quarantine_ids=numbers)
        return release.assign(conn, quarantine_ids=numbers, patient_id=patient, enrolled_on=owner.enrolled_on, by=by)

    outcome = in_database(work)
    unsaid = len(set(numbers)) - outcome.taken_in - outcome.repeated - outcome.stay
    if as_json:
        print_json(outcome)
    else:
        _count(outcome)
        if unsaid:
            typer.echo(
                f"{unsaid} wait for no owner: taken in already, or no reading of a meter that nobody knows", err=True
            )
    if outcome.stay or unsaid:
        raise typer.Exit(1)


@app.command("replay")
def replay_newer(by: ByOption, as_json: JsonOption = False) -> None:
    """After an upgrade: open what came in a newer wire version, or of a kind that was not known, as if it came now.

    Each of their readings is stored, counted as a repeat, or refused with its reason. What this build cannot read either stays;
    1 if all of it stays. Saying it twice does nothing more.
    """
    from server import replay

    messages, unread, after, fates = 0, 0, 0, Counter[str]()
    while True:

        def work(conn: "Connection", after: int = after) -> "Replayed":
            account_of(conn, by)
            note_deed(conn, "quarantine.replay", by=by)
            return replay.replay(conn, by=by, after=after)

        done = in_database(work)
        messages, unread, fates = messages + done.messages, unread + done.unread, fates + Counter(done.fates)
        if done.last is None:
            break
        after = done.last
    if as_json:
        print_json({"messages": messages, "fates": fates, "unread": unread})
    else:
        typer.echo(
            f"{messages} messages opened: " + (", ".join(f"{n} {fate}" for fate, n in sorted(fates.items())) or "-")
        )
        if unread:
            typer.echo(f"{unread} stay: this build cannot read them either; upgrade the server first", err=True)
    if unread and not messages:
        raise typer.Exit(1)


def _say(outcome: "Outcome", meter_id: str) -> None:
    _count(outcome)
    if outcome.left:
        typer.echo(f"what stays wants an earlier `server meter bind {meter_id} --since …`, or another slot", err=True)
    if outcome.is_empty:
        typer.echo(f"nothing of {meter_id} waits in quarantine")


def _count(outcome: "Outcome") -> None:
    for patient_id, n in sorted(outcome.stored.items()):
        typer.echo(f"patient {patient_id}: {n} taken in, to be judged now")
    if outcome.repeated:
        typer.echo(f"{outcome.repeated} had come another way before")
    for why, n in sorted(outcome.left.items()):
        typer.echo(f"{n} stay: {why}")
