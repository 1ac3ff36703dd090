"""`python -m server ladder` and `quiet-hours`: what a clinic arranges about telling, from the server's own console."""

import json
import sys
from datetime import time, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.terminal import fail, in_database, operator

if TYPE_CHECKING:
    from server.push.arrangements import Arranger
    from server.push.ladder import Ladders
    from server.store.postgres import Connection

ladders = typer.Typer(
    help="Who is told next when nobody acknowledges an alert.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
quiet_hours = typer.Typer(
    help="Between which times of the patient's wall clock nothing but what is urgent is told.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@ladders.command(name="show")
def show_ladders(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """The ladders in force."""
    from server.push.arrangements import ladders_in_force

    _print_ladders(in_database(ladders_in_force), as_json=as_json)


@ladders.command(name="set")
def set_ladders(
    version: Annotated[int, typer.Option(help="The version that is in force now; 0 is the product's own.")],
    supervisor: Annotated[
        int | None, typer.Option(help="The number of the user whom the step supervisor means.")
    ] = None,
) -> None:
    """Read ladders from standard input, as `ladder show --json` prints them, and put them in force."""
    from server.people.errors import PeopleError
    from server.push import arrangements
    from server.push.ladder import Rung

    try:
        said = json.load(sys.stdin)
        rungs = {
            str(priority): [
                Rung(whom=str(each["whom"]), after=timedelta(seconds=int(each["after_s"]))) for each in steps
            ]
            for priority, steps in said["ladders"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        fail(
            'give {"ladders": {"high": [{"whom": "backup", "after_s": 180}, ...]}}, as `ladder show --json` prints it',
            code=2,
        )

    def work(conn: "Connection") -> "Ladders":
        return arrangements.set_ladders(conn, _arranger(), rungs, supervisor=supervisor, version=version)

    try:
        found = in_database(work)
    except PeopleError as e:
        fail(str(e))
    typer.echo(f"version {found.version} is in force")


@quiet_hours.command(name="list")
def list_quiet_hours(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False) -> None:
    """Those that are set."""
    from server.store.telling import list_quiet_hours as stored

    found = in_database(stored)
    if as_json:
        rows = [
            {"subject": each.subject, "begins_at": _wall(each.begins_at), "ends_at": _wall(each.ends_at)}
            for each in found
        ]
        typer.echo(json.dumps(rows))
        return
    for each in found:
        hours = "none" if each.begins_at is None else f"{_wall(each.begins_at)} to {_wall(each.ends_at)}"
        typer.echo(f"{each.subject}: {hours} (by {each.set_by})")


@quiet_hours.command(name="set")
def set_quiet_hours(
    subject: Annotated[str, typer.Argument(help="clinicians, patients, user:<number> or patient:<number>.")],
    begins_at: Annotated[str, typer.Argument(help="Such as 22:00; none for no quiet hours.")],
    ends_at: Annotated[str, typer.Argument(help="Such as 07:00.")] = "",
) -> None:
    """Set them, or take them away with `none`."""
    from server.people.errors import PeopleError
    from server.push import arrangements

    try:
        hours = None if begins_at == "none" else (time.fromisoformat(begins_at), time.fromisoformat(ends_at))
    except ValueError:
        fail("give two times such as 22:00 07:00, or none", code=2)
    try:
        in_database(lambda conn: arrangements.set_quiet_hours(conn, _arranger(), subject, hours))
    except PeopleError as e:
        fail(str(e))


def _print_ladders(found: "Ladders", *, as_json: bool) -> None:
    if as_json:
        from server.push.ladder import kept

        typer.echo(
            json.dumps(
                {"version": found.version, "supervisor": found.supervisor, "ladders": kept(found.rungs)}, indent=1
            )
        )
        return
    typer.echo(f"version {found.version}" + (" (the product's own)" if found.version == 0 else ""))
    for priority, rungs in found.rungs.items():
        said = ", ".join(f"{rung.whom} after {rung.after}" for rung in rungs)
        typer.echo(f"{priority}: {said or 'nobody else'}")


def _arranger() -> "Arranger":
    from server.push.arrangements import Arranger

    return Arranger(actor=operator(), role="admin", user_id=None, now=clock.now())


def _wall(at: time | None) -> str | None:
    return None if at is None else f"{at:%H:%M}"
