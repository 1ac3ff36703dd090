"""`python -m server channel`: the ways to people outside the house, from the server's own console."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.enrolment_commands import JsonOption
from server.terminal import fail, in_database, load_settings, operator, print_json

if TYPE_CHECKING:
    from server.push.contact_book import Deed
    from server.store.contacts import Owner
    from server.store.postgres import Connection

app = typer.Typer(
    help="The ways to people outside the house: e-mail, text messages, chats.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ChannelArgument = Annotated[int, typer.Argument(metavar="CHANNEL", help="Its number, as `channel list` says it.")]
PatientOption = Annotated[int | None, typer.Option("--patient", help="A patient's.")]
UserOption = Annotated[int | None, typer.Option("--user", help="A user's. With neither: the clinic's desk's.")]


@app.command("add")
def add_channel(name: Annotated[str, typer.Argument(help="What people are shown.")]) -> None:
    """Read the channel's Apprise address from standard input, where no history keeps it, and set the channel up."""
    from server.push import contact_book

    if sys.stdin.isatty():
        typer.echo("The channel's address, such as mailtos://robot:PASSWORD@clinic.example?to={to}", err=True)
    url = sys.stdin.readline().strip()
    channel_id = in_database(lambda conn: contact_book.add_channel(conn, _deed(), name=name, url=url))
    typer.echo(f"channel {channel_id} is set up; `channel test {channel_id}` says whether it works")


@app.command("list")
def list_channels(as_json: JsonOption = False) -> None:
    """Those that are set up, without their secrets."""
    from server.store import contacts

    found = in_database(contacts.list_channels)
    if as_json:
        print_json(found)
        return
    for each in found:
        whose = "each person's own address" if each.wants_address else "one place"
        typer.echo(f"{each.channel_id}  {each.kind} by {each.service}: {each.name} ({whose}; {each.contacts} contacts)")


@app.command("remove")
def remove_channel(channel_id: ChannelArgument) -> None:
    """Forget it, its secrets, and every contact by it; what waited for it is cancelled."""
    from server.people.errors import NotOnPanelError
    from server.push import contact_book

    try:
        in_database(lambda conn: contact_book.remove_channel(conn, _deed(), channel_id))
    except NotOnPanelError:
        fail("there is no such channel; `channel list` says which there are")


@app.command("test")
def try_channel(
    channel_id: ChannelArgument,
    to: Annotated[str, typer.Option("--to", help="The address, where the channel wants one.")] = "",
    language: Annotated[str, typer.Option(help="zh or en.")] = "zh",
    as_json: JsonOption = False,
) -> None:
    """Send a test message now and say what became of it; exit 1 if it did not arrive."""
    from server.people.errors import NotOnPanelError
    from server.push import contact_book

    deed = _deed()
    try:
        place = in_database(lambda conn: contact_book.place_of_channel(conn, deed, channel_id, to, language))
    except NotOnPanelError:
        fail("there is no such channel; `channel list` says which there are")
    attempt = contact_book.send_test(place, deed, allow_private=load_settings().webhook_allow_private)
    in_database(lambda conn: contact_book.note_test(conn, deed, place, attempt))
    if as_json:
        print_json(attempt)
    else:
        answer = f", answer: {attempt.answer}" if attempt.answer else ""
        typer.echo(f"{attempt.status} after {attempt.elapsed_ms} ms{answer}")
    if attempt.status != "sent":
        raise typer.Exit(1)


@app.command("contacts")
def list_contacts(patient: PatientOption = None, user: UserOption = None, as_json: JsonOption = False) -> None:
    """Where a patient, a user or the clinic's desk is reached; addresses are masked."""
    from server.push import contact_book
    from server.push.services import masked

    found = in_database(lambda conn: contact_book.list_contacts(conn, _owner(patient, user)))
    if as_json:
        print_json([_shown(each) for each in found])
        return
    for each in found:
        when = "what nobody has acknowledged" if each.only_next else f"{each.lowest} and more urgent"
        typer.echo(f"{each.contact_id}  {each.channel}: {masked(each.kind, each.address) or 'one place'} ({when})")


@app.command("reach")
def add_contact(
    channel_id: ChannelArgument,
    to: Annotated[str, typer.Option("--to", help="The address, where the channel wants one.")] = "",
    patient: PatientOption = None,
    user: UserOption = None,
    lowest: Annotated[
        str, typer.Option(help="Nothing less urgent goes there: information, low, medium, high.")
    ] = "information",
    only_next: Annotated[bool, typer.Option("--only-next", help="Only what nobody has acknowledged.")] = False,
) -> None:
    """From now on a patient, a user or the clinic's desk is told there as well."""
    from server.people.errors import NotOnPanelError
    from server.push import contact_book
    from server.push.contact_book import Wanted

    wanted = Wanted(channel_id=channel_id, address=to, lowest=lowest, only_next=only_next)

    def work(conn: "Connection") -> int:
        return contact_book.add_contact(conn, _deed(), _owner(patient, user), wanted)

    try:
        typer.echo(f"contact {in_database(work)}")
    except NotOnPanelError:
        fail("there is no such channel; `channel list` says which there are")


@app.command("forget")
def remove_contact(
    contact_id: Annotated[int, typer.Argument(metavar="CONTACT")],
    patient: PatientOption = None,
    user: UserOption = None,
) -> None:
    """Forget where somebody is reached."""
    from server.people.errors import NotOnPanelError
    from server.push import contact_book

    try:
        in_database(lambda conn: contact_book.remove_contact(conn, _deed(), _owner(patient, user), contact_id))
    except NotOnPanelError:
        fail("whoever you named has no such contact; `channel contacts` says which there are")


def _shown(each: object) -> dict[str, object]:
    from server.push.services import masked
    from server.store.contacts import Contact

    assert isinstance(each, Contact)
    return {
        "contact_id": each.contact_id,
        "channel_id": each.channel_id,
        "channel": each.channel,
        "kind": each.kind,
        "address": masked(each.kind, each.address),
        "lowest": each.lowest,
        "only_next": each.only_next,
    }


def _owner(patient: int | None, user: int | None) -> "Owner":
    from server.store.contacts import Owner

    if patient is not None and user is not None:
        fail("give --patient or --user, not both", code=2)
    return Owner(patient_id=patient, user_id=user)


def _deed() -> "Deed":
    from server.push.contact_book import Deed

    return Deed(actor=operator(), now=clock.now())
