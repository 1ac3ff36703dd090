"""`python -m server ca`: the clinic's own certificate authority, without another program and its options."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server import clock
from server.terminal import fail, in_database, load_settings

if TYPE_CHECKING:
    from server.store.postgres import Connection
    from server.trust.folders import Secrets

app = typer.Typer(
    help="The clinic's own certificate authority: who may speak to the broker. Its folder: HOMEVIGIL_SERVER_SECRETS.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Hosts = Annotated[
    list[str],
    typer.Option(
        "--host", help="A name or address by which gateways reach the broker; may be repeated, the first counts."
    ),
]


@app.command("init")
def init(
    hosts: Hosts, name: Annotated[str, typer.Option(help="What the authority calls itself.")] = "HomeVigil clinic"
) -> None:
    """Make the authority, and certificates for the broker, the server and the door for new gateways. Never over others."""
    secrets, watchdog_id = _secrets()
    try:
        authority = secrets.create(name=name, hosts=hosts, watchdog_id=watchdog_id, now=clock.now())
    except FileExistsError as e:
        fail(f"{e.filename} is there already; nothing is written over. `server ca renew` makes the server's own anew")
    except OSError as e:
        fail(f"{e}: HOMEVIGIL_SERVER_SECRETS must be a folder that can be written to")
    _say_pin(authority.pin)
    typer.echo("authority/ca.key can admit anybody: keep a copy of it away from this machine, and nobody else near it")


@app.command("renew")
def renew(hosts: Hosts) -> None:
    """Make the certificates of the broker, the server and the door anew: they are good for two years."""
    secrets, watchdog_id = _secrets()
    _say_pin(secrets.renew(hosts=hosts, watchdog_id=watchdog_id, now=clock.now()).pin)
    typer.echo("restart the broker and the server")


@app.command("crl")
def write_list() -> None:
    """Write the broker's list of the revoked anew. Weekly: past 30 days the broker lets nobody in with an old one."""
    secrets, _ = _secrets()

    def work(conn: "Connection") -> int:
        return secrets.write_list(conn, now=clock.now())

    typer.echo(f"{secrets.list_path}: {in_database(work)} revoked; the broker reads it on SIGHUP")


@app.command("pin")
def show_pin() -> None:
    """By what a new gateway knows this clinic, where there is no QR to be scanned."""
    secrets, _ = _secrets()
    _say_pin(secrets.authority().pin)


def _secrets() -> "tuple[Secrets, str]":
    from server.trust.folders import Secrets
    from vitals.errors import UnavailableError

    settings = load_settings()
    if settings.secrets is None:
        fail("HOMEVIGIL_SERVER_SECRETS is not set: the folder for the authority's key and the certificates", code=2)
    secrets = Secrets(Path(settings.secrets))
    if (secrets.authority_folder / "ca.key").exists():
        try:
            secrets.authority()
        except UnavailableError as e:
            fail(str(e))
    return secrets, settings.watchdog_id


def _say_pin(pin: str) -> None:
    from vitals.enrolment import spoken_pin

    typer.echo(f"authority: {spoken_pin(pin)}")
